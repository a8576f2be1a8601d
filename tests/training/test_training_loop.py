"""The loop: schedule, averages, and a resumed run that is bit for bit the uninterrupted one."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from jscgc.config import TrainParams
from jscgc.device import resolve_device
from jscgc.training import checkpoint
from jscgc.training.ahead import Ahead
from jscgc.training.curve import Curve
from jscgc.training.loop import STOP, Stopped, TrainingDiverged, learning_rate, train

PARAMS = TrainParams(
    steps=9,
    batch_size=2,
    learning_rate=0.05,
    warmup_steps=2,
    weight_decay=0.1,
    ema_decay=0.7,
    checkpoint_every=2,
    log_every=1,
)


class Kill(BaseException):
    """The process ends here."""


def model(seed: int = 0) -> nn.Module:
    """Convolutions in the memory layout that training uses, and a frozen part."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 1), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1)
    )
    net[2].requires_grad_(False)
    return net.to(memory_format=torch.channels_last)


def loss_of(net: nn.Module, stop_at: int | None = None, nan_at: int | None = None):
    def loss(step: int) -> dict[str, Tensor]:
        if step == stop_at:
            raise Kill
        g = torch.Generator().manual_seed(1000 + step)
        x = torch.randn(2, 3, 6, 6, generator=g).to(memory_format=torch.channels_last)
        value = (net(x) - x.flip(1)).square().mean()
        return {"loss": value * (torch.nan if step == nan_at else 1), "twice": 2 * value.detach()}

    return loss


def run(
    folder: Path, params: TrainParams = PARAMS, log=lambda step, metrics: None, net: nn.Module | None = None, **options
):
    net = net or model()
    train(net, loss_of(net, **options), params, folder, log, "test")
    return net


def newest(folder: Path) -> Path:
    return sorted(folder.glob("step-*.safetensors"))[-1]


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_the_learning_rate_warms_up_and_falls_like_a_cosine():
    params = TrainParams(steps=1000, batch_size=1, learning_rate=2.0, warmup_steps=99)
    rates = [learning_rate(step, params) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[49] == pytest.approx(1.0)
    assert rates[99] == max(rates) == 2.0
    assert rates[99 + 901 // 3] == pytest.approx(1 + math.cos(math.pi * (901 // 3) / 901))
    assert 0 < rates[-1] < 1e-4
    assert all(a < b for a, b in pairwise(rates[:100]))
    assert all(a > b for a, b in pairwise(rates[99:]))


@pytest.mark.parametrize("steps", [1, 2, 9, 10])
def test_a_short_run_warms_up_for_a_tenth_at_most(steps):
    params = TrainParams(steps=steps, batch_size=1, learning_rate=1.0, warmup_steps=100)
    rates = [learning_rate(step, params) for step in range(steps)]
    assert rates[steps // 10] == 1.0
    assert all(0 < rate <= 1 for rate in rates)


@pytest.mark.parametrize("stop_at", [1, 2, 5, 8])
def test_a_killed_and_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path, stop_at):
    expected = run(tmp_path / "whole")
    with pytest.raises(Kill):
        run(tmp_path / "cut", stop_at=stop_at)
    # The new process starts from other weights: all that counts is in the checkpoint (or the seed, before the first).
    start = model() if stop_at < PARAMS.checkpoint_every else model(seed=5)
    start[2].load_state_dict(model()[2].state_dict())
    resumed = run(tmp_path / "cut", net=start)
    assert equal(resumed, expected)
    # Weights, averages and AdamW's moments alike.
    assert newest(tmp_path / "cut").read_bytes() == newest(tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("stop_after", [1, 3, 4, 8])
def test_a_run_that_is_asked_to_stop_writes_a_checkpoint_at_once_and_goes_on_from_there(tmp_path, stop_after):
    expected, logged = run(tmp_path / "whole"), []

    def log(step, metrics):
        logged.append(step)
        if len(logged) == stop_after:
            STOP.set()

    try:
        with pytest.raises(Stopped, match=f"stopped after step {stop_after}"):
            run(tmp_path / "cut", log=log)
    finally:
        STOP.clear()
    assert newest(tmp_path / "cut").name == f"step-{stop_after:08d}.safetensors"
    start = model(seed=5)
    start[2].load_state_dict(model()[2].state_dict())
    assert equal(run(tmp_path / "cut", log=log, net=start), expected)
    assert logged == list(range(1, 10))
    assert newest(tmp_path / "cut").read_bytes() == newest(tmp_path / "whole").read_bytes()


def test_asked_to_stop_in_its_last_step_a_run_is_simply_over(tmp_path):
    try:
        net = run(tmp_path / "a", log=lambda step, metrics: STOP.set() if step == PARAMS.steps else None)
    finally:
        STOP.clear()
    assert equal(net, run(tmp_path / "b"))


def test_checkpoints_hold_weights_averages_and_optimiser_and_two_are_kept(tmp_path):
    run(tmp_path)
    assert [p.name for p in sorted(tmp_path.glob("step-*"))] == [
        "step-00000008.safetensors",
        "step-00000009.safetensors",
    ]
    from safetensors.torch import load_file

    names = set(load_file(newest(tmp_path)))
    trained = ["0.weight", "0.bias", "4.weight", "4.bias"]  # not the frozen 2
    kinds = ["model", "ema", "optimiser.exp_avg", "optimiser.exp_avg_sq", "optimiser.step"]
    assert names == {f"{kind}/{name}" for kind in kinds for name in trained}


def test_a_finished_run_is_not_trained_again(tmp_path):
    expected, logged = run(tmp_path), []
    before = newest(tmp_path).stat().st_mtime_ns
    start = model(seed=5)
    start[2].load_state_dict(model()[2].state_dict())
    again = run(tmp_path, net=start, log=lambda *a: logged.append(a), stop_at=0)
    assert equal(again, expected) and not logged and newest(tmp_path).stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["truncated", "empty", "pickle", "garbage", "one bit", "other step"])
def test_a_damaged_newest_checkpoint_falls_back_with_a_warning_and_ends_the_same(tmp_path, caplog, damage):
    expected = run(tmp_path / "whole")
    with pytest.raises(Kill):
        run(tmp_path / "cut", stop_at=5)
    path = newest(tmp_path / "cut")
    assert path.name == "step-00000004.safetensors"
    if damage == "pickle":
        torch.save({"step": 4}, path)
    elif damage == "one bit":  # in the last weight: only the digest can tell
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "other step":
        path.write_bytes(path.read_bytes().replace(b'step\\":4', b'step\\":6').replace(b'step\\": 4', b'step\\": 6'))
    else:
        path.write_bytes({"truncated": path.read_bytes()[:-10], "empty": b"", "garbage": b"\0" * 5000}[damage])
    steps: list[int] = []
    with caplog.at_level(logging.WARNING):
        resumed = run(tmp_path / "cut", log=lambda step, metrics: steps.append(step))
    assert "step-00000004.safetensors is damaged" in caplog.text
    assert steps[0] == 3
    assert equal(resumed, expected)
    assert newest(tmp_path / "cut").read_bytes() == newest(tmp_path / "whole").read_bytes()


def test_all_checkpoints_damaged_is_a_fresh_start(tmp_path):
    expected = run(tmp_path / "whole")
    with pytest.raises(Kill):
        run(tmp_path / "cut", stop_at=5)
    for path in (tmp_path / "cut").glob("step-*"):
        path.write_bytes(b"")
    assert equal(run(tmp_path / "cut"), expected)


def hold(folder: Path, held, release) -> None:
    with checkpoint.locked(folder):
        held.set()
        release.wait(60)


def test_a_second_trainer_is_refused_and_told_by_whom(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, release))
    process.start()
    try:
        assert held.wait(60)
        with pytest.raises(ValueError, match=rf"process {process.pid} is training here") as caught:
            run(tmp_path)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("step-*"))
    finally:
        process.kill()  # the lock falls with its process, however it ends
        process.join()
    run(tmp_path)


def test_the_lock_falls_when_training_fails(tmp_path):
    with pytest.raises(Kill):
        run(tmp_path, stop_at=3)
    run(tmp_path)


def test_nan_stops_training_before_it_spoils_anything(tmp_path):
    net = model()
    with pytest.raises(TrainingDiverged, match=r"loss nan.*at step 5; the last good checkpoint is .*") as caught:
        train(
            net,
            loss_of(net, nan_at=5),
            PARAMS,
            tmp_path,
            lambda *a: None,
            "test",
            inputs=lambda draw: [f"photo {draw}"],
        )
    assert str(newest(tmp_path)) in str(caught.value) and str(tmp_path / "diverged.json") in str(caught.value)
    report = json.loads((tmp_path / "diverged.json").read_text())
    assert report == {"step": 5, "loss": "nan", "gradient_norm": "nan", "inputs": {"5": ["photo 5"]}}
    assert newest(tmp_path).name == "step-00000004.safetensors"
    # That checkpoint is good: without the NaN the run ends as if nothing had been.
    assert equal(run(tmp_path), run(tmp_path / "whole"))


def test_the_average_in_closed_form(tmp_path):
    """A single number under a linear loss: AdamW's first steps are -lr each, the average is then a known sum."""
    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(1.0)
    params = TrainParams(steps=5, batch_size=1, learning_rate=0.1, warmup_steps=0, ema_decay=0.6, checkpoint_every=5)
    train(net, lambda step: {"loss": net.weight.sum()}, params, tmp_path, lambda *a: None, "toy")
    weight = average = 1.0
    for step in range(5):
        weight -= 0.1 * 0.5 * (1 + math.cos(math.pi * step / 5))  # gradient 1 at every step: m / sqrt(v) = 1
        decay = min(0.6, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    assert net.weight.item() == pytest.approx(average, abs=1e-6)
    from safetensors.torch import load_file

    stored = load_file(newest(tmp_path))
    assert stored["model/weight"].item() == pytest.approx(weight, abs=1e-6)
    assert stored["ema/weight"].item() == pytest.approx(average, abs=1e-6)


def test_without_averaging_the_last_weights_count(tmp_path):
    net = run(tmp_path, PARAMS.model_copy(update={"ema_decay": 0.0}))
    from safetensors.torch import load_file

    stored = load_file(newest(tmp_path))
    assert torch.equal(net[0].weight, stored["model/0.weight"])
    assert not any(name.startswith("ema") for name in stored)


def test_frozen_parameters_stay_bit_for_bit(tmp_path):
    net, before = model(), model()[2].weight
    assert torch.equal(run(tmp_path, net=net)[2].weight, before)
    assert not torch.equal(net[0].weight, model()[0].weight)
    assert not net.training


def test_training_lowers_the_loss(tmp_path):
    losses: list[float] = []
    params = PARAMS.model_copy(update={"steps": 60, "checkpoint_every": 100})
    run(tmp_path, params, log=lambda step, metrics: losses.append(metrics["loss"]))
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_the_log_averages_the_steps_since_the_last_call(tmp_path):
    single: dict[int, float] = {}
    run(tmp_path / "a", log=lambda step, metrics: single.update({step: metrics["loss"]}))
    rows: dict[int, dict[str, float]] = {}
    run(tmp_path / "b", PARAMS.model_copy(update={"log_every": 4}), log=lambda step, m: rows.update({step: dict(m)}))
    assert list(rows) == [4, 8, 9]
    assert rows[4]["loss"] == pytest.approx(sum(single[s] for s in (1, 2, 3, 4)) / 4)
    assert rows[9]["loss"] == pytest.approx(single[9])
    assert rows[8]["twice"] == pytest.approx(2 * rows[8]["loss"])
    assert rows[8]["steps_per_second"] > 0


def test_the_gradient_is_clipped(tmp_path):
    net = nn.Linear(1, 1, bias=False)
    norms = []
    net.weight.register_hook(lambda g: norms.append(g.item()))
    start = net.weight.item()
    params = TrainParams(steps=1, batch_size=1, learning_rate=1e-3, gradient_clip=1e-12, ema_decay=0)
    train(net, lambda step: {"loss": 1e6 * net.weight.sum()}, params, tmp_path, lambda *a: None, "toy")
    # A gradient of 1e-12 is far below AdamW's epsilon (1e-8): hardly a step. Unclipped, it would be the whole 1e-3.
    assert norms == [1e6] and abs(net.weight.item() - start) < 1e-6


def scalars(rows: list[dict[str, float]]) -> list[tuple[float, float]]:
    return [(row["step"], row["loss"]) for row in rows]


def test_the_curve_survives_a_kill_without_a_step_twice(tmp_path):
    whole = Curve(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    run(tmp_path / "whole", log=whole.append)
    (tmp_path / "cut").mkdir()
    with pytest.raises(Kill):
        run(tmp_path / "cut", log=Curve(tmp_path / "cut").append, stop_at=5)
    run(tmp_path / "cut", log=Curve(tmp_path / "cut").append)
    rows = Curve(tmp_path / "cut").rows()
    assert [row["step"] for row in rows] == list(range(1, 10))
    assert scalars(rows) == scalars(whole.rows())
    assert len((tmp_path / "cut" / "curve.jsonl").read_text().splitlines()) == 10  # step 5 was run twice


def test_the_curve_tells_the_seconds_of_its_steps_whoever_computed_them(tmp_path):
    curve = Curve(tmp_path)
    assert curve.seconds() == 0
    for step, rate in ((10, 5.0), (20, 2.0), (20, 4.0), (24, 2.0)):  # step 20 was repeated after a kill
        curve.append(step, {"loss": 1.0, "steps_per_second": rate})
    assert curve.seconds() == pytest.approx(10 / 5 + 10 / 4 + 4 / 2)


def test_a_line_cut_short_spoils_no_other(tmp_path):
    curve = Curve(tmp_path)
    curve.append(1, {"loss": 0.5})
    with (tmp_path / "curve.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert scalars(curve.rows()) == [(1, 0.5)]
    curve.append(2, {"loss": 0.25})
    curve.append(3, {"loss": 0.125})
    assert scalars(curve.rows()) == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_the_curve_as_csv(tmp_path):
    curve = Curve(tmp_path)
    assert curve.rows() == []
    curve.append(10, {"loss": 0.1})
    curve.append(20, {"loss": 1e-7, "kl": 3.0})
    curve.write_csv(tmp_path / "curve.csv")
    import pandas as pd

    table = pd.read_csv(tmp_path / "curve.csv")
    assert list(table) == ["step", "loss", "kl"]
    assert table["loss"].tolist() == [0.1, 1e-7]
    assert json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[1])["kl"] == 3.0


def test_the_device_is_resolved_or_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="device: cuda was asked for, but torch sees no GPU"):
        resolve_device("cuda")


def test_batches_drawn_ahead_are_those_drawn_in_turn():
    def draw(step: int) -> torch.Tensor:
        return torch.rand(3, generator=torch.Generator().manual_seed(step))

    ahead = Ahead(draw, range(9), workers=2)
    for step in (4, 5, 6, 7, 8, 0, 1, 2, 7):  # a resumed run starts anywhere
        assert torch.equal(ahead(step), draw(step))
