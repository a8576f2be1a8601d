"""Train the decoder of models that are there on, against a discriminator (`vae.sharpen`); nothing else of them changes.

    make profile PROFILE=sharpen
    dvc repro prepare
    python -m pipeline.sharpen --models jscgc/pretrained

Latents as `vae.sharpen.receivers` of the folder receive them are decoded in training, too. The encoder is held, so latents stay
what they were: prior, codecs and receivers in the folder go on as they are, and only their record of the VAE they belong to is
renewed. Interrupted, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors import safe_open

from jscgc import stages
from jscgc.config import digest
from jscgc.files import atomic, read_json, sha256, write_json
from jscgc.latent.autoencoder import load_vae, save_weights
from jscgc.latent.nano_vae import NanoVae
from jscgc.method import network
from jscgc.parser import user_path
from jscgc.sources import closure, code, entry
from jscgc.systems.store import load
from jscgc.training.vae import sharpen
from pipeline.stage import MODELS, PHOTOS, stage


def renew(models: Path, vae: NanoVae) -> None:
    """Put `vae` in the place of the folder's, in the same precision, and have the models beside it know it; all or nothing."""
    before = sha256(models / "vae")
    with safe_open(models / "vae" / "weights.safetensors", framework="pt") as file:
        precision = file.get_tensor(next(iter(file.keys()))).dtype
    with atomic(models) as temporary:
        shutil.copytree(models, temporary)
        save_weights(vae.to(precision), temporary / "vae" / "weights.safetensors")
        after = sha256(temporary / "vae")
        for description in temporary.glob("*/model.json"):
            content = read_json(description)
            if (content.get("latents") or {}).get("vae_sha256") == before:
                content["latents"]["vae_sha256"] = after
                write_json(description, content)


def main() -> None:
    """Train, then renew the folder."""
    parser = argparse.ArgumentParser("python -m pipeline.sharpen", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", type=user_path, default=MODELS, metavar="FOLDER", help="whose VAE is trained on, in place"
    )
    models = parser.parse_args().models
    with stage("sharpen", networks=True) as running:
        vae = load_vae(models / "vae")
        if not isinstance(vae, NanoVae):
            raise ValueError(f"{models / 'vae'}: a pretrained VAE is not ours to train")
        params = running.params
        receivers = params.vae.sharpen.receivers if params.vae.sharpen else []
        # Says what is missing before anything is hashed.
        shapes = [load(models / name).architecture.network for name in receivers]
        named = set().union(*(section.modules() for section in (params.link, params.sample, *shapes)))
        run = {*stages.stage("vae").entries, *named, *(entry(network(name).build) for name in receivers)}
        read = [sha256(path) for path in (PHOTOS / "manifest.json", *(models / name for name in ("vae", *receivers)))]
        values = (params.seed, params.precision, params.vae, params.latents, params.link, params.sample)
        key = digest(*values, read, code(closure(*sorted(run))))
        with running.checkpoints(key) as train:
            renew(models, train(sharpen, PHOTOS, vae, models))


if __name__ == "__main__":
    main()
