"""DeepJSCC's convolutional network (Bourtsoulatze et al. 2019), from pixels to pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jscgc.config import Positive, Section, Width
from jscgc.method import Look, Method
from jscgc.methods.pixel_codec import PixelParams, PixelTraining, pixel_codec

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.mambajscc import Codec


class DeepJsccShape(Section):
    """What builds it."""

    width: Width = 64
    """Channels of the hidden layers."""
    linear: bool = False
    """Whether a linear code stands beside the network."""


class DeepJsccTraining(PixelTraining):
    """More steps than the others' in the same time."""

    steps: Positive = 1700


class DeepJsccParams(PixelParams, DeepJsccShape):
    """Its network and its training."""

    linear: bool = True
    train: DeepJsccTraining = DeepJsccTraining()


def build(shape: DeepJsccShape, latents: LatentStatistics, max_rate: int) -> Codec:
    """As `Network.build`."""
    from jscgc.channel.accounting import GRID
    from jscgc.encoder.cnn import CnnDecoder, CnnEncoder
    from jscgc.systems.mambajscc import Codec

    size = (latents.channels, shape.width, max_rate, GRID, shape.linear)
    return Codec(CnnEncoder(*size), CnnDecoder(*size))


def _describe(params: Params) -> DeepJsccShape:
    own = params.own(METHOD.name, DeepJsccParams)
    return DeepJsccShape(width=own.width, linear=own.linear)


METHOD = Method(
    name="deepjscc",
    label="DeepJSCC",
    group="pixel_codec",
    order=70,
    look=Look("#a87f0c", "solid", "x"),
    network=pixel_codec("deepjscc", DeepJsccParams, DeepJsccShape, _describe, build),
)
