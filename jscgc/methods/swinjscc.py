"""SwinJSCC's transformer (Yang et al. 2024), from pixels to pixels."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from jscgc.encoder.params import SwinParams
from jscgc.method import Look, Method
from jscgc.methods.pixel_codec import PixelParams, pixel_codec

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.mambajscc import Codec


class SwinJsccParams(PixelParams, SwinParams):
    """Its network and its training."""

    linear: bool = True


def build(shape: SwinParams, latents: LatentStatistics, max_rate: int) -> Codec:
    """As `Network.build`."""
    from jscgc.encoder.swin import SwinDecoder, SwinEncoder
    from jscgc.systems.mambajscc import Codec

    return Codec(SwinEncoder(latents.channels, shape, max_rate), SwinDecoder(latents.channels, shape, max_rate))


def _describe(params: Params) -> SwinParams:
    settings = params.own(METHOD.name, SwinJsccParams)
    return SwinParams(**{key: getattr(settings, key) for key in SwinParams.model_fields})


METHOD = Method(
    name="swinjscc",
    label="SwinJSCC",
    group="pixel_codec",
    order=71,
    look=Look("#a87f0c", "dash", "cross"),
    lacks=lambda: None if find_spec("torchvision") else "pip install 'jscgc[pipeline]'",
    network=pixel_codec("swinjscc", SwinJsccParams, SwinParams, _describe, build),
)
