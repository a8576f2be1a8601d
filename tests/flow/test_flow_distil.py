"""Distillation where the teacher's path is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jscgc.flow.distil import distillation_loss, teacher_step
from jscgc.flow.gaussian import gaussian_flow, gaussian_velocity
from jscgc.flow.path import expand
from jscgc.flow.samplers import Grid, sample

MEAN, VARIANCE = 0.5, 0.2


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def transported(x: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The exact ODE of N(MEAN, VARIANCE) data: x_t keeps its place within the marginal N((1-t) MEAN, (1-t)^2 VARIANCE + t^2)."""
    deviations = [((1 - t) ** 2 * VARIANCE + t**2).sqrt() for t in (start, end)]
    place = (x - expand((1 - start) * MEAN, x)) / expand(deviations[0], x)
    return expand((1 - end) * MEAN, x) + expand(deviations[1], x) * place


def exact_student(grid: Grid):
    """The mean velocity of the exact ODE from each time of the grid to the next."""
    times = torch.tensor(grid.times, dtype=torch.float64)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        index = (times[:, None] - t).abs().argmin(0)
        end = times[index + 1]
        return (x - transported(x, t, end)) / expand(t - end, x)

    return velocity


def data(images: int = 400) -> Tensor:
    return MEAN + math.sqrt(VARIANCE) * torch.randn(images, 50, dtype=torch.float64, generator=stream(1))


def test_the_teacher_s_step_converges_to_the_exact_flow():
    x = torch.randn(3, 100, dtype=torch.float64, generator=stream())
    start, end = (torch.tensor(t, dtype=torch.float64) for t in ([1.0, 0.75, 0.5], [0.75, 0.5, 0.0]))
    errors = [
        (teacher_step(gaussian_velocity(MEAN, VARIANCE), x, start, end, n) - transported(x, start, end))
        .abs()
        .max()
        .item()
        for n in (16, 32, 64)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.2)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_the_exact_student_costs_nothing_and_samples_exactly_in_few_steps(shift):
    grid = Grid(4, shift)
    teacher, student = gaussian_velocity(MEAN, VARIANCE), exact_student(grid)
    fine = distillation_loss(student, teacher, data(), stream(), grid, substeps=400).item()
    assert fine < 1e-4
    worse = distillation_loss(lambda x, t: 1.1 * student(x, t), teacher, data(), stream(), grid, substeps=400).item()
    assert worse > 50 * fine
    noise = torch.randn(1, 1000, dtype=torch.float64, generator=stream(2))
    exact = gaussian_flow(noise, MEAN, VARIANCE)
    few = sample(student, noise, grid)
    assert few.nfe == 4
    assert torch.allclose(few.x0, exact, atol=1e-9)
    # The teacher itself, at as many steps, is far from it.
    assert (sample(teacher, noise, grid).x0 - exact).abs().max() > 0.1


def test_training_on_the_loss_finds_the_exact_student():
    """A linear student with a slope and shift of its own at each of the grid's times."""
    grid = Grid(4)
    slope, shift = (torch.zeros(4, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def student(x: Tensor, t: Tensor) -> Tensor:
        index = ((1 - t) * 4).round().long()
        return expand(slope[index], x) * x + expand(shift[index], x)

    optimiser = torch.optim.Adam([slope, shift], lr=0.05)
    for step in range(400):
        optimiser.zero_grad()
        teacher = gaussian_velocity(MEAN, VARIANCE)
        distillation_loss(student, teacher, data(64), stream(step), grid, substeps=30).backward()
        optimiser.step()
    noise = torch.randn(1, 1000, dtype=torch.float64, generator=stream(2))
    found = sample(student, noise, grid).x0
    assert (found - gaussian_flow(noise, MEAN, VARIANCE)).abs().max() < 0.06


def test_no_gradient_reaches_the_teacher_and_every_interval_has_its_share():
    weight = torch.tensor(1.0, requires_grad=True)
    seen = []

    def student(x: Tensor, t: Tensor) -> Tensor:
        seen.extend(t.tolist())
        return 0 * x + weight

    frozen = torch.tensor(1.0, requires_grad=True)
    loss = distillation_loss(student, lambda x, t: frozen * x, torch.zeros(8, 3), stream(), Grid(4), 2)
    loss.backward()
    assert weight.grad is not None and frozen.grad is None
    assert sorted(seen) == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
