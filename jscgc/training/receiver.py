"""Training of the generative receivers, JSCGC's and DiffJSCC's: from which start, and for how long."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jscgc.config import TrainParams
from jscgc.generator.backbones import BACKBONES
from jscgc.generator.lora import load_base, set_trained
from jscgc.systems import store
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.params import joint_link
from jscgc.training.latents import train_on_latents
from jscgc.training.loop import MetricLog
from jscgc.training.start import STARTS_FROM_SHIPPED, from_shipped

if TYPE_CHECKING:
    from jscgc.params import Params

log_ = logging.getLogger(__name__)


def start_receiver(net: JscgcNet | DiffJsccNet, kind: str, params: Params, flow: Path) -> None:
    """Generator and adapter as `params.init` says."""
    if params.init in STARTS_FROM_SHIPPED:
        from_shipped(net, kind, params)
    if params.init != "finetune":  # of a wider latent the prior knows more than the shipped receiver's generator does
        _from_prior(net, params, flow)


def _from_prior(net: JscgcNet | DiffJsccNet, params: Params, flow: Path) -> None:
    prior, trained = net.receiver.prior, store.load(flow).net
    if params.generator.source == "pretrained":
        # The weights are there already; what the stage added are the caption's features.
        prior.backbone.caption.load_state_dict(trained.backbone.caption.state_dict())
    else:
        load_base(prior, trained.state_dict())
    start_stages = BACKBONES[params.generator.backbone].start_stages
    if (path := params.jscgc.adapter.controlnet_path) and start_stages:
        stages = list(net.receiver.adapter.stages)
        if (filled := start_stages(stages, path)) < len(stages):
            log_.warning(
                "adapter.controlnet_path: %d of %d stages start from it, the rest at random", filled, len(stages)
            )


def train_receiver(
    net: JscgcNet | DiffJsccNet,
    params: Params,
    train_params: TrainParams,
    latents: Path,
    folder: Path,
    log: MetricLog,
    name: str,
    until: int | None,
) -> None:
    """Train by the loss (4) as section `jscgc` says."""
    jscgc, link = params.jscgc, joint_link(params)
    set_trained(net.receiver.prior, jscgc.generator_learns)
    if jscgc.tuning in ("frozen", "adapter_only") and jscgc.condition_dropout:
        log_.warning(
            "condition_dropout has no effect but to waste images: with tuning %s the prior learns nothing", jscgc.tuning
        )
    if jscgc.tuning in ("full", "receiver", "lora") and not jscgc.condition_dropout:
        log_.warning(
            "without condition_dropout the generator (tuning %s) forgets the unconditional field: guidance other than 1, the "
            "control without symbols and information_points mean nothing",
            jscgc.tuning,
        )

    def loss(x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return net.loss(x, link, jscgc, params.objective, rng)

    # What the codec has learnt is refined, not learnt anew.
    known = params.init in STARTS_FROM_SHIPPED or jscgc.encoder_init == "mambajscc_psnr"
    started = dict.fromkeys(("encoder.", "refiner."), jscgc.codec_rate) if known else None
    train_on_latents(net, params, train_params, latents, folder, log, name, loss, started, until)
