"""Few steps: a student whose one step goes where many small steps of its teacher lead.

Progressive distillation (Salimans & Ho 2022, arXiv 2202.00512) in one go, on the straight path: between two neighbouring times
of the student's grid, t_i > t_{i+1}, the teacher's ODE takes x_{t_i} to x' in `substeps` steps, and the student learns the mean
velocity over the interval, (x_{t_i} - x') / (t_i - t_{i+1}). Its Euler steps then follow the teacher's path, guidance
included, at one evaluation each. Our choice; the paper samples with 50 steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, expand, interpolate
from jscgc.flow.samplers import Grid


@torch.no_grad()
def teacher_step(teacher: VelocityField, x: Tensor, start: Tensor, end: Tensor, substeps: int) -> Tensor:
    """Where `substeps` Euler steps of the teacher's ODE take x [B,...] from times `start` [B] to `end` [B]."""
    step = (end - start) / substeps
    for i in range(substeps):
        x = x + expand(step, x) * teacher(x, start + i * step)
    return x


def distillation_loss(
    student: VelocityField, teacher: VelocityField, x0: Tensor, rng: torch.Generator, grid: Grid, substeps: int
) -> Tensor:
    """Mean squared difference between the student's velocity and the teacher's mean velocity over an interval of the grid.

    Args:
        student, teacher: velocity fields, any condition bound; no gradient goes into the teacher.
        x0: data [B,...].
        rng: draws intervals (in equal shares) and noise.
        grid: the student's times.
        substeps: the teacher's steps in one of the student's.
    """
    times = torch.tensor(grid.times)
    interval = torch.randperm(len(x0), generator=rng) % grid.steps
    start, end = times[interval].to(x0), times[interval + 1].to(x0)
    noise = torch.randn(x0.shape, generator=rng).to(x0)
    x = interpolate(x0, noise, start)
    reached = teacher_step(teacher, x, start, end, substeps)
    target = (x - reached) / expand(start - end, x)
    return torch.mean((student(x, start) - target) ** 2)
