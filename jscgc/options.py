"""What commands have in common: argument types that say in one line what is wrong, and the options of the sampler.

Nothing here imports torch, so that --help is quick.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc.channel import spec
from jscgc.files import SHIPPED
from jscgc.precision import SETTINGS
from jscgc.registry import nearest

if TYPE_CHECKING:
    from jscgc.flow.params import SampleParams


def channel_help() -> str:
    """Every channel, and how its options are written."""
    return (
        f"{', '.join(spec.names())}; options as NAME:key=value,key=value, such as rician_block:k_db=6,csi=lmmse or "
        "awgn:snr=blind; `jscgc info` lists them"
    )


def number(text: str) -> float:
    """A finite number; -0 is 0."""
    import math

    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} must be finite")
    return value + 0.0


def snr_db(text: str) -> float:
    """Decibels in -100..100."""
    value = number(text)
    if not -100 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} dB is out of range: -100 to 100")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return value


def share(text: str) -> float:
    """A number in 0..1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} must be in 0..1")
    return value


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 6 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return int(text)


def natural(text: str) -> int:
    """A whole number from 0."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 0")
    return int(text)


def guidance(text: str) -> float | tuple[float, float]:
    """A weight, or SNR:WEIGHT."""
    point, colon, weight = text.rpartition(":")
    value = number(weight)
    if value < 0:
        raise argparse.ArgumentTypeError(f"guidance must not be negative, got {text}")
    return (number(point), value) if colon else value


def choice(kind: str, allowed: Sequence[str]) -> Any:
    """One of `allowed`; a typo gets the nearest."""

    def check(text: str) -> str:
        if text not in allowed:
            hint = nearest(text, allowed)
            raise argparse.ArgumentTypeError(f"unknown {kind} {text!r}: {hint}choose from {', '.join(allowed)}")
        return text

    return check


def channel(text: str) -> str:
    """A channel with its options, as its canonical text."""
    try:
        return spec.canonical(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def models_folder() -> Path:
    """JSCGC_MODELS if it is set; else data/models once a system is trained there; else the models that come with the package."""
    if named := os.environ.get("JSCGC_MODELS"):
        return Path(os.path.expanduser(named))
    here = Path("data/models")
    if not here.is_dir():
        return SHIPPED
    from jscgc.method import METHODS

    return here if any((here / name / "model.json").exists() for name in METHODS.names) else SHIPPED


def add_models(sub: argparse.ArgumentParser, several: bool = False) -> None:
    """Where the trained models are; with `several`, a list of folders if any is named."""
    text = "trained models; without it JSCGC_MODELS, else data/models, else those that come with the package"
    more: dict[str, Any] = {"nargs": "+"} if several else {}
    text += "; several folders are several trainings of the methods" if several else ""
    sub.add_argument("--models", type=Path, default=models_folder(), metavar="DIR", help=text, **more)


def add_methods(sub: argparse.ArgumentParser, flag: str, default: list[str]) -> None:
    """Methods by name; `systems.load.asked_systems` knows which `all` are."""
    from jscgc.method import METHODS

    kind = choice("method", (*METHODS.names, "all"))
    text = f"{', '.join(METHODS.names)}; or all: every trained one"
    sub.add_argument(flag, nargs="+", type=kind, default=default, help=text)


def add_sampling(sub: argparse.ArgumentParser, samples: bool = False) -> None:
    """The sampler's options, seed and device; with `samples`, how many are drawn, too."""
    from jscgc.flow.params import untold
    from jscgc.flow.solver import SOLVERS

    one, several = untold(), untold(2)
    if samples:
        text = "draw N images for the one received signal; from 2 also their mean and the uncertainty map"
        sub.add_argument("--samples", type=count, default=1, metavar="N", help=text)

    def default(name: str) -> str:
        by_samples = f"; with several --samples {getattr(several, name):g}, chosen for their spread"
        return f"(default: {getattr(one, name):g}{by_samples if samples else ''})"

    # argparse takes `-5:2` for an option unless it looks like a negative number to it.
    sub._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)(:.*)?$")
    sub.add_argument(
        "--steps",
        type=count,
        default=argparse.SUPPRESS,
        help=f"sampler steps; two network calls each if guided (jscgc_fast has its own) {default('steps')}",
    )
    sub.add_argument(
        "--guidance",
        type=guidance,
        nargs="+",
        default=argparse.SUPPRESS,
        metavar="W",
        help=f"1: plain conditional; 0: ignores the symbols; or points SNR_DB:W, such as -5:2 10:1.2 {default('guidance')}",
    )
    sub.add_argument(
        "--reconstruction-guidance",
        type=share,
        default=0.0,
        metavar="W",
        help="diffjscc: pull every step towards its codec's reconstruction, 0 (not) to 1 (all the way)",
    )
    sub.add_argument("--solver", type=choice("solver", SOLVERS.names), default="euler", help=" | ".join(SOLVERS.names))
    sub.add_argument("--time-shift", type=positive, default=1.0, help="above 1: more of the steps at high noise")
    sub.add_argument("--seed", type=natural, default=0, help="of channel and sampler: same seed, same result")
    sub.add_argument("--device", type=choice("device", ("auto", "cpu", "cuda")), default="auto", help="auto|cpu|cuda")


def add_precision(sub: argparse.ArgumentParser) -> None:
    """In which precision networks compute."""
    text = "auto|float32|bfloat16, of the networks' products; auto: bfloat16 where it is measured to pay (AMX, GPUs)"
    sub.add_argument("--precision", type=choice("precision", SETTINGS), default="auto", help=text)


def sample(a: argparse.Namespace) -> SampleParams:
    """The sampling options together; steps and guidance that were not given are those for so many samples.

    Raises:
        ValueError: guidance mixes weights and points, or names an SNR twice.
    """
    from jscgc.flow.params import SampleParams, untold

    chosen = untold(getattr(a, "samples", 1))
    given = getattr(a, "guidance", [chosen.guidance])
    points = [point for point in given if isinstance(point, tuple)]
    if (points and len(points) < len(given)) or (not points and len(given) > 1):
        raise ValueError("guidance: give one weight, or points SNR_DB:WEIGHT only, such as --guidance -5:2 10:1.2")
    if len({snr for snr, _ in points}) < len(points):
        raise ValueError("guidance: every SNR once")
    return SampleParams(
        steps=getattr(a, "steps", chosen.steps),
        guidance=points or given[0],
        reconstruction_guidance=a.reconstruction_guidance,
        solver=a.solver,
        time_shift=a.time_shift,
    )
