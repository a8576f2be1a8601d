"""The straight path between data and noise, x_t = (1 - t) x0 + t eps (paper, below eq. 4, with T = 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

VelocityField = Callable[[Tensor, Tensor], Tensor]
"""nu(x_t [B,...], t [B]) -> E[eps - x0 | x_t] [B,...]."""
VelocityFields = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""Several of them at one point, which may share what they compute."""


def expand(t: Tensor, like: Tensor) -> Tensor:
    """t [B] as [B,1,...] to multiply with `like` [B,...]."""
    return t.reshape(-1, *[1] * (like.ndim - 1))


def one_by_one(*fields: VelocityField) -> VelocityFields:
    """Fields that share nothing."""
    return lambda x_t, t: [field(x_t, t) for field in fields]


def interpolate(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x0 + t eps for data x0 [B,...], noise eps [B,...] and t [B] in [0,1]."""
    s = expand(t, x0)
    return (1 - s) * x0 + s * noise


def preconditioning(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients (skip, out, in), each like t, of nu = skip x_t + out F(in x_t, t), for data of unit variance.

    skip x_t is the best *linear* velocity, E[eps - x0 | x_t] of white Gaussian data; F then has input and target of unit
    variance at every t. Our choice after Karras et al. 2022 (arXiv 2206.00364, Table 1), for networks trained from
    scratch: a prior trained for minutes spends none of them on learning to copy its input.
    """
    variance = (1 - t) ** 2 + t**2
    return (2 * t - 1) / variance, variance.rsqrt(), variance.rsqrt()
