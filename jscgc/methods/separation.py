"""Separation: an image codec's file, and an ideal channel code or 5G's that carries it. Nothing is trained."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from jscgc.method import Look, Method

if TYPE_CHECKING:
    from jscgc.classical.fitting import Tuning
    from jscgc.systems.separation import Separation

Code = Literal["capacity", "ldpc"]
CODES: tuple[Code, ...] = ("capacity", "ldpc")
LPIPS = "lpips_vgg"
"""The distance of `tuned=lpips`; its network judges no method that was tuned by it."""


def tuned_by_lpips() -> Tuning:
    """How much a photo is reduced is chosen by LPIPS on VGG-16."""
    from jscgc.classical.fitting import Tuning
    from jscgc.data.images import Pixels, to_tensor
    from jscgc.metrics import pair_metric

    metric = pair_metric(LPIPS)

    def distance(photo: Pixels, shown: Pixels) -> float:
        return metric(to_tensor(photo)[None], to_tensor(shown)[None]).item()

    return Tuning(LPIPS, distance)


def make(name: str, codec: str, code: Code, tuned: bool) -> Separation:
    """The system."""
    # Only here: scipy's statistics take as long as half of torch to import.
    from jscgc.systems.separation import Separation

    return Separation(name, codec, code, tuned_by_lpips if tuned else None)


def _lacks(tuned: bool, *packages: str) -> str | None:
    if not all(map(find_spec, packages)):
        return "pip install 'jscgc[channels]'"
    if tuned:
        from jscgc.metrics.registry import available

        return available()[LPIPS]
    return None


def _method(order: int, codec: str, source: str, code: Code, look: Look, tuned: bool = False) -> Method:
    name = f"{codec}_{code}{':tuned=lpips' * tuned}"
    return Method(
        name=name,
        label=f"{source} + {'capacity' if code == 'capacity' else '5G LDPC'}{', tuned by LPIPS' * tuned}",
        group="separation",
        order=order,
        look=look,
        ideal=code == "capacity",
        system=partial(make, name, codec, code, tuned),
        lacks=partial(_lacks, tuned, "scipy", *(("sionna",) if code == "ldpc" else ())),
        losses=("vgg16",) if tuned else (),
    )


_LOOKS = (
    ("hevc", "HEVC", Look("#7d8590", "dash", "star-open"), Look("#7d8590", "solid", "star")),
    ("avif", "AVIF", Look("#dd4a68", "dash", "pentagon-open"), Look("#dd4a68", "solid", "pentagon")),
    ("jp2k", "JPEG 2000", Look("#a3704a", "dash", "hourglass-open"), Look("#a3704a", "solid", "hourglass")),
    ("jpeg", "JPEG", Look("#a3704a", "dashdot", "bowtie-open"), Look("#a3704a", "dot", "bowtie")),
)
METHODS = (
    *(
        _method(80 + 2 * i + j, codec, source, code, looks[j])
        for i, (codec, source, *looks) in enumerate(_LOOKS)
        for j, code in enumerate(CODES)
    ),
    _method(90, "hevc", "HEVC", "capacity", Look("#7d8590", "longdash", "hexagram-open"), tuned=True),
    _method(91, "hevc", "HEVC", "ldpc", Look("#7d8590", "longdashdot", "hexagram"), tuned=True),
)
