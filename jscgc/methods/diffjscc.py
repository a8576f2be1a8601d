"""DiffJSCC (two stages): a frozen reconstruction codec, whose output and CSI are the condition of the same generator.

Equal backbone, adapter and training with JSCGC (section `jscgc`); its encoder was trained for reconstruction and does not learn
from the generator.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.config import Positive, Section
from jscgc.method import Folders, Look, Method, Network
from jscgc.systems.params import ReceiverShape, joint_link

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.diffjscc import DiffJsccNet
    from jscgc.training.loop import MetricLog


class DiffJsccParams(Section):
    """What differs from section `jscgc`, by whose settings its receiver is trained."""

    steps: Positive | None = None
    """Training steps; null: as many as JSCGC's. They are cheaper: an equal time takes more of them."""


def build(shape: ReceiverShape, latents: LatentStatistics, max_rate: int) -> DiffJsccNet:
    """As `Network.build`."""
    from jscgc.systems.diffjscc import DiffJsccNet
    from jscgc.systems.mambajscc import Codec
    from jscgc.systems.receiver import Prior

    # The prior first: the order in which random weights are drawn.
    prior = Prior.tuned(latents.channels, shape)
    codec = Codec.mamba(latents.channels, shape.encoder, max_rate, latents.factor)
    return DiffJsccNet(latents.channels, codec, prior, shape.adapter)


def train(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> DiffJsccNet:
    """The codec frozen, the same generator and adapter trained as JSCGC's, over the same links."""
    from jscgc.systems import store
    from jscgc.systems.diffjscc import DiffJsccNet
    from jscgc.training.latents import read_statistics
    from jscgc.training.photos import seeded
    from jscgc.training.receiver import start_receiver, train_receiver

    name = METHOD.name
    training = params.jscgc.train if name in inputs else NETWORK.training(params)
    assert training is not None
    seeded(params, name)
    if name in inputs:
        net = store.load(inputs[name]).net
    else:
        net = store.build(store.Architecture.of(name, params), read_statistics(inputs["latents"]))
        start_receiver(net, name, params, inputs["flow"])
        store.load(inputs["mambajscc_psnr"]).net.give(net.codec.encoder, net.codec.decoder)
    assert isinstance(net, DiffJsccNet)
    train_receiver(net, params, training, inputs["latents"], folder, log, name, until)
    return net


NETWORK = Network(
    about="The competitor DiffJSCC: a frozen codec, then the generator",
    needs=("latents", "flow", "mambajscc_psnr"),
    section="baselines.diffjscc",
    settings=DiffJsccParams,
    keys=("init", "objective", "generator", "encoder", "link", "jscgc"),
    shape=ReceiverShape,
    describe=ReceiverShape.of,
    build=build,
    recipe=train,
    trained_by="jscgc.train",
    steps=lambda params: params.own("diffjscc", DiffJsccParams).steps,
    link=joint_link,
    finetunes=True,
    starts_from_shipped=True,
    ships=True,
    shared={"codec": "mambajscc_psnr"},
)
METHOD = Method(
    name="diffjscc",
    label="DiffJSCC",
    group="generative",
    order=40,
    look=Look("#d9600a", "solid", "square"),
    samples=True,
    receives_by=("sample",),
    network=NETWORK,
)
