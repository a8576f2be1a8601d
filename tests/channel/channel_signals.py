"""Symbols and draws for the tests of the channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_symbols(*shape: int, seed: int = 9) -> Tensor:
    """CN(0,1)."""
    return torch.randn(*shape, dtype=torch.complex64, generator=stream(seed))


def qpsk(count: int, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Bits [count,2] and unit-power symbols [1,count,1,1], one bit on each real axis."""
    bits = torch.randint(0, 2, (count, 2), generator=stream(seed))
    amplitudes = (2 * bits - 1) / math.sqrt(2)
    return bits, torch.complex(amplitudes[:, 0], amplitudes[:, 1]).reshape(1, -1, 1, 1)


def bit_errors(bits: Tensor, estimate: Tensor) -> float:
    received = torch.view_as_real(estimate.flatten()) > 0
    return (received != bits.bool()).double().mean().item()
