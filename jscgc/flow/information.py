"""Mutual information from two velocity fields (I-MMSE; Guo, Shamai & Verdu 2005, for the straight path).

    I(X; Y) = int tau^2 E|nu(x_t, t, y) - nu(x_t, t)|^2 d lambda   [nats],   tau = 1 - t, lambda = ln(tau / (1 - tau))

Exact for exact conditional means. With networks it is an estimate and neither bound: whatever either field has not learnt counts
as information, or hides it. It can't be trusted near its ceiling, the capacity of the channel uses: an error of the
unconditional field that the condition repairs looks just like information.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, interpolate

LAMBDA = 7.0
"""Largest |lambda|. What lies beyond is, per value of posterior variance c, below e^-7 / c at one end and e^-7 at the other."""


@dataclass(frozen=True)
class Information:
    """nats: estimate for each image, float [B]. density: its integrand at `log_snr` (lambda), float [B, points]."""

    nats: Tensor
    density: Tensor
    log_snr: Tensor

    @property
    def bits(self) -> Tensor:
        return self.nats / math.log(2)


@torch.no_grad()
def mutual_information(
    conditional: VelocityField,
    unconditional: VelocityField,
    x0: Tensor,
    generator: torch.Generator,
    points: int = 50,
) -> Information:
    """Estimate I(X; Y) of images whose y is bound into `conditional`.

    Args:
        conditional, unconditional: nu(x_t, t, y) and nu(x_t, t).
        x0: the data that y belongs to, [B,...] of unit variance.
        generator: draws the noise, anew at every point.
        points: of the trapezoidal rule over lambda in [-7, 7], two calls of each field; 50 are enough for 1% of 0.5 ln(1/c)
            down to c = 0.001.

    Raises:
        ValueError: fewer than two points.
    """
    if points < 2:
        raise ValueError(f"points must be at least 2, got {points}")
    log_snr = torch.linspace(-LAMBDA, LAMBDA, points, dtype=torch.float64)
    parts = []
    for value in log_snr.tolist():
        tau = 1 / (1 + math.exp(-value))
        t = torch.full((len(x0),), 1 - tau, dtype=x0.dtype, device=x0.device)
        noise = torch.randn(x0.shape, generator=generator, dtype=x0.dtype).to(x0)
        x_t = interpolate(x0, noise, t)
        parts.append(tau**2 * (conditional(x_t, t) - unconditional(x_t, t)).square().flatten(1).sum(1).double().cpu())
    density = torch.stack(parts, dim=1)
    return Information(torch.trapezoid(density, log_snr, dim=1), density, log_snr)
