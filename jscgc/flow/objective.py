"""The training objective: flow matching (paper, eq. 4)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, interpolate, sample_times


def flow_matching_loss(
    velocity: VelocityField,
    x0: Tensor,
    generator: torch.Generator,
    time_law: Literal["uniform", "logit_normal"] = "uniform",
) -> Tensor:
    """Eq. (4): the mean of |(eps - x0) - nu(x_t, t)|^2 over values, images, noise and time.

    Args:
        velocity: nu(x_t, t), with any condition already bound; gradients flow into whatever it was bound to.
        x0: data [B,...], of unit variance.
        generator: draws time and noise (on the CPU, so that the draw does not depend on the device).
        time_law: law of t.

    Returns:
        Scalar loss. 2 for nu = 0 and white data; the best unconditional field of white Gaussian data has pi/2.
    """
    noise = torch.randn(x0.shape, generator=generator).to(x0)
    t = sample_times(len(x0), time_law, generator).to(x0)
    return torch.mean((noise - x0 - velocity(interpolate(x0, noise, t), t)) ** 2)
