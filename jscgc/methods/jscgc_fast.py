"""JSCGC in a few steps: the same transmitter, and a receiver distilled from JSCGC's, guidance included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.config import Positive
from jscgc.flow.params import TimeShift
from jscgc.flow.solver import SOLVERS
from jscgc.method import Folders, Look, Method, Network
from jscgc.systems.params import ReceiverShape, joint_link

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentStatistics
    from jscgc.params import Params
    from jscgc.systems.jscgc_fast import FastJscgcNet
    from jscgc.training.loop import MetricLog


class FastShape(ReceiverShape):
    """What builds it: the teacher's network, and the student's grid."""

    steps: Positive
    time_shift: TimeShift = 1.0

    def named(self) -> tuple[str, ...]:
        return (SOLVERS.module("euler"),)


def _describe(params: Params) -> FastShape:
    teacher, grid = ReceiverShape.of(params), params.few_step
    assert grid is not None
    return FastShape(**dict(teacher), steps=grid.steps, time_shift=grid.time_shift)


def build(shape: FastShape, latents: LatentStatistics, max_rate: int) -> FastJscgcNet:
    """As `Network.build`."""
    from jscgc.flow.params import known_shift
    from jscgc.flow.samplers import Grid
    from jscgc.methods import jscgc
    from jscgc.systems.jscgc_fast import FastJscgcNet

    shift = known_shift(shape.time_shift, shape.generator.scheduler_shift)
    return FastJscgcNet(jscgc.build(shape, latents, max_rate), Grid(shape.steps, shift))


def train(params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> FastJscgcNet:
    """The student, from the trained JSCGC: what learnt there beside the transmitter learns here."""
    from jscgc.device import resolve_device
    from jscgc.generator.lora import set_trained
    from jscgc.systems import store
    from jscgc.systems.jscgc import JscgcNet
    from jscgc.systems.jscgc_fast import FastJscgcNet
    from jscgc.training.latents import read_statistics, train_on_latents
    from jscgc.training.photos import place, seeded

    name, few, latents = METHOD.name, params.few_step, inputs["latents"]
    assert few is not None
    seeded(params, name)
    teacher = store.load(inputs["jscgc"]).net
    net = store.build(store.Architecture.of(name, params), read_statistics(latents))
    assert isinstance(teacher, JscgcNet) and isinstance(net, FastJscgcNet)
    net.net.load_state_dict(teacher.state_dict())
    net.requires_grad_(False)
    net.net.receiver.adapter.requires_grad_(True)
    set_trained(net.net.receiver.prior, params.jscgc.generator_learns)
    place(teacher.requires_grad_(False), resolve_device(params.device))
    train_on_latents(
        net,
        params,
        few.train,
        latents,
        folder,
        log,
        name,
        lambda x, r: net.loss(teacher, x, joint_link(params), few, r),
        until=until,
    )
    return net


METHOD = Method(
    name="jscgc_fast",
    label="JSCGC, few steps",
    group="generative",
    order=20,
    look=Look("#2f7de1", "dash", "circle-open"),
    samples=True,
    network=Network(
        about="A receiver of few steps, taught by JSCGC's",
        needs=("latents", "jscgc"),
        section="few_step",
        keys=("link", "jscgc.link", "jscgc.tuning"),
        shape=FastShape,
        describe=_describe,
        build=build,
        recipe=train,
        trained_by="few_step.train",
        link=joint_link,
    ),
)
