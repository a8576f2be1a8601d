"""The generative receiver that JSCGC and DiffJSCC share: a generator steered by an adapter.

What differs between the two is only what the condition is, and whether the encoder learns from this receiver's loss.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from jscgc.config import AdapterParams, GeneratorParams
from jscgc.flow.objective import flow_matching_loss
from jscgc.flow.samplers import Samples, euler, guided
from jscgc.generator.adapter import CaAdapter
from jscgc.generator.backbones import build_backbone
from jscgc.systems.base import Sampling


class Generator(nn.Module):
    """The unconditional prior: a backbone trained by flow matching on latents [B,C,h,w]."""

    def __init__(self, channels: int, params: GeneratorParams) -> None:
        super().__init__()
        self.backbone = build_backbone(channels, params)
        self.time_law: Literal["uniform", "logit_normal"] = params.time_law

    def loss(self, latents: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Eq. (4) without a condition."""
        return {"loss": flow_matching_loss(self.backbone, latents, generator, self.time_law)}


class GenerativeReceiver(nn.Module):
    """q_theta(x | condition): generator, adapter, and the sampling with both."""

    def __init__(self, prior: Generator, condition_channels: int, channels: int, adapter: AdapterParams) -> None:
        super().__init__()
        self.prior, self.channels = prior, channels
        self.adapter = CaAdapter(condition_channels, channels, prior.backbone.points, adapter)

    def loss(
        self, latents: Tensor, condition: Tensor, snr_db: Tensor, dropout: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Eq. (4) with the condition [B,F,h,w] dropped for a share `dropout` of the images."""
        keep = (torch.rand(len(latents), generator=generator) >= dropout).to(latents)

        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            nu: Tensor = self.prior.backbone(x_t, t, self.adapter(condition, snr_db, x_t, t, keep))
            return nu

        return {"loss": flow_matching_loss(velocity, latents, generator, self.prior.time_law)}

    def sample(
        self, condition: Tensor, snr_db: Tensor, size: tuple[int, int], sampling: Sampling, conditioned: bool = True
    ) -> Samples:
        """Latents [B,C,h,w] of `size` (h, w): the ODE from noise, guided; not conditioned, the prior alone."""
        backbone, adapter = self.prior.backbone, self.adapter

        def conditional(x_t: Tensor, t: Tensor) -> Tensor:
            nu: Tensor = backbone(x_t, t, adapter(condition, snr_db, x_t, t))
            return nu

        noise = torch.randn((len(condition), self.channels, *size), generator=sampling.generator).to(condition)
        velocity, evaluations = guided(conditional, backbone, sampling.guidance if conditioned else 0.0)
        return euler(velocity, noise, sampling.steps, evaluations)
