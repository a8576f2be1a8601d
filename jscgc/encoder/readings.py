"""The readings of a small window all at once: each as one matrix from position to position, and the matrices summed.

A reading's scan without its skip and without the state that it starts from is a lower triangular matrix in the reading's own
order (Dao & Gu 2024, arXiv 2405.21060, eq. 4):

    y_i = sum over j read no later than i of  (C_i . B_j) exp(total_i - total_j) dt_j x_j,     total_i: sum of dt A up to i

In the order of the window's rows all readings act on the same x, so that their matrices can be added before they meet it: nothing
is turned round or transposed, and x goes through one product instead of one for each reading.

Shape suffixes: R windows, L positions, K readings, H heads, P head width, N state.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from jscgc.encoder.scan import NOTHING

LONGEST = 64
"""Most positions of a window: the matrices grow with their square, the chunks of `scan` do not."""
IN_CACHE = 4
"""Windows whose matrices are made at a time where no gradient is wanted: they then stay in a core's cache."""


@lru_cache(maxsize=32)
def no_later(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """KLL: 1 where reading k comes to position j no later than to i, else 0. Readings as of `mamba.read`."""
    rows = torch.arange(height * width)
    columns = rows % width * height + rows // width
    places = torch.stack([rows, columns, -rows, -columns])
    return (places[:, None, :] <= places[:, :, None]).to(device, dtype)


def _decays(total_RKHL: Tensor, start_RKHL: Tensor, order_KLL: Tensor) -> Tensor:
    """exp(total_i - total_j) dt_j where j is read no later than i, else 0: RKHLL."""
    exponent = total_RKHL[..., :, None] - start_RKHL[..., None, :]
    # Masking the exponent, not its result, keeps inf out.
    return exponent.add_(order_KLL.log()[:, None]).clamp_min_(NOTHING).exp_()


def _summed(decays_RKHLL: Tensor, scores_RKLL: Tensor) -> Tensor:
    """The sum of decays * scores over readings: RHLL."""
    scores_RKLL = scores_RKLL.to(decays_RKHLL.dtype)
    matrix = decays_RKHLL[:, 0] * scores_RKLL[:, 0, None]
    for k in range(1, decays_RKHLL.shape[1]):
        matrix.addcmul_(decays_RKHLL[:, k], scores_RKLL[:, k, None])
    return matrix


class _Read(torch.autograd.Function):
    """With the gradient by hand: autograd would keep and pass over each RKHLL several times more."""

    @staticmethod
    def forward(
        ctx: Any,
        x_RHLP: Tensor,
        B_RKLN: Tensor,
        C_RKLN: Tensor,
        total_RKHL: Tensor,
        start_RKHL: Tensor,
        order_KLL: Tensor,
    ) -> Tensor:
        decays_RKHLL = _decays(total_RKHL, start_RKHL, order_KLL)
        scores_RKLL = C_RKLN @ B_RKLN.mT
        matrix_RHLL = _summed(decays_RKHLL, scores_RKLL)
        ctx.save_for_backward(x_RHLP, B_RKLN, C_RKLN, decays_RKHLL, scores_RKLL, matrix_RHLL)
        return matrix_RHLL.to(x_RHLP.dtype) @ x_RHLP

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_RHLP,) = gradients
        x_RHLP, B_RKLN, C_RKLN, decays_RKHLL, scores_RKLL, matrix_RHLL = ctx.saved_tensors
        by_x = matrix_RHLL.mT.to(x_RHLP.dtype) @ gradient_RHLP
        by_entry_RKHLL = decays_RKHLL * (gradient_RHLP @ x_RHLP.mT)[:, None]
        by_score_RKLL = by_entry_RKHLL.sum(2).to(x_RHLP.dtype)
        by_entry_RKHLL.mul_(scores_RKLL[:, :, None])
        by_total, by_start = by_entry_RKHLL.sum(-1), -by_entry_RKHLL.sum(-2)
        return by_x, by_score_RKLL.mT @ C_RKLN, by_score_RKLL @ B_RKLN, by_total, by_start, None


def readings(
    x_RHLP: Tensor, log_dt_RKHL: Tensor, A_KH: Tensor, B_RKLN: Tensor, C_RKLN: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """The sum over readings of the scans of windows of height x width = L positions, row by row.

    Args:
        x_RHLP: input; log_dt_RKHL: logarithms of the step sizes; A_KH: negative decay rates; B_RKLN, C_RKLN: input and output
        maps. Of one device; step sizes and decays of one float type, the others, which only enter products, of one that may be
        less precise.

    Returns:
        y_RHLP, like x, without skip and initial state; and exp(total) RKHL, what is left of an initial state.
    """
    order_KLL = no_later(height, width, x_RHLP.device, log_dt_RKHL.dtype)
    log_a_KLRH = (log_dt_RKHL.exp() * A_KH[:, :, None]).permute(1, 3, 0, 2)
    total_RKHL = (order_KLL @ log_a_KLRH.flatten(2)).reshape(log_a_KLRH.shape).permute(2, 0, 3, 1)
    start_RKHL = total_RKHL - log_dt_RKHL
    inputs = x_RHLP, B_RKLN, C_RKLN, total_RKHL, start_RKHL
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        y_RHLP = _Read.apply(*inputs, order_KLL)
    else:
        parts = zip(*(torch.split(tensor, IN_CACHE) for tensor in inputs), strict=True)
        y_RHLP = torch.cat(
            [_summed(_decays(total, start, order_KLL), C @ B.mT).to(x.dtype) @ x for x, B, C, total, start in parts]
        )
    return y_RHLP, total_RKHL.exp()
