"""`make ship`: the trained models in data/models as those that come with the package, in half precision, each weight once.

Half precision halves the download; what it costs is measured by tests/systems/test_pretrained.py's golden values, which are to
be renewed with the weights.
"""

import shutil
import sys
from pathlib import Path

from jscgc.files import SHIPPED, atomic, read_json, sha256
from jscgc.latent.autoencoder import LatentStatistics, load_vae, save_vae
from jscgc.latent.nano_vae import NanoVae
from jscgc.method import trainable
from jscgc.params import load_params
from jscgc.systems import store
from pipeline.stage import MODELS

LIMIT_MB = 45


def ship(models: Path, out: Path) -> float:
    """Convert all models; return their size in megabytes.

    Raises:
        ValueError: one is missing, pretrained elsewhere, or all of them together are larger than LIMIT_MB.
    """
    vae = load_vae(models / "vae")
    if not isinstance(vae, NanoVae):
        raise ValueError(f"{models / 'vae'}: a pretrained VAE is not ours to ship")
    trained_on = sha256(models / "vae")
    with atomic(out) as temporary:
        params = load_params().vae.model_copy(update={"source": "nano", **_sizes(models / "vae")})
        save_vae(temporary / "vae", params, vae.half())
        checksum = sha256(temporary / "vae")
        for name, network in trainable().items():
            if not network.ships:
                continue
            model = store.load(models / name)
            if network.pixels:
                store.save(temporary / name, model.architecture, model.latents, model.net.half(), trained=model.trained)
                continue
            if model.latents.vae_sha256 != trained_on:
                raise ValueError(f"{models / name}: trained on another VAE than {models / 'vae'}; run `dvc repro`")
            latents = LatentStatistics(**{**vars(model.latents), "vae_sha256": checksum})
            store.save(temporary / name, model.architecture, latents, model.net.half(), network.shared, model.trained)
        size = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file()) / 1e6
        if size > LIMIT_MB:
            raise ValueError(f"{size:.1f} MB of weights; at most {LIMIT_MB} MB are shipped: make the networks smaller")
        if (card := out / "README.md").exists():
            shutil.copy(card, temporary / "README.md")
    return size


def _sizes(vae: Path) -> dict[str, int]:
    description = read_json(vae / "model.json")
    return {key: description[key] for key in ("channels", "width", "depth")}


if __name__ == "__main__":
    try:
        size = ship(MODELS, SHIPPED)
    except (ValueError, OSError) as error:
        sys.exit(f"ship: {error}")
    print(f"{size:.1f} MB in {SHIPPED}; renew its README.md and the golden values in tests/systems/test_pretrained.py")
