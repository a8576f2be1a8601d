"""A trained method: a linear code on overlapping windows of pixels, a lapped transform of which both sides are learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jscgc.config import Positive, Section, TrainParams
from jscgc.method import Look, Method, Network

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.mambajscc import Codec
    from jscgc.training.loop import MetricLog


class LappedShape(Section):
    """What builds it; it stands in model.json."""

    window: Literal[16, 32] = 32
    """Side in pixels of what a position of the 1/16 grid sees, and shows."""


class LappedTraining(TrainParams):
    """Unless params.yaml says otherwise."""

    steps: Positive = 600
    batch_size: Positive = 8
    learning_rate: float = 0.003


class LappedParams(LappedShape):
    """Section baselines.lapped of params.yaml."""

    train: LappedTraining = LappedTraining()


def build(shape: LappedShape, latents: LatentStatistics, max_rate: int) -> Codec:
    """As `Network.build`."""
    from torch import Tensor, nn  # only here: the declaration is read without torch

    from jscgc.channel.accounting import GRID
    from jscgc.encoder.symbols import SymbolEncoder
    from jscgc.systems.mambajscc import Codec

    frame = shape.window, GRID, (shape.window - GRID) // 2

    class Analysis(SymbolEncoder):
        """Pixels [B,3,H,W] -> planes [B,2 max_rate,H/16,W/16]."""

        def __init__(self) -> None:
            super().__init__(max_rate)
            self.net = nn.Conv2d(latents.channels, 2 * max_rate, *frame)

        def planes(self, pixels: Tensor, snr_db: Tensor) -> Tensor:
            planes: Tensor = self.net(pixels)
            return planes

    class Synthesis(nn.Module):
        """Feature planes [B,3 max_rate,H/16,W/16] (see `channel.receiver.features`) -> pixels [B,3,H,W]."""

        def __init__(self) -> None:
            super().__init__()
            self.net = nn.ConvTranspose2d(3 * max_rate, latents.channels, *frame)

        def forward(self, planes: Tensor, snr_db: Tensor) -> Tensor:
            pixels: Tensor = self.net(planes)
            return pixels

    return Codec(Analysis(), Synthesis())


def train(params: Params, inputs: Mapping[str, Path], folder: Path, log: MetricLog, until: int | None = None) -> Codec:
    """As `Network.recipe`: least squared error of random crops over the links of section `link`."""
    from jscgc.device import resolve_device
    from jscgc.latent.pixels import PIXELS
    from jscgc.seeding import stream
    from jscgc.systems import store
    from jscgc.training.photos import batches, photo_crops, place, seeded, train_on_photos

    name, own, device = METHOD.name, params.own(METHOD.name, LappedParams), resolve_device(params.device)
    seeded(params, name)
    codec: Codec = store.build(store.Architecture.of(name, params), PIXELS)
    place(codec, device)
    crops = photo_crops(params, inputs["photos"], crop=64)
    batch = batches(crops, own.train, params.seed, name, device)

    def loss(draw: int) -> dict[str, Any]:
        pixels = 2 * place(batch(draw), device) - 1
        return codec.loss(pixels, params.link, stream(params.seed, name, draw))

    train_on_photos(codec, params, own.train, crops, folder, log, name, loss, until=until)
    return codec


def _describe(params: Params) -> LappedShape:
    return LappedShape(window=params.own(METHOD.name, LappedParams).window)


METHOD = Method(
    name="lapped",
    label="Lapped transform",
    group="pixel_codec",
    look=Look("#1a93ad", "longdash", "hexagon"),
    network=Network(
        about="A linear code on overlapping windows of pixels",
        needs=("photos",),
        section="baselines.lapped",
        settings=LappedParams,
        keys=("link", "latents"),
        shape=LappedShape,
        describe=_describe,
        build=build,
        recipe=train,
        trained_by="baselines.lapped.train",
        pixels=True,
    ),
)
