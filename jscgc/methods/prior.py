"""The prior: the unconditional latent flow, which every generative receiver starts from. A part, and no method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc.method import Folders, Network, Part
from jscgc.systems.params import PriorShape

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.receiver import Prior
    from jscgc.training.loop import MetricLog


def build(shape: PriorShape, latents: LatentStatistics, max_rate: int) -> Prior:
    """As `Network.build`."""
    from jscgc.systems.receiver import Prior

    return Prior(latents.channels, shape.generator)


def train(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> Prior:
    """The unconditional prior; shipped and pretrained ones are passed through, the latter with the empty prompt's features."""
    from jscgc.device import resolve_device
    from jscgc.generator.backbones import BACKBONES
    from jscgc.systems import store
    from jscgc.systems.receiver import Prior
    from jscgc.training.latents import read_statistics, train_on_latents
    from jscgc.training.photos import seeded
    from jscgc.training.start import KEEPS_PRIOR, from_shipped, shipped_prior

    if params.init in KEEPS_PRIOR:
        return shipped_prior(params)
    seeded(params, "flow")
    prior = store.build(store.Architecture.of("flow", params), read_statistics(inputs["latents"]))
    assert isinstance(prior, Prior)
    if params.init == "widen":
        from_shipped(prior, "flow", params)
    if params.generator.source == "pretrained":
        empty_prompt = BACKBONES[params.generator.backbone].empty_prompt
        if params.generator.caption_path and empty_prompt:
            prior.backbone.caption.features = empty_prompt(params.generator.caption_path, resolve_device(params.device))
        return prior
    train_on_latents(
        prior,
        params,
        params.generator.train,
        inputs["latents"],
        folder,
        log,
        "flow",
        lambda x, rng: prior.loss(x, params.objective, rng),
        until=until,
    )
    return prior


def _record(params: Params) -> Mapping[str, Any] | None:
    """Of one that is passed through: how it was trained, not how params.yaml would have."""
    from jscgc.training.start import KEEPS_PRIOR, shipped_record

    return shipped_record("flow") if params.init in KEEPS_PRIOR else None


PRIOR = Part(
    name="flow",
    network=Network(
        about="Unconditional latent flow matching",
        needs=("latents",),
        section="generator",
        keys=("init", "objective"),
        shape=PriorShape,
        describe=lambda params: PriorShape(generator=params.generator.shape),
        build=build,
        recipe=train,
        trained_by="generator.train",
        record=_record,
        starts_from_shipped=True,
        ships=True,
    ),
)
