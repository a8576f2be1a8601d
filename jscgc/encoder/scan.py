"""The state-space scan (Mamba-2's structured state-space duality, Dao & Gu 2024, arXiv 2405.21060).

Per head with scalar decay a_t = exp(dt_t A), state H_t of shape P x N:

    H_t = a_t H_{t-1} + dt_t x_t B_t^T,        y_t = H_t C_t + D x_t

Shape suffixes: B batch, L length, H heads, P head width, G groups (H / G heads share B and C), N state, Q chunk, K chunks.

One interface, three implementations with the same meaning: `scan_reference` (a loop to read), `scan_chunked` (matrix
products; any device), and mamba-ssm's CUDA kernel when it is installed and the tensors are on a GPU.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional as F

CHUNK = 64


def scan_reference(
    x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_H: Tensor, state_BHPN: Tensor
) -> Tensor:
    """The recurrence as written above, one step after another. Returns y_BLHP."""
    heads = x_BLHP.shape[2]
    B_BLHN = repeat(B_BLGN, "b l g n -> b l (g r) n", r=heads // B_BLGN.shape[2])
    C_BLHN = repeat(C_BLGN, "b l g n -> b l (g r) n", r=heads // C_BLGN.shape[2])
    outputs = []
    for t in range(x_BLHP.shape[1]):
        decay_BH = torch.exp(dt_BLH[:, t] * A_H)
        write_BHPN = torch.einsum("bh,bhp,bhn->bhpn", dt_BLH[:, t], x_BLHP[:, t], B_BLHN[:, t])
        state_BHPN = decay_BH[..., None, None] * state_BHPN + write_BHPN
        outputs.append(torch.einsum("bhpn,bhn->bhp", state_BHPN, C_BLHN[:, t]) + D_H[:, None] * x_BLHP[:, t])
    return torch.stack(outputs, dim=1)


def scan_chunked(
    x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_H: Tensor, state_BHPN: Tensor
) -> Tensor:
    """The same by matrix products inside chunks of `CHUNK` steps and a loop over chunks. Returns y_BLHP."""
    length, heads, groups = x_BLHP.shape[1], x_BLHP.shape[2], B_BLGN.shape[2]
    chunk = min(CHUNK, length)
    tail = -length % chunk
    # Padding with dt = 0 is a step that neither decays nor writes.
    split = "b (k q) (g r) p -> b k g r q p"
    padded = F.pad(x_BLHP * dt_BLH[..., None], (0, 0, 0, 0, 0, tail))
    dx_BKGRQP = rearrange(padded, split, q=chunk, g=groups)
    log_a_BKGRQ = rearrange(F.pad(dt_BLH * A_H, (0, 0, 0, tail)), "b (k q) (g r) -> b k g r q", q=chunk, g=groups)
    B_BKGQN = rearrange(F.pad(B_BLGN, (0, 0, 0, 0, 0, tail)), "b (k q) g n -> b k g q n", q=chunk)
    C_BKGQN = rearrange(F.pad(C_BLGN, (0, 0, 0, 0, 0, tail)), "b (k q) g n -> b k g q n", q=chunk)

    total_BKGRQ = log_a_BKGRQ.cumsum(-1)
    # decay[i, j] = a_{j+1} ... a_i for j <= i. Masking the exponent (not its result) keeps inf out of the gradient.
    difference = total_BKGRQ[..., :, None] - total_BKGRQ[..., None, :]
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=x_BLHP.device).triu(1)
    decay_BKGRQQ = difference.masked_fill(future, -torch.inf).exp()
    scores_BKGQQ = C_BKGQN @ B_BKGQN.transpose(-1, -2)
    within = (scores_BKGQQ[:, :, :, None] * decay_BKGRQQ) @ dx_BKGRQP

    to_end_BKGRQ = (total_BKGRQ[..., -1:] - total_BKGRQ).exp()
    writes_BKGRPN = (dx_BKGRQP * to_end_BKGRQ[..., None]).transpose(-1, -2) @ B_BKGQN[:, :, :, None]
    state = rearrange(state_BHPN, "b (g r) p n -> b g r p n", g=groups)
    entering = []
    for k in range(writes_BKGRPN.shape[1]):
        entering.append(state)
        state = total_BKGRQ[:, k, ..., -1].exp()[..., None, None] * state + writes_BKGRPN[:, k]
    carried = C_BKGQN[:, :, :, None] @ torch.stack(entering, dim=1).transpose(-1, -2)
    y_BKGRQP = within + carried * total_BKGRQ.exp()[..., None]
    y_BLHP = rearrange(y_BKGRQP, "b k g r q p -> b (k q) (g r) p", g=groups)[:, :length]
    assert y_BLHP.shape[2] == heads
    return y_BLHP + D_H[:, None] * x_BLHP


@cache
def _cuda_kernel() -> Any | None:
    if not torch.cuda.is_available() or find_spec("mamba_ssm") is None:
        return None
    return import_module("mamba_ssm.ops.triton.ssd_combined").mamba_chunk_scan_combined


def implementation(device: torch.device) -> tuple[str, str]:
    """Which scan runs on a device, and why."""
    if device.type != "cuda":
        return "chunked", f"the device is {device.type}; mamba-ssm's kernels need a GPU"
    if _cuda_kernel() is None:
        return "chunked", "mamba-ssm is not installed (pip install 'jscgc[cuda]')"
    return "mamba_ssm", "mamba-ssm is installed and the device is a GPU"


def scan(
    x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_H: Tensor, state_BHPN: Tensor
) -> Tensor:
    """The scan by the best implementation for the tensors' device.

    Args:
        x_BLHP: input; dt_BLH: positive step sizes; A_H: negative decay rates; B_BLGN, C_BLGN: input and output maps;
        D_H: skip; state_BHPN: initial state. All float of one dtype and device; L at least 1.

    Returns:
        y_BLHP.
    """
    if x_BLHP.is_cuda and (kernel := _cuda_kernel()) is not None:
        y: Tensor = kernel(x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, chunk_size=CHUNK, D=D_H, initial_states=state_BHPN)
        return y
    return scan_chunked(x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, D_H, state_BHPN)
