"""Fields and solvers: Prop. 2's optimum, orders of convergence, and that ODE and SDE draw from the posterior."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from jscgc.flow.gaussian import gaussian_flow, gaussian_velocity, mmse_posterior
from jscgc.flow.objective import flow_matching_loss
from jscgc.flow.samplers import Grid, sample
from jscgc.flow.solvers.euler import EULER
from jscgc.flow.solvers.heun import HEUN
from jscgc.flow.solvers.multistep import MULTISTEP
from jscgc.flow.solvers.sde import SDE
from jscgc.theory.check import Check, stated

MEAN, VARIANCE = 0.6, 0.4
"""Of the source in the checks of fields and solvers."""
ORDERS: dict[str, tuple[int, tuple[int, ...]]] = {
    EULER.name: (1, (40, 80, 160, 320, 640)),
    HEUN.name: (2, (40, 80, 160, 320, 640)),
    # On coarse grids it is better than its order.
    MULTISTEP.name: (2, (640, 1280, 2560, 5120)),
}


def stream(seed: int) -> torch.Generator:
    """A generator of its own for every draw."""
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    """N(0,1), double precision."""
    return torch.randn(*shape, dtype=torch.float64, generator=stream(seed))


def optimum() -> Iterator[Check]:
    """Prop. 2: nu* = -(t grad log p_t(x) + T x) / (T - t), T = 1, and the loss (4) is least there."""
    t, x = torch.tensor([0.35], dtype=torch.float64), torch.linspace(-2, 2, 9, dtype=torch.float64)[None]
    x.requires_grad_()
    total = (1 - t) ** 2 * VARIANCE + t**2
    log_density = -((x - (1 - t) * MEAN) ** 2) / (2 * total)
    (score,) = torch.autograd.grad(log_density.sum(), x)
    by_score = -(t * score + x) / (1 - t)
    difference = (by_score - gaussian_velocity(MEAN, VARIANCE)(x, t)).abs().max().item()
    yield Check(
        "velocity of Prop. 2 from the score, largest difference to E[eps - x0 | x_t]", 0, difference, 1e-9, "Prop. 2"
    )

    # A family of fields around the optimum: the loss's parabola must have its minimum at factor 1.
    x0 = MEAN + math.sqrt(VARIANCE) * normal(1, 2000, 200)
    factors = (0.8, 1.0, 1.2)

    def loss(factor: float) -> float:
        exact = gaussian_velocity(MEAN, VARIANCE)
        return flow_matching_loss(lambda x_t, s: factor * exact(x_t, s), x0, stream(2)).item()

    a, b, _ = np.polyfit(factors, [loss(f) for f in factors], 2)
    yield Check("factor of nu* at which the loss (4) is least", 1, -b / (2 * a), 0.01, "eq. 4, Prop. 2")


def orders() -> tuple[list[Check], dict[str, dict[str, list[float]]]]:
    """Regressed order of every solver, and the errors themselves for the figure."""
    checks: list[Check] = []
    errors: dict[str, dict[str, list[float]]] = {}
    noise = normal(3, 1, 1000)
    exact = gaussian_flow(noise, MEAN, VARIANCE)
    for solver, (order, counts) in ORDERS.items():
        field = gaussian_velocity(MEAN, VARIANCE)
        largest = [(sample(field, noise, Grid(n), solver).x0 - exact).abs().max().item() for n in counts]
        measured = -float(np.polyfit(np.log(counts), np.log(largest), 1)[0])
        checks.append(Check(f"order of convergence, {solver}", order, measured, 0.1, "eq. 15"))
        errors[solver] = {"steps": [float(n) for n in counts], "error": largest}
    return checks, errors


def posterior() -> Iterator[Check]:
    """x ~ N(0,1) received over AWGN at 5 dB: samples given y have the posterior's moments, and cost twice the MMSE."""
    count, noise_var = 200_000, 10 ** (-5 / 10)
    x0 = normal(4, 1, count)
    mean, variance = mmse_posterior(x0, noise_var, normal(5, 1, count))
    c = float(variance)
    field = gaussian_velocity(mean, c)
    standard_error = math.sqrt(2 / count)
    for solver in (EULER.name, SDE.name):
        # Two step sizes: both solvers' errors are of first order and are extrapolated away.
        moments = []
        for steps in (100, 200):
            endpoints = sample(field, normal(6, 1, count), Grid(steps), solver, rng=stream(7)).x0
            spread = (endpoints - mean).square().mean().item()
            moments.append(((endpoints - mean).mean().item(), spread, (endpoints - x0).square().mean().item()))
        first, second, error = (2 * fine - coarse for coarse, fine in zip(*moments, strict=True))
        name = "SDE" if solver == SDE.name else "ODE"
        tolerance = 4 * math.sqrt(5) * standard_error
        yield Check(f"{name}: mean of samples minus posterior mean", 0, first, tolerance, "eqs. 9-15")
        yield stated(f"{name}: variance of samples around the posterior mean", c, second, tolerance, "eqs. 9-15")
        yield stated(f"{name}: squared error of a sample by the least one", 2, error / c, 0.02, "Blau & Michaeli 2018")
    few = slice(0, 50_000)
    part = gaussian_velocity(mean[:, few], c)
    drawn = [sample(part, normal(30 + i, 1, 50_000), Grid(40), HEUN.name).x0 for i in range(16)]
    for samples in (4, 16):
        error = (torch.stack(drawn[:samples]).mean(0) - x0[:, few]).square().mean().item()
        statement = f"squared error of the mean of {samples} samples by the least one"
        yield stated(statement, 1 + 1 / samples, error / c, 0.02, "distortion-perception dial")


def loss_values() -> Iterator[Check]:
    """Posterior variances c: the loss (4) of the exact field is (pi/2) times the mean of sqrt(c)."""
    variances = torch.tensor([0.9, 0.3, 0.05], dtype=torch.float64)
    mean = (1 - variances).sqrt() * normal(9, 4000, 200, 3)
    x0 = mean + variances.sqrt() * normal(10, 4000, 200, 3)
    loss = flow_matching_loss(gaussian_velocity(mean, variances), x0, stream(11)).item()
    yield stated("loss (4), uniform t", math.pi / 2 * variances.sqrt().mean().item(), loss, 0.01, "docs/theory.md")
