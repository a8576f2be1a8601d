"""The reconstruction codecs from pixels to pixels, alike but for their networks: how one is declared and trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from jscgc.config import Positive, Section, TrainParams
from jscgc.method import Folders, Network

if TYPE_CHECKING:
    from jscgc.params import Params
    from jscgc.systems.mambajscc import Codec
    from jscgc.training.loop import MetricLog

KLT_CROPS = 300
"""Crops of photographs from which a linear start is computed."""


class PixelTraining(TrainParams):
    """Of a codec on pixels, unless params.yaml says otherwise."""

    steps: Positive = 700
    batch_size: Positive = 8
    learning_rate: Annotated[float, Field(gt=0)] = 0.002
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99


class PixelParams(Section):
    """What all codecs on pixels are trained by."""

    crop: Annotated[int, Field(gt=0, multiple_of=16)] = 96
    """Side of a training crop, pixels."""
    train: PixelTraining = PixelTraining()


def train(name: str, params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> Codec:
    """For least squared error on random crops of the training photographs."""
    from jscgc.device import resolve_device
    from jscgc.latent.autoencoder import LatentSpace
    from jscgc.latent.pixels import PIXELS, PixelVae
    from jscgc.seeding import stream
    from jscgc.systems import store
    from jscgc.systems.mambajscc import Codec
    from jscgc.training.photos import batches, photo_crops, place, seeded, train_on_photos

    device, settings = resolve_device(params.device), params.own(name, PixelParams)
    seeded(params, name)
    codec = store.build(store.Architecture.of(name, params), PIXELS)
    assert isinstance(codec, Codec)
    space = LatentSpace(PixelVae(), PIXELS).to(device)
    crops = photo_crops(params, inputs["photos"], settings.crop)
    codec.start(space.encode(place(crops.batch(KLT_CROPS, params.seed, name, "start"), device)).cpu())
    place(codec, device)
    batch = batches(crops, settings.train, params.seed, name, device)

    def loss(draw: int) -> dict[str, Any]:
        return codec.loss(space.encode(place(batch(draw), device)), params.link, stream(params.seed, name, draw))

    train_on_photos(codec, params, settings.train, crops, folder, log, name, loss, until=until)
    return codec


def pixel_codec(
    name: str,
    settings: type[PixelParams],
    shape: type[Section],
    describe: Callable[[Any], Section],
    build: Callable[[Any, Any, int], Any],
) -> Network:
    """The network of a codec on pixels; arguments as of `Network`."""
    return Network(
        about=f"The competitor {name}: a reconstruction codec on pixels",
        needs=("photos",),
        section=f"baselines.{name}",
        settings=settings,
        keys=("link", "latents.min_scale", "latents.colour"),
        shape=shape,
        describe=describe,
        build=build,
        recipe=partial(train, name),
        trained_by=f"baselines.{name}.train",
        pixels=True,
    )
