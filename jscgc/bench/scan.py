"""`jscgc bench scan`: our CPU scan beside mamba-ssm's reference and mambapy's parallel scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from jscgc.bench.measure import Work, compare, seconds
from jscgc.bench.peers import StatelessScan, mamba_ssm_reference, mambapy_scan
from jscgc.encoder.scan import scan

OURS = "ours"
Pass = Literal["forward", "forward_backward"]
TOLERANCE = 1e-4
"""Largest relative difference between implementations before a comparison is refused."""


def ours(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """What the encoder runs on this device, from a zero state."""
    return scan(x, dt, A, B, C, D, x.new_zeros(len(x), x.shape[2], x.shape[3], B.shape[-1]))


def problem(length: int, batch: int, heads: int, width: int, state: int, gradient: bool, device: str) -> list[Tensor]:
    """Random x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, D_H in Mamba's ranges: dt about 0.1, A from -1 to -16."""
    g = torch.Generator().manual_seed(length)
    tensors = (
        torch.randn(batch, length, heads, width, generator=g),
        0.1 * torch.randn(batch, length, heads, generator=g).abs(),
        -torch.linspace(1, 16, heads),
        torch.randn(batch, length, 1, state, generator=g),
        torch.randn(batch, length, 1, state, generator=g),
        torch.randn(heads, generator=g),
    )
    return [t.to(device).requires_grad_(gradient) for t in tensors]


def bench_scan(
    lengths: Sequence[int],
    *,
    batch: int = 1,
    heads: int = 2,
    width: int = 32,
    state: int = 16,
    rounds: int = 5,
    limit_s: float = 20.0,
    device: str = "cpu",
) -> Iterator[dict[str, Any]]:
    """Rows of length, pass, implementation, ms, peak_mb, ratio_to_ours, skipped.

    An implementation that would need more than `limit_s` for a run, judged by the length before and a quadratic cost,
    is skipped and says so (mamba-ssm's reference differentiates its loop at such a cost).

    Raises:
        ValueError: a peer is missing, or an implementation's result differs from ours: then nothing is compared.
    """
    implementations: dict[str, StatelessScan] = {
        OURS: ours,
        "mamba_ssm_ref": mamba_ssm_reference(),
        "mambapy_pscan": mambapy_scan(),
    }
    passes: tuple[Pass, ...] = ("forward", "forward_backward")
    for kind in passes:
        last: dict[str, tuple[int, float]] = {}
        for length in sorted(lengths):
            inputs = problem(length, batch, heads, width, state, kind == "forward_backward", device)
            works: dict[str, Work] = {}
            for name, function in implementations.items():
                work = partial(_run, function, inputs)
                before, spent = last.get(name, (length, 0.0))
                if name == OURS or spent * (length / before) ** 2 <= limit_s:
                    last[name] = (length, seconds(work))
                    works[name] = work
            _check(implementations, works, inputs)
            measured = compare(works, rounds)
            for name in implementations:
                row: dict[str, Any] = {"length": length, "pass": kind, "implementation": name}
                if name in measured:
                    m = measured[name]
                    yield row | {"ms": m.ms, "peak_mb": m.peak_mb, "ratio_to_ours": m.ratio, "skipped": None}
                else:
                    reason = f"would need more than {limit_s:g} s a run"
                    yield row | {"ms": None, "peak_mb": None, "ratio_to_ours": None, "skipped": reason}


def _run(function: Callable[..., Tensor], inputs: list[Tensor]) -> None:
    y = function(*inputs)
    if inputs[0].requires_grad:
        torch.autograd.grad(y.sum(), inputs)


@torch.no_grad()
def _check(implementations: dict[str, StatelessScan], works: dict[str, Work], inputs: list[Tensor]) -> None:
    expected = implementations[OURS](*inputs)
    for name in works:
        error = ((implementations[name](*inputs) - expected).abs().max() / expected.abs().max()).item()
        if not error <= TOLERANCE:
            raise ValueError(f"{name} differs from ours by {error:.1e} of the largest value; nothing to compare")
