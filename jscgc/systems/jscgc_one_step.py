"""What JSCGC's receiver knows without sampling: its estimate of the latents at the sampler's first step.

At t = 1, x_t is noise and tells nothing of x_0, so that x_t - nu(x_t, 1, y_hat) estimates the posterior mean E[x_0 | y_hat]: a
regression by the same network from the same symbols. Beside JSCGC it shows what sampling brings, and what regression does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jscgc.channel.receiver import Received
from jscgc.flow.samplers import Grid, Samples, sample
from jscgc.seeding import stream
from jscgc.systems.base import Sampling
from jscgc.systems.jscgc import JscgcNet


class OneStepNet(nn.Module):
    """A JSCGC whose receiver takes one step, unguided, always from the same noise: nothing of it is drawn."""

    generative = False
    own_steps = 1

    def __init__(self, net: JscgcNet) -> None:
        super().__init__()
        self.net = net

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """The transmitter: JSCGC's."""
        return self.net.symbols(latents, snr_db, rate)

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """The receiver; nothing of `sampling` is used."""
        condition, receiver = self.net.condition(received), self.net.receiver
        shape = (len(condition), receiver.channels, *condition.shape[-2:])
        noise = torch.randn(shape, generator=stream(0, "one step")).to(condition)
        field = receiver.conditional(condition, received) if conditioned else receiver.prior.backbone
        return sample(field, noise, Grid(1))

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> None:
        """JSCGC's own is measured with JSCGC."""
        return None
