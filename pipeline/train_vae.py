"""Stage train_vae: the nano VAE, or a pretrained one passed through."""

from jscgc.latent.autoencoder import load_vae, save_vae
from jscgc.training.recipes import train_vae
from pipeline.stage import MODELS, PHOTOS, stage

with stage("train_vae") as running:
    out = MODELS / "vae"
    if running.params.vae.source == "nano":
        with running.training(PHOTOS / "manifest.json") as (folder, log):
            save_vae(out, running.params.vae, train_vae(running.params, PHOTOS, folder, log))
    else:
        save_vae(out, running.params.vae, None)
        running.metrics |= {"channels": load_vae(out).channels}
    running.run.artifact(out, "models")
