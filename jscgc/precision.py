"""In which precision networks compute: float32, or bfloat16 where that is measured to pay.

Whoever starts a piece of work decides once (`resolve_precision`) and hands the decision on; workers follow it, whatever their
own processor would say. bfloat16 is autocast (`computing`): matrix products and convolutions only. Weights, moments of the
optimiser, recurrences, symbols, losses and scores are float32 always.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]
PrecisionSetting = Literal["auto", "float32", "bfloat16"]
SETTINGS: tuple[str, ...] = get_args(PrecisionSetting)
MARGIN = 3.0
"""How many times as fast products in bfloat16 must be: networks spend half of their time elsewhere, and casting costs. With AMX
it is 20 or more; with avx512_bf16 it is 2, of which 1.05 to 1.2 are left of a step of our trainings; elsewhere far below 1."""
ROUNDS = 3
"""Of each measurement, the fastest counts: a busy machine slows single ones down."""
log = logging.getLogger(__name__)
log.setLevel(logging.INFO)  # one line, which every command says


def resolve_precision(name: str, device: torch.device | str) -> Precision:
    """The decision: an explicit name is it; `auto` asks this machine's device, once per process.

    Args:
        name: auto, float32 or bfloat16.
        device: where networks will compute: cpu, cuda, or auto, the GPU where there is one. Of a cluster's other machines nothing
            is asked.

    Raises:
        ValueError: another name.
    """
    if name == "float32":
        return "float32"
    if name == "bfloat16":
        return "bfloat16"
    if name != "auto":
        raise ValueError(f"precision: {name!r} is none; choose from {', '.join(SETTINGS)}")
    return _decided(device if isinstance(device, str) else device.type)


def computing(precision: Precision, device: torch.device | str) -> AbstractContextManager[object]:
    """Where networks compute in that precision: autocast for bfloat16, nothing for float32.

    Autocast keeps the cast weights until its outermost block ends: enter it once around all steps of a transmission.
    """
    if precision == "float32":
        return nullcontext()
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16)


@cache
def _decided(kind: str) -> Precision:
    """What pays on a device."""
    import torch

    chosen: Precision
    if kind == "auto":
        return _decided("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cpu":
        gains = _gains()
        chosen = "bfloat16" if min(gains.values()) >= MARGIN else "float32"
        found = ", ".join(f"{name} {gain:.2g}" for name, gain in gains.items())
        why = f"bfloat16 is measured {found} times as fast as float32, {MARGIN:g} would pay"
    elif not torch.cuda.is_available():
        chosen, why = "float32", "the GPUs are elsewhere and can't be asked; set precision: bfloat16 if they have it"
    elif torch.cuda.is_bf16_supported(including_emulation=False):
        chosen, why = "bfloat16", f"{torch.cuda.get_device_name()} has it"
    else:
        chosen, why = "float32", f"{torch.cuda.get_device_name()} has no bfloat16"
    log.info("precision auto: %s (%s)", chosen, why)
    return chosen


def _gains() -> dict[str, float]:
    """How many times as fast as in float32 the processor convolves and multiplies in bfloat16.

    Some tens of milliseconds: as soon as one is too slow, the rest is not measured. With one thread, by the processor's time of
    that thread: a busy machine stalls several.
    """
    import torch
    from torch.nn import functional as F

    threads, draws = torch.get_num_threads(), torch.Generator().manual_seed(0)
    image, kernel = torch.randn(1, 96, 24, 24, generator=draws), torch.randn(96, 96, 3, 3, generator=draws)
    image, kernel = (x.to(memory_format=torch.channels_last) for x in (image, kernel))
    matrix = torch.randn(256, 256, generator=draws)

    def convolution(kind: torch.dtype) -> Callable[[], object]:
        x, weight = image.to(kind), kernel.to(kind)
        return lambda: F.conv2d(x, weight, padding=1)

    def product(kind: torch.dtype) -> Callable[[], object]:
        x = matrix.to(kind)
        return lambda: x @ x

    gains: dict[str, float] = {}
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for name, work in {"convolution": convolution, "matrix product": product}.items():
                gains[name] = _gain(work(torch.float32), work(torch.bfloat16))
                if gains[name] < 1:
                    break
    finally:
        torch.set_num_threads(threads)
    return gains


def _gain(usual: Callable[[], object], tried: Callable[[], object]) -> float:
    """Times as fast as the usual one; the first run of each, which chooses kernels, does not count unless it tells enough."""
    _seconds(usual)
    fastest = min(_seconds(usual) for _ in range(ROUNDS))
    if (first := _seconds(tried)) > 20 * fastest:
        return fastest / first
    return fastest / min(_seconds(tried) for _ in range(ROUNDS))


def _seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return max(time.thread_time() - start, 1e-9)
