"""`jscgc bench train`: operations as counted by hand, shares that follow from times."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jscgc.bench import training
from jscgc.bench.training import LIMIT, SIDE, Operators, bench_training, trained
from jscgc.cli import main
from jscgc.params import Params


def test_every_network_has_its_row_and_its_share(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SIDE", 64)
    rows = {row["network"]: row for row in bench_training(params, 1, "cpu")}
    assert list(rows) == [LIMIT, *trained()]
    assert rows[LIMIT]["gflop"] == 2 * 64**3 / 1e9
    assert rows[LIMIT]["share_of_limit"] == 1
    for name in trained():
        row = rows[name]
        assert row["gflop"] > 0
        # One round: the ratio of the pair is that of the medians.
        ratio = row["gflop_per_second"] / rows[LIMIT]["gflop_per_second"]
        assert row["share_of_limit"] == pytest.approx(ratio)
    assert rows["jscgc"]["gflop"] > rows["flow"]["gflop"]  # with encoder, channel, Refiner and adapter
    assert all(rows[name]["share_in_products"] > 0 for name in trained())
    # The scans are hundreds of small operators.
    assert rows["mambajscc_psnr"]["operators"] > rows["flow"]["operators"] > 100 > rows[LIMIT]["operators"]


def test_products_are_told_from_other_operators_in_gradients_too() -> None:
    x, w = torch.randn(300, 300), torch.randn(300, 300, requires_grad=True)
    kernel = torch.randn(4, 3, 3, 3, requires_grad=True)

    def calls_and_time(work: Callable[[], object]) -> tuple[int, bool]:
        with Operators() as operators:
            work()
        return operators.calls, operators.products_ms > 0

    product = x @ w
    assert calls_and_time(lambda: x @ w.detach()) == (2, True)  # detach is one, too
    assert calls_and_time(lambda: x * x) == (1, False)
    assert calls_and_time(lambda: product.backward(torch.ones_like(product)))[1]
    assert calls_and_time(lambda: F.conv2d(torch.ones(1, 3, 9, 9), kernel))[1]


def test_a_frozen_generator_needs_fewer_operations(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SIDE", 64)

    def gflop(tuning: str) -> float:
        own = params.jscgc.model_copy(update={"tuning": tuning})
        rows = bench_training(params.model_copy(update={"jscgc": own}), 1, "cpu")
        return float(next(row["gflop"] for row in rows if row["network"] == "jscgc"))

    assert gflop("frozen") < gflop("full")


def test_operations_of_a_linear_map_are_counted() -> None:
    """Forward and the weights' gradient, 2 x 8 x 16 x 4 each; the input needs none."""
    net, x = nn.Linear(16, 4, bias=False), torch.randn(8, 16)
    step = training._step(
        lambda: {"loss": net(x).square().mean()}, list(net.parameters()), torch.optim.SGD([net.weight])
    )
    with training.FlopCounterMode(display=False) as counter:
        step()
    assert counter.get_total_flops() == 2 * (2 * 8 * 16 * 4)


def test_the_command(params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("jscgc.params.load_params", lambda path: params)
    assert main(["bench", "train", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["network"] for row in document["rows"]] == [LIMIT, *trained()]
    assert document["rows"][0]["gflop"] == 2 * SIDE**3 / 1e9
    assert document["machine"]["device"] == "cpu"
