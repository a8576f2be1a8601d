"""The selective scan of Mamba-1 (Gu & Dao 2023, arXiv 2312.00752), which MambaJSCC's published code is built on.

Every channel has a state of N entries, and every entry a decay of its own:

    h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t,        y_t = C_t . h_t + D u_t

In Mamba-2's scan (scan.py) all entries and channels of a head share one decay, which makes it a product of matrices. Here it is a
recurrence and nothing else.

Shape suffixes: B batch, L length, D channels, G groups (D / G channels share B and C), R = D / G, N state, Q steps of a chunk.

One interface, three implementations with the same meaning: `selective_reference` (a loop to read), `selective_chunked` (any
device), and mamba-ssm's CUDA kernel when its compiled extension is installed and the tensors are on a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from jscgc.encoder.kernels import cuda_selective_scan
from jscgc.encoder.scan import NOTHING

IN_CACHE = 2**17
"""Entries of the states of a chunk: half a MiB in float32, and as much for their decays."""
SHORTEST = 16
"""Steps of a chunk at least: for the gradient the states between chunks are kept, a sixteenth of all then."""


def selective_reference(
    u_BLD: Tensor, dt_BLD: Tensor, A_DN: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_D: Tensor, state_BDN: Tensor
) -> Tensor:
    """The recurrence as written above, one step after another. Returns y_BLD."""
    each = len(A_DN) // B_BLGN.shape[2]
    outputs = []
    for t in range(u_BLD.shape[1]):
        B_BDN, C_BDN = (repeat(maps[:, t], "b g n -> b (g r) n", r=each) for maps in (B_BLGN, C_BLGN))
        write_BDN = (dt_BLD[:, t] * u_BLD[:, t])[..., None] * B_BDN
        state_BDN = torch.exp(dt_BLD[:, t, :, None] * A_DN) * state_BDN + write_BDN
        outputs.append((state_BDN * C_BDN).sum(-1) + D_D * u_BLD[:, t])
    return torch.stack(outputs, dim=1)


def selective_chunked(
    u_BLD: Tensor, dt_BLD: Tensor, A_DN: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_D: Tensor, state_BDN: Tensor
) -> Tensor:
    """The same in chunks: decays, writes and outputs of a chunk's steps at once, and between them one operation a step. Returns
    y_BLD.

    States of all steps are never there at once, not for the gradient either: it computes them again, chunk by chunk.
    """
    together = len(u_BLD) if u_BLD.is_cuda else max(1, IN_CACHE // (SHORTEST * A_DN.numel()))
    pieces = zip(*(torch.split(part, together) for part in (u_BLD, dt_BLD, B_BLGN, C_BLGN, state_BDN)), strict=True)
    outputs = []
    for u, dt, B, C, state in pieces:
        grouped = {"g": B.shape[2]}
        y_LBGR: Tensor = _Recurrence.apply(
            rearrange(dt * u, "b l (g r) -> l b g r", **grouped).contiguous(),
            rearrange(dt, "b l (g r) -> l b g r", **grouped).contiguous(),
            rearrange(A_DN, "(g r) n -> g r n", **grouped),
            rearrange(B, "b l g n -> l b g n").contiguous(),
            rearrange(C, "b l g n -> l b g n").contiguous(),
            rearrange(state, "b (g r) n -> b g r n", **grouped),
        )
        outputs.append(rearrange(y_LBGR, "l b g r -> b l (g r)"))
    return torch.cat(outputs) + D_D * u_BLD


def _steps(state: Tensor, length: int) -> int:
    """Of a chunk; chunks of equal length."""
    most = max(SHORTEST, IN_CACHE // max(1, state.numel()))
    return -(-length // -(-length // most))


def _states(
    w_QBGR: Tensor, dt_QBGR: Tensor, A_GRN: Tensor, B_QBGN: Tensor, state_BGRN: Tensor
) -> tuple[Tensor, Tensor]:
    """Decays and states of a chunk's steps, QBGRN each."""
    # What underflows costs up to 15 times as much, see NOTHING.
    decays = (dt_QBGR[..., None] * A_GRN).clamp_min_(NOTHING).exp_()
    states = w_QBGR[..., None] * B_QBGN[..., None, :]
    before = state_BGRN
    for decay, state in zip(decays.unbind(), states.unbind(), strict=True):
        before = state.addcmul_(decay, before)
    return decays, states


class _Recurrence(torch.autograd.Function):
    """w = dt u, dt LBGR, A GRN, B, C LBGN, initial state BGRN -> y LBGR, without skip; the gradient by hand."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor) -> Tensor:
        steps = _steps(state, len(w))
        entering, outputs = [], []
        for w_Q, dt_Q, B_Q, C_Q in zip(*(torch.split(part, steps) for part in (w, dt, B, C)), strict=True):
            entering.append(state)
            _, states = _states(w_Q, dt_Q, A, B_Q, state)
            outputs.append((states @ C_Q[..., None])[..., 0])
            state = states[-1].clone()  # so that the chunk's other states are free
        ctx.save_for_backward(w, dt, A, B, C, *entering)
        return torch.cat(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        w, dt, A, B, C, *entering = ctx.saved_tensors
        steps = _steps(entering[0], len(w))
        parts = zip(*(torch.split(part, steps) for part in (gradients[0], w, dt, B, C)), entering, strict=True)
        by_w, by_dt, by_B, by_C = [], [], [], []
        by_A, carried = torch.zeros_like(A), torch.zeros_like(entering[0])
        for by_y, w_Q, dt_Q, B_Q, C_Q, before in reversed(list(parts)):
            decays, states = _states(w_Q, dt_Q, A, B_Q, before)
            by_C.append((by_y[..., None, :] @ states)[..., 0, :])
            by_state = by_y[..., None] * C_Q[..., None, :]
            # Backwards in time: a state acts on its own output and, decayed, on the next state.
            for decay, one in zip(reversed(decays.unbind()), reversed(by_state.unbind()), strict=True):
                carried = one.add_(carried) * decay
            by_w.append((by_state @ B_Q[..., None])[..., 0])
            by_B.append((w_Q[..., None, :] @ by_state)[..., 0, :])
            # By the exponent dt A: of step t, decay_t h_{t-1} times the state's own gradient.
            by_exponent = by_state.mul_(decays)
            by_exponent[1:].mul_(states[:-1])
            by_exponent[0].mul_(before)
            by_dt.append((by_exponent * A).sum(-1))
            by_A += torch.einsum("qbgrn,qbgr->grn", by_exponent, dt_Q)
        return (
            *(torch.cat(part[::-1]) for part in (by_w, by_dt)),
            by_A,
            *(torch.cat(p[::-1]) for p in (by_B, by_C)),
            carried,
        )


def selective_kernel(
    u_BLD: Tensor, dt_BLD: Tensor, A_DN: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_D: Tensor, state_BDN: Tensor
) -> Tensor:
    """The same by mamba-ssm's CUDA kernel, on a GPU, in float32. Returns y_BLD.

    The kernel starts from nothing. So N short steps go before the others, of which the n-th writes entry n of the initial state,
    larger by what it decays until the first real step: the state is then exactly the wanted one.

    Raises:
        RuntimeError: no kernel here.
    """
    kernel, why = cuda_selective_scan()
    if kernel is None:
        raise RuntimeError(why)
    entries, groups = A_DN.shape[1], B_BLGN.shape[2]
    # Short enough that nothing decays by more than e meanwhile.
    step = 1 / (entries * A_DN.detach().abs().max().clamp_min(1))
    remaining = torch.arange(entries - 1, -1, -1, device=A_DN.device, dtype=A_DN.dtype)
    first_u = (state_BDN * torch.exp(-step * A_DN * remaining) / step).mT
    one_hot = torch.eye(entries, device=u_BLD.device, dtype=B_BLGN.dtype)[:, None].expand(len(u_BLD), -1, groups, -1)
    sequences = (
        torch.cat([first_u, u_BLD], 1).mT,
        torch.cat([step.expand(first_u.shape), dt_BLD], 1).mT,
        A_DN,
        rearrange(torch.cat([one_hot, B_BLGN], 1), "b l g n -> b g n l"),
        rearrange(F.pad(C_BLGN, (0, 0, 0, 0, entries, 0)), "b l g n -> b g n l"),
    )
    y: Tensor = kernel(*(part.contiguous() for part in sequences), D=D_D)
    return y.mT[:, entries:]


def implementation(device: torch.device) -> tuple[str, str]:
    """Which selective scan runs on a device, and why."""
    if device.type != "cuda":
        return "chunked", f"the device is {device.type}; mamba-ssm's kernels need a GPU"
    kernel, why = cuda_selective_scan()
    return ("chunked" if kernel is None else "mamba_ssm"), why


def selective_scan(
    u_BLD: Tensor, dt_BLD: Tensor, A_DN: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_D: Tensor, state_BDN: Tensor
) -> Tensor:
    """The selective scan by the best implementation for the tensors' device.

    Args:
        u_BLD: input; dt_BLD: positive step sizes; A_DN: negative decay rates; B_BLGN, C_BLGN: input and output maps; D_D: skip;
        state_BDN: initial state. All float of one dtype and device; L at least 1.

    Returns:
        y_BLD.
    """
    chosen = selective_kernel if implementation(u_BLD.device)[0] == "mamba_ssm" else selective_chunked
    return chosen(u_BLD, dt_BLD, A_DN, B_BLGN, C_BLGN, D_D, state_BDN)
