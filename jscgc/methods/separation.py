"""Separation: an image codec's file, and an ideal channel code or 5G's that carries it. Nothing is trained."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from jscgc.method import Look, Method

if TYPE_CHECKING:
    from jscgc.systems.separation import Separation

Code = Literal["capacity", "ldpc"]


def make(name: str, codec: str, code: Code) -> Separation:
    """The system."""
    # Only here: scipy's statistics take as long as half of torch to import.
    from jscgc.systems.separation import Separation

    return Separation(name, codec, code)


def _lacks(*packages: str) -> str | None:
    return None if all(map(find_spec, packages)) else "pip install 'jscgc[channels]'"


def _method(order: int, codec: str, source: str, code: Code, look: Look) -> Method:
    name = f"{codec}_{code}"
    return Method(
        name=name,
        label=f"{source} + {'capacity' if code == 'capacity' else '5G LDPC'}",
        group="separation",
        order=order,
        look=look,
        ideal=code == "capacity",
        system=partial(make, name, codec, code),
        lacks=partial(_lacks, "scipy", *(("sionna",) if code == "ldpc" else ())),
    )


METHODS = (
    _method(80, "hevc", "HEVC", "capacity", Look("#7d8590", "dash", "star-open")),
    _method(81, "hevc", "HEVC", "ldpc", Look("#7d8590", "solid", "star")),
    _method(82, "avif", "AVIF", "capacity", Look("#dd4a68", "dash", "pentagon-open")),
    _method(83, "avif", "AVIF", "ldpc", Look("#dd4a68", "solid", "pentagon")),
    _method(84, "jp2k", "JPEG 2000", "capacity", Look("#a3704a", "dash", "hourglass-open")),
    _method(85, "jp2k", "JPEG 2000", "ldpc", Look("#a3704a", "solid", "hourglass")),
    _method(86, "jpeg", "JPEG", "capacity", Look("#a3704a", "dashdot", "bowtie-open")),
    _method(87, "jpeg", "JPEG", "ldpc", Look("#a3704a", "dot", "bowtie")),
)
