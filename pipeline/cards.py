"""The model cards that the registry shows, made of what methods declare and of what lies in a model's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

from jscgc import stages, tracking
from jscgc.files import read_json
from jscgc.method import METHODS, Group, network, trainable
from jscgc.params import Params
from jscgc.tracking.registry import registered_name

LIMITS: dict[Group, str] = {
    "generative": "What the symbols do not tell is invented, plausibly: texture often, at a small CBR and a low SNR the whole "
    "picture. Do not use what is received as evidence of what was there.",
    "latent_codec": "What the symbols do not tell comes out blurred, in the manner of the VAE's decoder.",
    "pixel_codec": "What the symbols do not tell comes out blurred.",
}
CALL = """\
```python
import mlflow, pandas

model = mlflow.pyfunc.load_model("models:/{name}@best")
row = {{"photo": open("photo.jpg", "rb").read(), "snr_db": 5.0, "cbr": "{cbr}", "name": "photo.jpg"}}
received = model.predict(pandas.DataFrame([row]))["received"][0]  # the content of a PNG file
```"""


def card(folder: Path, params: Params) -> tracking.Card:
    """Of a trained model, by the name of its folder.

    Raises:
        ValueError: its model.json is damaged.
    """
    name, about = folder.name, read_json(folder / "model.json")
    rates = sorted(about["architecture"]["rates"]) if name in METHODS and name in trainable() else []
    shared = {at["model"] for at in about.get("shared", {}).values()}
    companions = sorted(shared | ({"vae"} if vae_of(folder) else set())) if rates else []
    cbr = f"{rates[len(rates) // 2]}/768" if rates else ""
    return tracking.Card(
        text="\n\n".join(_paragraphs(folder, params, rates, cbr)) + "\n",
        settings=sorted({key for result in (*stages.before(name), name) for key in stages.stage(result).keys}),
        companions=[folder.parent / model for model in companions],
        cbr=cbr,
    )


def vae_of(folder: Path) -> str:
    """SHA-256 of the VAE that a model belongs to; of a VAE, or of a model on pixels, empty."""
    return str((read_json(folder / "model.json").get("latents") or {}).get("vae_sha256") or "")


def _paragraphs(folder: Path, params: Params, rates: Sequence[int], cbr: str) -> Iterator[str]:
    name, link = folder.name, params.link
    about = network(name).about if name in trainable() else stages.stage(name).about
    label = METHODS[name].label if rates else name
    count = _parameters(folder / "weights.safetensors")
    size = f" {count / 1e6:.3g} million parameters." if count else ""
    yield f"**{label}**, profile `{params.profile}`. {about}.{size}"
    photographs = f"Trained on photographs of `{params.data.source}`"
    if not rates:
        yield f"{photographs}. A part of others: it sends nothing by itself, and there is nothing to call."
        return
    yield (
        f"{photographs}, for {', '.join(link.channels)}, {link.snr_db[0]:g} to {link.snr_db[1]:g} dB. It sends at CBR "
        f"{', '.join(f'{rate}/768' for rate in rates)}. A photograph, the SNR in dB and the CBR go in, the received photograph "
        "comes out, bit for bit that of `jscgc transmit`:"
    )
    yield CALL.format(name=registered_name(params.profile, name), cbr=cbr)
    yield f"**Limits.** {LIMITS[METHODS[name].group]}"


def _parameters(weights: Path) -> int:
    """How many there are in a file of safetensors, by its header; 0 without a file: they stay where they came from."""
    if not weights.exists():
        return 0
    with weights.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(prod(entry["shape"]) for key, entry in header.items() if key != "__metadata__")
