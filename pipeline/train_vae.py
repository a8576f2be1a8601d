"""Stage train_vae: the nano VAE, or a pretrained one passed through."""

from jscgc.latent.autoencoder import load_vae, save_vae
from jscgc.training.recipes import train_vae
from pipeline.stage import MODELS, PHOTOS, stage

with stage("train_vae") as running:
    out, params = MODELS / "vae", running.params
    with running.training(PHOTOS / "manifest.json", *running.start("vae")) as train:
        vae = train(train_vae, PHOTOS) if params.vae.source == "nano" else None
        save_vae(out, params.vae, vae)
    running.metrics |= {"channels": load_vae(out).channels}
    running.trained(out)
