"""MambaJSCC on latents (arXiv 2409.16592), trained for least squared error.

The reconstruction competitor, the frozen codec of DiffJSCC and DiffCom, and the start of JSCGC's encoder. It works on the same
VAE's latents as the generative systems, so that what differs is the receiver and not the VAE.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.method import Folders, Look, Method, Network
from jscgc.systems.params import CodecShape

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.mambajscc import Codec
    from jscgc.training.loop import MetricLog

KLT_CROPS = 1000
"""Latent crops from which the linear start is computed."""


def build(shape: CodecShape, latents: LatentStatistics, max_rate: int) -> Codec:
    """As `Network.build`."""
    from jscgc.systems.mambajscc import Codec

    return Codec.mamba(latents.channels, shape.encoder, max_rate, latents.factor)


def train(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> Codec:
    """From the latents' linear code, or the shipped codec trained on; or from its own general model, for a link of section
    `finetune`."""
    import torch

    from jscgc.systems import store
    from jscgc.systems.mambajscc import Codec
    from jscgc.training.latents import LatentCrops, read_statistics, train_on_latents
    from jscgc.training.photos import seeded
    from jscgc.training.start import STARTS_FROM_SHIPPED, from_shipped

    name, latents = METHOD.name, inputs["latents"]
    seeded(params, name)
    if name in inputs:
        codec = store.load(inputs[name]).net
    else:
        codec = store.build(store.Architecture.of(name, params), read_statistics(latents))
        if params.init in STARTS_FROM_SHIPPED:
            from_shipped(codec, name, params)
        else:
            codec.start(LatentCrops(latents, params.seed, torch.device("cpu")).first(KLT_CROPS))
    assert isinstance(codec, Codec)
    loss = codec.loss_in_decibels if params.codec.loss == "decibels" else codec.loss
    train_on_latents(
        codec, params, params.codec, latents, folder, log, name, lambda x, r: loss(x, params.link, r), until=until
    )
    return codec


METHOD = Method(
    name="mambajscc_psnr",
    label="MambaJSCC (PSNR)",
    group="latent_codec",
    order=30,
    look=Look("#0b9a74", "solid", "triangle-up"),
    network=Network(
        about="The competitor MambaJSCC: a reconstruction codec on latents",
        needs=("latents",),
        section="codec",
        keys=("init", "encoder", "link"),
        shape=CodecShape,
        describe=lambda params: CodecShape(encoder=params.encoder),
        build=build,
        recipe=train,
        trained_by="codec",
        finetunes=True,
        starts_from_shipped=True,
        ships=True,
    ),
)
