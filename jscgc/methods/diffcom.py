"""DiffCom (Wang et al. 2024, arXiv 2406.07390; its HiFi form): the prior, guided by the received signal. Nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from jscgc.config import Positive, Section
from jscgc.encoder.params import EncoderParams
from jscgc.generator.params import BackboneParams
from jscgc.method import Folders, Look, Method, Network

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.diffcom import DiffComNet
    from jscgc.training.loop import MetricLog


class DiffComParams(Section):
    """HiFi-DiffCom's sampling: the trained prior, guided by the received signal and by its reconstruction.

    The defaults were chosen on validation photographs (docs/baselines.md).
    """

    steps: Positive = 8
    """From `start` down to 0; each is one network evaluation and its gradient."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.7
    """t at which the noisy reconstruction enters; 1: from pure noise."""
    likelihood: Annotated[float, Field(ge=0)] = 0.5
    """Step length along the gradient of the received signal's misfit, relative to the noise that a step removes."""
    reconstruction: Annotated[float, Field(ge=0)] = 0.5
    """The same for the distance to the codec's reconstruction."""


class DiffComShape(DiffComParams):
    """What builds it: codec, prior and the settings of its sampling."""

    encoder: EncoderParams
    generator: BackboneParams


def _describe(params: Params) -> DiffComShape:
    sampling = params.own("diffcom", DiffComParams)
    return DiffComShape(**dict(sampling), encoder=params.encoder, generator=params.generator.shape)


def build(shape: DiffComShape, latents: LatentStatistics, max_rate: int) -> DiffComNet:
    """As `Network.build`."""
    from jscgc.systems.diffcom import DiffComNet
    from jscgc.systems.mambajscc import Codec
    from jscgc.systems.receiver import Prior

    prior = Prior(latents.channels, shape.generator)
    codec = Codec.mamba(latents.channels, shape.encoder, max_rate, latents.factor)
    return DiffComNet(codec, prior, shape.steps, shape.start, shape.likelihood, shape.reconstruction)


def compose(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> DiffComNet:
    """The codec and the prior as they are."""
    from jscgc.systems import store
    from jscgc.systems.diffcom import DiffComNet

    codec, flow = store.load(inputs["mambajscc_psnr"]), store.load(inputs["flow"]).net
    net = store.build(store.Architecture.of(METHOD.name, params), codec.latents)
    assert isinstance(net, DiffComNet)
    if params.generator.source == "scratch":
        net.prior.load_state_dict(flow.state_dict())
    else:
        net.prior.backbone.caption.load_state_dict(flow.backbone.caption.state_dict())
    net.codec.load_state_dict(codec.net.state_dict())
    return net.eval()


METHOD = Method(
    name="diffcom",
    label="DiffCom",
    group="generative",
    order=50,
    look=Look("#b657a8", "solid", "diamond"),
    samples=True,
    network=Network(
        about="The competitor DiffCom, which learns nothing beyond the codec and the prior",
        needs=("flow", "mambajscc_psnr"),
        section="baselines.diffcom",
        settings=DiffComParams,
        keys=("encoder", "generator", "link.rates"),
        shape=DiffComShape,
        describe=_describe,
        build=build,
        recipe=compose,
        trained_by="",
        ships=True,
        shared={"codec": "mambajscc_psnr", "prior": "flow"},
    ),
)
