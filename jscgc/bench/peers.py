"""Other people's scans behind our interface: mamba-ssm's reference (CPU, sequential) and mambapy's parallel scan.

Mamba-2's scan is Mamba-1's with one decay per head, so both get the very problem that ours gets and must return the same
numbers; what they cost for repeating the decay over channels and states is part of how they work. Neither takes an initial
state.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from jscgc.encoder.kernels import mamba_ssm_module

StatelessScan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN (one group), D_H -> y_BLHP, from a zero state."""


def mamba_ssm_reference() -> StatelessScan:
    """mamba-ssm's `selective_scan_ref`.

    Raises:
        ValueError: mamba-ssm can't be imported.
    """
    try:
        reference = mamba_ssm_module("ops.selective_scan_interface").selective_scan_ref
    except ImportError as error:
        raise ValueError(f"{error}; `make install` adds mamba-ssm, built without CUDA") from None

    def scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        u, delta, decay, skip = _by_channel(x, dt, A, B, D)
        y: Tensor = reference(u.mT, delta.mT, decay, B[:, :, 0].mT, C[:, :, 0].mT, skip)
        return y.mT.reshape(x.shape)

    return scan


def mambapy_scan() -> StatelessScan:
    """mambapy's `pscan` (Blelloch), as its MambaBlock calls it.

    Raises:
        ValueError: mambapy is not installed.
    """
    if find_spec("mambapy") is None:
        raise ValueError("mambapy is not installed: pip install mambapy")
    selective_scan = import_module("mambapy.mamba").MambaBlock.selective_scan

    def scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        u, delta, decay, skip = _by_channel(x, dt, A, B, D)
        y: Tensor = selective_scan(None, u, delta, decay, B[:, :, 0], C[:, :, 0], skip)
        return y.reshape(x.shape)

    return scan


def _by_channel(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, D: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """u [B,L,HP], delta [B,L,HP], A [HP,N], D [HP] of Mamba-1."""
    width = x.shape[-1]
    decay = A.repeat_interleave(width)[:, None].expand(-1, B.shape[-1])
    return x.flatten(2), dt.repeat_interleave(width, dim=-1), decay, torch.repeat_interleave(D, width)
