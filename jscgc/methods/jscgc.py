"""JSCGC (arXiv 2606.12858): encoder, adapter and (if set) generator learn together, the gradient running through the channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.method import Folders, Look, Method, Network
from jscgc.systems.params import ReceiverShape, joint_link

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.jscgc import JscgcNet
    from jscgc.training.loop import MetricLog


def build(shape: ReceiverShape, latents: LatentStatistics, max_rate: int) -> JscgcNet:
    """As `Network.build`."""
    from jscgc.systems.jscgc import JscgcNet
    from jscgc.systems.receiver import Prior

    prior = Prior.tuned(latents.channels, shape)
    return JscgcNet(latents.channels, shape.encoder, prior, shape.adapter, max_rate, latents.factor)


def train(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> JscgcNet:
    """Encoder and adapter (and generator, if set) jointly, from the prior and the reconstruction codec's encoder; or from the
    joint model, for a link of section `finetune`."""
    from jscgc.systems import store
    from jscgc.systems.jscgc import JscgcNet
    from jscgc.training.latents import read_statistics
    from jscgc.training.photos import seeded
    from jscgc.training.receiver import start_receiver, train_receiver
    from jscgc.training.start import STARTS_FROM_SHIPPED

    name, settings = METHOD.name, params.jscgc
    seeded(params, name)
    if name in inputs:
        net = store.load(inputs[name]).net
    else:
        net = store.build(store.Architecture.of(name, params), read_statistics(inputs["latents"]))
        start_receiver(net, name, params, inputs["flow"])
        if params.init not in STARTS_FROM_SHIPPED and settings.encoder_init == "mambajscc_psnr":
            store.load(inputs["mambajscc_psnr"]).net.give(net.encoder, net.refiner)
    assert isinstance(net, JscgcNet)
    net.encoder.requires_grad_(settings.encoder_learns)
    train_receiver(net, params, settings.train, inputs["latents"], folder, log, name, until)
    return net


METHOD = Method(
    name="jscgc",
    label="JSCGC",
    group="generative",
    order=10,
    look=Look("#2f7de1", "solid", "circle"),
    samples=True,
    receives_by=("sample.steps", "sample.guidance", "sample.solver", "sample.time_shift"),
    network=Network(
        about="Encoder, adapter and generator jointly, the gradient running through the channel",
        needs=("latents", "flow", "mambajscc_psnr"),
        section="jscgc",
        keys=("init", "objective", "generator", "encoder", "link"),
        link=joint_link,
        finetunes=True,
        shape=ReceiverShape,
        describe=ReceiverShape.of,
        build=build,
        recipe=train,
        trained_by="jscgc.train",
        starts_from=("mambajscc_psnr",),
        starts_from_shipped=True,
        ships=True,
    ),
)
