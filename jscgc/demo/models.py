"""Trained models, metrics and photographs, loaded once for all who look at the page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from jscgc.data.builtin import builtin_photos
from jscgc.data.images import Pixels, open_photo, read_photo, reduce
from jscgc.demo.workplace import Workplace
from jscgc.device import resolve_device
from jscgc.method import METHODS
from jscgc.metrics import PairMetric
from jscgc.systems.base import SeparatedSystem, System
from jscgc.systems.load import finetuned, load_system, trained_systems
from jscgc.transmission import scorers

_FIRST = ("chelsea", "coffee", "rocket", "flower")
"""Photographs that no model saw in training come first."""


def methods(at: Workplace) -> list[str]:
    """Names of the methods that can run: trained ones, then the classical ones."""
    return list(dict.fromkeys([*trained_systems(at.models), *(method.name for method in METHODS if method.system)]))


def rates(name: str, at: Workplace) -> tuple[int, ...]:
    """All that a method's models send, the general one and those that were fine-tuned for a link; errors as of `system`."""
    tuned = (rate for _, link in finetuned(name, at.models) for rate in link.rates)
    return tuple(sorted({*system(name, at).rates, *tuned}))


def system(name: str, at: Workplace) -> System | SeparatedSystem:
    """A system (or METHOD-LINK of one that was fine-tuned), loaded once, and anew when it was trained anew.

    Raises:
        ValueError: as `load_system`.
    """
    files = [at.models / name / "model.json", at.models / "vae" / "model.json"]
    return _load(name, at, tuple(file.stat().st_mtime_ns for file in files if file.exists()))


@st.cache_resource(show_spinner=False, max_entries=32)
def _load(name: str, at: Workplace, written: tuple[int, ...]) -> System | SeparatedSystem:
    return load_system(name, at.models, resolve_device(at.device), at.precision)


@st.cache_resource(show_spinner=False)
def metrics() -> list[PairMetric]:
    """As `jscgc transmit` has them."""
    return scorers()


@st.cache_resource(show_spinner=False)
def builtin() -> dict[str, Path]:
    """The photographs that need no upload, by name."""
    paths = {photo.name: photo.path for photo in builtin_photos()}
    return {name: paths[name] for name in [*_FIRST, *(name for name in paths if name not in _FIRST)]}


@st.cache_data(show_spinner=False, max_entries=8)
def uploaded(content: bytes, name: str, max_side: int) -> Pixels:
    """An uploaded photo, reduced.

    Raises:
        PhotoError: as `read_photo`.
    """
    return reduce(read_photo(content, name), max_side)


@st.cache_data(show_spinner=False, max_entries=16)
def opened(path: Path, max_side: int) -> Pixels:
    """A built-in photo, reduced."""
    return reduce(open_photo(path), max_side)
