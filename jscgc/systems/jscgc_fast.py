"""JSCGC in a few steps: the same transmitter, and a receiver distilled from JSCGC's (see flow/distil.py), guidance included."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jscgc.channel.params import LinkParams
from jscgc.channel.receiver import Received
from jscgc.flow.distil import distillation_loss
from jscgc.flow.samplers import Grid, Samples, guidance_at, guided, sample
from jscgc.systems.base import Sampling
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.links import draw_link
from jscgc.systems.params import FewStepParams


class FastJscgcNet(nn.Module):
    """A JSCGC whose receiver takes `grid.steps` Euler steps of one evaluation each, whatever else is asked for.

    Args:
        net: the student. It starts as the teacher; transmitter and Refiner stay the teacher's, so that one signal serves both.
        grid: the student's.
    """

    generative = True

    def __init__(self, net: JscgcNet, grid: Grid) -> None:
        super().__init__()
        self.net, self.grid, self.own_steps = net, grid, grid.steps

    def loss(
        self, teacher: JscgcNet, latents: Tensor, link: LinkParams, params: FewStepParams, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """The student's distance to the guided teacher over a drawn link."""
        drawn = draw_link(link, len(latents), rng, latents.device)
        with torch.no_grad():
            received = drawn.send(teacher.encoder.nested(latents, drawn.snr_db, drawn.rates), rng)
            condition = teacher.condition(received)
        conditional, prior = teacher.receiver.conditional(condition, received), teacher.receiver.prior.backbone
        field, _ = guided(conditional, prior, guidance_at(params.guidance, received.snr_db))
        student = self.net.receiver.conditional(condition, received)
        return {"loss": distillation_loss(student, field, latents, rng, self.grid, params.substeps)}

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """The transmitter: JSCGC's."""
        return self.net.symbols(latents, snr_db, rate)

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """The receiver: its own few steps; of `sampling` only the noise is used."""
        condition = self.net.condition(received)
        receiver = self.net.receiver
        shape = (len(condition), receiver.channels, *condition.shape[-2:])
        noise = torch.randn(shape, generator=sampling.rng).to(condition)
        field = receiver.conditional(condition, received) if conditioned else receiver.prior.backbone
        return sample(field, noise, self.grid)

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> None:
        """A student's velocities are means over intervals, no conditional expectations: nothing can be estimated from them."""
        return None
