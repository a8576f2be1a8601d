"""Euler-Maruyama on the SDE."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from jscgc.flow.solver import SolverKind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from jscgc.flow.solver import Slope


def run(nu: Slope, x: Tensor, times: list[float], rng: torch.Generator | None) -> Tensor:
    """Eq. (10). At t = 1 its coefficients are infinite: x_1 is pure noise, whose step to the next time is known in closed form.

    A step is taken as x <- mean + deviation * noise with x0_hat = x - t nu, eps_hat = x + (1 - t) nu: to first order in the step
    it is Euler-Maruyama on (10), and it stays finite.
    """
    import torch

    for t, following in pairwise(times):
        slope = nu(x, t)
        data, noise = x - t * slope, x + (1 - t) * slope
        if following == 0:
            return data
        # x_s = (1 - s) x0 + s eps. The SDE keeps the share r of eps_hat and renews the rest, with the same total variance.
        keep = (following * (1 - t)) / (t * (1 - following)) if t < 1 else 0.0
        fresh = torch.randn(x.shape, generator=rng).to(x)
        x = (1 - following) * data + following * (keep * noise + math.sqrt(1 - keep**2) * fresh)
    return x


SDE = SolverKind("sde", "Euler-Maruyama, one call a step, new noise in each but the last", run, order=40, random=True)
