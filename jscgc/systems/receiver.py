"""The generative receiver that JSCGC and DiffJSCC share: a generator steered by an adapter.

What differs between the two is only what the condition is, and whether the encoder learns from this receiver's loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jscgc.flow.information import Information, mutual_information
from jscgc.flow.objective import flow_matching_loss, lagrangian_weights
from jscgc.flow.params import ObjectiveParams, known_shift
from jscgc.flow.path import VelocityField, VelocityFields
from jscgc.flow.samplers import Grid, Samples, guidance_at, guided, sample, towards
from jscgc.flow.times import Times
from jscgc.generator.adapter import CaAdapter, LinkState
from jscgc.generator.backbone import together
from jscgc.generator.backbones import build_backbone
from jscgc.generator.lora import add_lora
from jscgc.generator.params import AdapterParams, BackboneParams
from jscgc.systems.base import Sampling
from jscgc.systems.params import JscgcParams, ReceiverShape


class Prior(nn.Module):
    """The unconditional prior: a backbone trained by flow matching on latents [B,C,h,w]."""

    def __init__(self, channels: int, params: BackboneParams) -> None:
        super().__init__()
        self.backbone = build_backbone(channels, params)
        self.scheduler_shift = params.scheduler_shift

    @classmethod
    def tuned(cls, channels: int, shape: ReceiverShape) -> Prior:
        """As part of a receiver: with low-rank updates where those are what learns."""
        prior = cls(channels, shape.generator)
        if shape.tuning == "lora":
            add_lora(prior.backbone, shape.lora_rank)
        return prior

    def loss(self, latents: Tensor, objective: ObjectiveParams, rng: torch.Generator) -> dict[str, Tensor]:
        """Eq. (4) without a condition."""
        return {"loss": flow_matching_loss(self.backbone, latents, rng, times_of(objective))}


def times_of(objective: ObjectiveParams) -> Times:
    """The law of t and its weighting that the parameters name."""
    return Times(objective.time_law, known_shift(objective.time_shift), objective.weight_power)


class GenerativeReceiver(nn.Module):
    """q_theta(x | condition): generator, adapter, and the sampling with both."""

    def __init__(self, prior: Prior, condition_channels: int, channels: int, adapter: AdapterParams) -> None:
        super().__init__()
        self.prior, self.channels = prior, channels
        self.adapter = CaAdapter(condition_channels, channels, prior.backbone, adapter)

    def loss(
        self,
        latents: Tensor,
        condition: Tensor,
        link: LinkState,
        params: JscgcParams,
        objective: ObjectiveParams,
        rng: torch.Generator,
    ) -> dict[str, Tensor]:
        """Eq. (4) with the condition [B,F,h,w] dropped for some of the images, whose term is the perception constraint's."""
        dropout = params.condition_dropout
        keep = (torch.rand(len(latents), generator=rng) >= dropout).to(latents)

        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            nu: Tensor = self.prior.backbone(x_t, t, self.adapter(condition, link, x_t, t, keep))
            return nu

        weights = lagrangian_weights(keep, dropout, params.perception_weight)
        return {"loss": flow_matching_loss(velocity, latents, rng, times_of(objective), weights)}

    def conditional(self, condition: Tensor, link: LinkState) -> VelocityField:
        """nu(x_t, t, y_hat)."""
        backbone, adapter = self.prior.backbone, self.adapter

        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            nu: Tensor = backbone(x_t, t, adapter(condition, link, x_t, t))
            return nu

        return velocity

    def fields(self, *told: tuple[Tensor, LinkState]) -> VelocityFields:
        """nu(x_t, t), and nu(x_t, t, y_hat) for each condition and its link, at once."""
        backbone, adapter = self.prior.backbone, self.adapter

        def fields(x_t: Tensor, t: Tensor) -> list[Tensor]:
            return together(backbone, x_t, t, [None, *(adapter(condition, link, x_t, t) for condition, link in told)])

        return fields

    def sample(
        self,
        condition: Tensor,
        link: LinkState,
        sampling: Sampling,
        conditioned: bool = True,
        reconstruction: Tensor | None = None,
    ) -> Samples:
        """Latents [B,C,h,w] for a condition [B,F,h,w]: from noise, guided; not conditioned, the prior alone.

        `reconstruction`, where there is one, pulls as `sampling.params.reconstruction_guidance` says.
        """
        params, rng = sampling.params, sampling.rng
        noise = torch.randn((len(condition), self.channels, *condition.shape[-2:]), generator=rng).to(condition)
        guidance = guidance_at(params.guidance, link.snr_db) if conditioned else 0.0
        conditional, both = self.conditional(condition, link), self.fields((condition, link))
        velocity, evaluations = guided(conditional, self.prior.backbone, guidance, both)
        if reconstruction is not None and conditioned:
            velocity = towards(velocity, reconstruction, params.reconstruction_guidance)
        grid = Grid(params.steps, known_shift(params.time_shift, self.prior.scheduler_shift))
        return sample(velocity, noise, grid, params.solver, evaluations, rng)

    def information(
        self,
        latents: Tensor,
        right: tuple[Tensor, LinkState],
        wrong: tuple[Tensor, LinkState],
        points: int,
        rng: torch.Generator,
    ) -> Information:
        """What is measured of I(X; Y_hat) for latents [B,C,h,w]: `right` is the condition that their symbols became and its link,
        `wrong` that of others."""
        field, control = self.conditional(*right), self.conditional(*wrong)
        return mutual_information(field, self.prior.backbone, latents, rng, points, control, self.fields(right, wrong))
