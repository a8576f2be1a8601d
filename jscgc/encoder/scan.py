"""The state-space scan (Mamba-2's structured state-space duality, Dao & Gu 2024, arXiv 2405.21060).

Per head with scalar decay a_t = exp(dt_t A), state H_t of shape P x N:

    H_t = a_t H_{t-1} + dt_t x_t B_t^T,        y_t = H_t C_t + D x_t

Shape suffixes: B batch, L length, H heads, P head width, G groups (H / G heads share B and C), N state, Q chunk, K chunks.

One interface, three implementations with the same meaning: `scan_reference` (a loop to read), `scan_chunked` (matrix
products; any device), and mamba-ssm's CUDA kernel when it is installed and the tensors are on a GPU.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional as F

from jscgc.encoder.kernels import cuda_scan

CHUNK = 48
"""Steps per matrix product on the CPU; 32 to 64 are equally fast here, forward and backward together."""
NOTHING = -60.0
"""Least exponent of a decay: e^-60 is far below any rounding. What underflows, and e^-inf too, costs up to 15 times as much."""
SEGMENT = 128 * CHUNK
"""Steps between which only the state is kept."""
KERNEL_CHUNK = 256
"""mamba-ssm's own choice for its CUDA kernels."""
KERNEL_FROM = 512
"""Steps from which the kernels are taken. On an H200 they win from about here on (1.6 times at 1024, 10 at 16384); at 144 the
chunked products are as fast, exact in float32, and spare the two minutes in which Triton compiles and tunes the kernels."""


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
    """The same by matrix products inside chunks of `CHUNK` steps and a loop over chunks. Returns y_BLHP.

    Long sequences go through in segments: what a segment needs beside input and output stays in the cache and is free
    again before the next one (unless gradients are wanted).
    """
    if x_BLHP.shape[1] <= SEGMENT:
        return _segment(x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, D_H, state_BHPN)[0]
    outputs = []
    for x, dt, B, C in zip(*(torch.split(t, SEGMENT, dim=1) for t in (x_BLHP, dt_BLH, B_BLGN, C_BLGN)), strict=True):
        y, state_BHPN = _segment(x, dt, A_H, B, C, D_H, state_BHPN)
        outputs.append(y)
    return torch.cat(outputs, dim=1)


def _segment(
    x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_H: Tensor, state_BHPN: Tensor
) -> tuple[Tensor, Tensor]:
    """y_BLHP and the state after the last step."""
    length, groups = x_BLHP.shape[1], B_BLGN.shape[2]
    # Of equal chunks, so that hardly anything is padded.
    chunk = -(-length // -(-length // CHUNK))
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
    decay_BKGRQQ = difference.masked_fill_(future, NOTHING).clamp_min_(NOTHING).exp_()
    scores_BKGQQ = C_BKGQN @ B_BKGQN.transpose(-1, -2)
    within = (scores_BKGQQ[:, :, :, None] * decay_BKGRQQ) @ dx_BKGRQP

    to_end_BKGRQ = (total_BKGRQ[..., -1:] - total_BKGRQ).exp()
    writes_BKGRPN = (dx_BKGRQP * to_end_BKGRQ[..., None]).transpose(-1, -2) @ B_BKGQN[:, :, :, None]
    state_BGRPN = rearrange(state_BHPN, "b (g r) p n -> b g r p n", g=groups)
    entering = []
    # Unbound once: indexing inside the loop would give every step a gradient of full size, a quadratic cost.
    through_KBGR11 = total_BKGRQ[..., -1, None, None].exp().unbind(1)
    for through_BGR11, write_BGRPN in zip(through_KBGR11, writes_BKGRPN.unbind(1), strict=True):
        entering.append(state_BGRPN)
        state_BGRPN = through_BGR11 * state_BGRPN + write_BGRPN
    carried = C_BKGQN[:, :, :, None] @ torch.stack(entering, dim=1).transpose(-1, -2)
    y_BKGRQP = within + carried * total_BKGRQ.exp()[..., None]
    y_BLHP = rearrange(y_BKGRQP, "b k g r q p -> b (k q) (g r) p")[:, :length]
    # Expanded over the head first: the gradient of D is then summed in two steps, twenty times more precisely.
    D_HP = D_H[:, None].expand(-1, x_BLHP.shape[-1])
    return y_BLHP + D_HP * x_BLHP, state_BGRPN.flatten(1, 2)


def scan_kernel(
    x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_H: Tensor, state_BHPN: Tensor
) -> Tensor:
    """The same by mamba-ssm's Triton kernels, on a GPU; products in TF32 (relative error 1e-3). Returns y_BLHP.

    Raises:
        RuntimeError: no kernels here.
    """
    kernel, why = cuda_scan()
    if kernel is None:
        raise RuntimeError(why)
    y: Tensor = kernel(x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, chunk_size=KERNEL_CHUNK, D=D_H, initial_states=state_BHPN)
    return y


def implementation(length: int, device: torch.device) -> tuple[str, str]:
    """Which scan runs over `length` steps on a device, and why."""
    if device.type != "cuda":
        return "chunked", f"the device is {device.type}; mamba-ssm's kernels need a GPU"
    kernel, why = cuda_scan()
    if kernel is None:
        return "chunked", why
    if length < KERNEL_FROM:
        return "chunked", f"mamba-ssm's kernels are for {KERNEL_FROM} steps or more"
    return "mamba_ssm", why


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
    chosen = scan_kernel if implementation(x_BLHP.shape[1], x_BLHP.device)[0] == "mamba_ssm" else scan_chunked
    return chosen(x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, D_H, state_BHPN)
