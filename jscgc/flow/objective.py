"""The training objective: flow matching (paper, eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, interpolate
from jscgc.flow.times import Times

UNIFORM = Times()


def flow_matching_loss(
    velocity: VelocityField, x0: Tensor, rng: torch.Generator, times: Times = UNIFORM, weights: Tensor | None = None
) -> Tensor:
    """Eq. (4): the mean of w(t) |(eps - x0) - nu(x_t, t)|^2 over values, images, noise and time.

    Args:
        velocity: nu(x_t, t), with any condition already bound; gradients flow into whatever it was bound to.
        x0: data [B,...], of unit variance.
        rng: draws time and noise (on the CPU, so that the draw does not depend on the device).
        times: law of t and weighting w.
        weights: of each image, [B]; all 1 if None.

    Returns:
        Scalar loss. Of uniform times and weights: 2 for nu = 0 and white data; the best unconditional field of white
        Gaussian data has pi/2.
    """
    noise = torch.randn(x0.shape, generator=rng).to(x0)
    t = times.sample(len(x0), rng).to(x0)
    errors = (noise - x0 - velocity(interpolate(x0, noise, t), t)).square().flatten(1).mean(1)
    return times.mass * torch.mean(errors if weights is None else weights * errors)


def lagrangian_weights(keep: Tensor, dropout: float, perception_weight: float) -> Tensor:
    """Weights [B] that make the loss over a batch with dropped conditions the Lagrangian of (2).

        E|u - nu(x_t, t, y)|^2 + perception_weight E|u - nu(x_t, t)|^2

    The first term bounds the information that is lost, the second the divergence d_p between p(x) and q(x), the
    generator's law without a condition. Each image serves one of the two: dropped with probability `dropout`, it counts
    perception_weight / dropout, kept 1 / (1 - dropout); the expectation is the sum above.

    Args:
        keep: [B], 0 where the condition was dropped, else 1.
        dropout: in [0,1); 0 allows no perception_weight but 0.
        perception_weight: the multiplier, at least 0.
    """
    assert dropout or not perception_weight
    dropped = perception_weight / dropout if dropout else 0.0
    return keep / (1 - dropout) + (1 - keep) * dropped
