"""One process that computes all parts of a step, and several that share them, are the same training."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from jscgc.cluster.params import DistributedParams
from jscgc.config import TrainParams
from jscgc.systems import store
from jscgc.training import make
from jscgc.training.latents import read_statistics
from jscgc.training.loop import train
from jscgc.training.parallel import Group, Spread

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))
import distributed_toy as toy

PARAMS = TrainParams(
    steps=7, batch_size=4, parts=2, learning_rate=1e-3, warmup_steps=2, ema_decay=0.7, checkpoint_every=2, log_every=1
)


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 20))
def test_workers_share_every_draw_exactly_once(workers, each, step):
    parts = workers * each
    shares = [list(Group(rank, workers).draws(step, parts)) for rank in range(workers)]
    assert [draw for share in shares for draw in share] == list(range(step * parts, (step + 1) * parts))
    assert {len(share) for share in shares} == {each}
    for rank in range(workers):
        assert Group(rank, workers).order(step + 1, parts)[-each:] == shares[rank]


def test_parts_that_cannot_be_shared_are_one_clear_line():
    with pytest.raises(ValueError, match=r"3 workers can't share 4 parts of a step; set train\.parts to a multiple"):
        Group(0, 3).draws(0, 4)


def test_parts_are_a_larger_batch():
    """The loss is a mean over images, so parts of 4 are one batch of 4 times as many, up to rounding."""
    torch.manual_seed(0)
    net = nn.Linear(5, 3)
    images = torch.randn(8, 4, 5)

    def loss(draw: int):
        return {"loss": net(images[draw]).square().mean()}

    scalars = Spread(Group(), net, loss, 4, "ddp")(1)  # draws 4 to 7
    shared = net.weight.grad.clone()
    net.zero_grad()
    together = net(images[4:].flatten(0, 1)).square().mean()
    together.backward()
    assert torch.allclose(shared, net.weight.grad, rtol=1e-5)
    assert scalars["loss"].item() == pytest.approx(together.item())


def worker(rank: int, port: int, strategy, folder: Path) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    losses: list[tuple[int, float]] = []
    toy.recipe(PARAMS, strategy, "", folder, lambda step, metrics: losses.append((step, metrics["loss"])))
    torch.save(losses, folder / f"losses-{rank}")
    torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_workers_are_one_process_with_all_parts(tmp_path, strategy):
    alone: list[tuple[int, float]] = []
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = toy.recipe(PARAMS, "ddp", "", tmp_path / "one", lambda step, metrics: alone.append((step, metrics["loss"])))
    torch.set_num_threads(threads)
    torch.multiprocessing.spawn(worker, (free_port(), strategy, tmp_path / "two"), 2)
    for rank in (0, 1):  # both know the mean over both
        losses = torch.load(tmp_path / "two" / f"losses-{rank}", weights_only=True)
        assert [step for step, _ in losses] == list(range(1, 8))
        assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in alone], rel=1e-6)
    # What the workers left is a checkpoint for anybody: here one process ends their training.
    net = toy.network(seed=3)
    net["frozen"].load_state_dict(toy.network()["frozen"].state_dict())
    train(net, toy.loss_of(net, 4), PARAMS, tmp_path / "two", lambda *a: None, "test")
    for name, value in one.state_dict().items():
        assert torch.allclose(net.state_dict()[name], value, rtol=1e-5, atol=1e-7), name
    assert not torch.equal(net["rare"].weight, toy.network()["rare"].weight)


def test_a_single_process_goes_on_where_two_were_stopped(tmp_path):
    """Checkpoints do not know how many workers wrote them."""
    (tmp_path / "two").mkdir()
    torch.multiprocessing.spawn(worker, (free_port(), "fsdp", tmp_path / "two"), 2)
    (tmp_path / "two" / "step-00000007.safetensors").unlink()  # back to step 6
    steps: list[int] = []
    (tmp_path / "one").mkdir()
    one = toy.recipe(PARAMS, "ddp", "", tmp_path / "one", lambda *a: None)
    resumed = toy.recipe(PARAMS, "ddp", "", tmp_path / "two", lambda step, metrics: steps.append(step))
    assert steps == [7]
    for name, value in one.state_dict().items():
        assert torch.allclose(resumed.state_dict()[name], value, rtol=1e-5, atol=1e-7), name


def jscgc_worker(rank: int, port: int, arguments, folder: Path) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    make.train("jscgc", *arguments, folder, lambda *a: None)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_jscgc_itself_on_two_workers(params, latent_cache, tmp_path, strategy):
    """The real network and loss: gradient through channel and scan, dropped conditions, averages, learning rates by part."""
    training = params.jscgc.train.model_copy(update={"steps": 4, "parts": 2, "batch_size": 3, "ema_decay": 0.9})
    own = params.jscgc.model_copy(
        update={"train": training, "tuning": "full", "condition_dropout": 0.3, "perception_weight": 0.1}
    )
    params = params.model_copy(
        update={"jscgc": own, "distributed": DistributedParams(workers=2, strategy=strategy)}, deep=True
    )
    statistics = read_statistics(latent_cache)
    inputs = {"latents": latent_cache}
    for kind in ("flow", "mambajscc_psnr"):
        torch.manual_seed(1)
        architecture, inputs[kind] = store.Architecture.of(kind, params), tmp_path / kind
        store.save(inputs[kind], architecture, statistics, store.build(architecture, statistics))
    arguments = (params, inputs)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = make.train("jscgc", *arguments, tmp_path / "one", lambda *a: None)
    torch.set_num_threads(threads)
    torch.multiprocessing.spawn(jscgc_worker, (free_port(), arguments, tmp_path / "two"), 2)
    two = make.train("jscgc", *arguments, tmp_path / "two", lambda *a: None)  # from the workers' last checkpoint
    start = store.load(tmp_path / "mambajscc_psnr").net.encoder.state_dict()
    for (name, own_value), other in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        # AdamW's first steps are as large for a tiny gradient as for a large one: rounding in one shows as a share of a step.
        assert torch.allclose(own_value, other, rtol=1e-3, atol=0.05 * training.learning_rate), name
    assert any(not torch.equal(value, one.encoder.state_dict()[name]) for name, value in start.items())
