"""A linear analogue code in closed form, fitted to the training photographs: the floor for every learned codec on pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from jscgc.config import Positive, Section
from jscgc.method import Folders, Look, Method, Network

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.klt import LinearCode
    from jscgc.training.loop import MetricLog

BATCH = 200
"""Crops that are in memory at once."""


class KltShape(Section):
    """What builds it: nothing but the highest rate."""


class KltParams(Section):
    """What its components are computed from."""

    crops: Positive = 2000
    """Of the training photographs."""
    crop: Annotated[int, Field(gt=0, multiple_of=32)] = 128
    """Side of a crop, pixels."""


def build(shape: KltShape, latents: LatentStatistics, max_rate: int) -> LinearCode:
    """As `Network.build`."""
    from jscgc.systems.klt import LinearCode

    return LinearCode(max_rate)


def fit(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> LinearCode:
    """From the second moments of blocks of the training photographs; in their own colours, which are what it decorrelates."""
    from jscgc.latent.pixels import PIXELS
    from jscgc.systems import store
    from jscgc.systems.klt import LinearCode
    from jscgc.training.photos import photo_crops

    settings = params.own(METHOD.name, KltParams)
    code = store.build(store.Architecture.of(METHOD.name, params), PIXELS)
    assert isinstance(code, LinearCode)
    crops = photo_crops(params, inputs["photos"], settings.crop, colour=0.0)

    def batches() -> Iterator[Tensor]:
        for first in range(0, settings.crops, BATCH):
            yield 2 * crops.batch(min(BATCH, settings.crops - first), params.seed, METHOD.name, first) - 1

    code.fit(batches())
    return code.eval()


METHOD = Method(
    name="klt",
    label="Linear code",
    group="pixel_codec",
    order=75,
    look=Look("#a87f0c", "dot", "octagon-open"),
    network=Network(
        about="The floor: a linear code in closed form on blocks of pixels",
        needs=("photos",),
        section="baselines.klt",
        settings=KltParams,
        keys=("link.rates", "latents.min_scale"),
        shape=KltShape,
        describe=lambda params: KltShape(),
        build=build,
        recipe=fit,
        trained_by="",
        pixels=True,
        multiple=32,
        ships=True,
    ),
)
