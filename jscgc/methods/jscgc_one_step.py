"""JSCGC's own regression: one deterministic step of its receiver, with the same weights. Nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.config import Section
from jscgc.method import Folders, Look, Method, Network
from jscgc.systems.params import ReceiverShape, joint_link

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.jscgc_one_step import OneStepNet
    from jscgc.training.loop import MetricLog


class OneStepParams(Section):
    """It has no settings."""


def build(shape: ReceiverShape, latents: LatentStatistics, max_rate: int) -> OneStepNet:
    """As `Network.build`."""
    from jscgc.methods import jscgc
    from jscgc.systems.jscgc_one_step import OneStepNet

    return OneStepNet(jscgc.build(shape, latents, max_rate))


def compose(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> OneStepNet:
    """JSCGC as it is."""
    from jscgc.systems import store
    from jscgc.systems.jscgc_one_step import OneStepNet

    trained = store.load(inputs["jscgc"])
    net = store.build(store.Architecture.of(METHOD.name, params), trained.latents)
    assert isinstance(net, OneStepNet)
    net.net.load_state_dict(trained.net.state_dict())
    return net.eval()


METHOD = Method(
    name="jscgc_one_step",
    label="JSCGC, one step",
    group="latent_codec",
    order=29,
    look=Look("#2f7de1", "dot", "octagon"),
    network=Network(
        about="JSCGC's own regression: one deterministic step of its receiver",
        needs=("jscgc",),
        section="baselines.jscgc_one_step",
        settings=OneStepParams,
        keys=(
            "encoder",
            "generator",
            "link.rates",
            "jscgc.adapter",
            "jscgc.tuning",
            "jscgc.lora_rank",
            "jscgc.link",
        ),
        shape=ReceiverShape,
        describe=ReceiverShape.of,
        build=build,
        recipe=compose,
        trained_by="",
        link=joint_link,
        ships=True,
        shared={"net": "jscgc"},
    ),
)
