"""Trainings on two nodes of Ray, each with a worker: the same curve as one process, whatever dies on the way."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
import torch

from jscgc.cluster.train import TrainingFailed, train_on_workers
from jscgc.config import TrainParams
from jscgc.training.loop import TrainingDiverged

sys.path.insert(0, str(Path(__file__).parent))
import distributed_toy as toy

PARAMS = TrainParams(
    steps=7, batch_size=4, parts=2, learning_rate=1e-3, warmup_steps=2, ema_decay=0.7, checkpoint_every=2, log_every=1
)


def curve() -> tuple[dict[int, float], object]:
    found: dict[int, float] = {}
    return found, lambda step, metrics: found.update({step: metrics["loss"]})


def on_two(folder: Path, fault: str, log=lambda step, metrics: None):
    return train_on_workers(toy.recipe, (PARAMS, "ddp", fault), folder, log, workers=2, device="cpu")


def test_two_nodes_train_what_one_process_trains_though_a_worker_is_killed(nodes, tmp_path, caplog):
    own, log = curve()
    (tmp_path / "one").mkdir()
    one = toy.recipe(PARAMS, "ddp", "", tmp_path / "one", log)
    told, log = curve()
    with caplog.at_level(logging.WARNING, "jscgc"):
        two = on_two(tmp_path / "two", "kill", log)
    assert (tmp_path / "two" / "killed").exists()
    assert len([r for r in caplog.records if "all start again from the last checkpoint" in r.message]) == 1
    assert list(told) == list(range(1, 8))
    assert told == pytest.approx(own, rel=1e-6)
    for name, value in one.state_dict().items():
        assert torch.allclose(two.state_dict()[name], value, rtol=1e-5, atol=1e-7), name
    # Nothing of Ray's is left among the checkpoints.
    assert {p.name for p in (tmp_path / "two").iterdir()} == {
        "killed", "lock", "step-00000006.safetensors", "step-00000007.safetensors"
    }  # fmt: skip


def test_an_error_that_comes_again_is_told_once_as_it_is(nodes, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "jscgc"), pytest.raises(ValueError, match=r"^photo.png: it is not there$"):
        on_two(tmp_path, "wrong")
    assert not [r for r in caplog.records if "start again" in r.message]
    assert (tmp_path / "step-00000004.safetensors").exists()


def test_a_loss_that_is_not_finite_ends_it_with_the_step_s_inputs(nodes, tmp_path):
    with pytest.raises(TrainingDiverged, match=r"at step 5; the last good checkpoint is .*step-00000004"):
        on_two(tmp_path, "nan")
    report = json.loads((tmp_path / "diverged.json").read_text())
    assert report["step"] == 5 and report["inputs"] == {"10": ["image 10"], "11": ["image 11"]}


@pytest.mark.slow
def test_a_bug_ends_it_after_some_tries(nodes, tmp_path, monkeypatch):
    monkeypatch.setattr("jscgc.cluster.train.RETRIES", 0)
    with pytest.raises(
        TrainingFailed, match=r"failed 1 times; the last: .*KeyError.*checkpoints are kept in "
    ) as caught:
        on_two(tmp_path, "bug")
    assert "\n" not in str(caught.value)


def test_too_many_workers_for_this_machine_are_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("jscgc.cluster.session.OBJECT_STORE_BYTES", 80_000_000)
    with pytest.raises(ValueError, match=r"2 workers need 2 GPUs, Ray has 0; ask for fewer workers"):
        train_on_workers(toy.recipe, (PARAMS, "ddp", ""), tmp_path, lambda *a: None, workers=2, device="cuda")
