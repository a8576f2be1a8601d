"""One model beside many, on a tiny cache of latents."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save_file

from jscgc.bench import rates as module
from jscgc.bench.rates import Condition, bench_rates
from jscgc.files import write_json


@pytest.fixture
def latents(tmp_path):
    values = torch.randn(40, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    save_file({"latents": values.half()}, tmp_path / "latents.safetensors")
    statistics = {"mean": [0.0] * 4, "std": [1.0] * 4, "factor": 8, "vae_sha256": ""}
    write_json(tmp_path / "statistics.json", statistics)
    return tmp_path


def test_every_condition_has_its_three_models_and_their_own_budgets(params, latents, monkeypatch):
    monkeypatch.setattr(module, "HELD_OUT", 20)
    trained = []
    real = module.train

    def counted(net, loss, own, folder, log, name):
        trained.append((name.split()[0], own.steps))
        real(net, loss, own, folder, log, name)

    monkeypatch.setattr(module, "train", counted)
    conditions = [Condition("awgn", 10.0, 4), Condition("rayleigh_fast", 0.0, 2)]
    rows = list(bench_rates(params, latents, conditions, cnn_widths=[8], universal_steps=9))
    assert [row["model"] for row in rows] == ["universal", "single", "deepjscc_8"] * 2
    assert {row["cbr"] for row in rows} == {"4/768", "2/768"}
    assert trained[0] == ("universal", 9) and {steps for _, steps in trained[1:]} == {params.codec.steps}
    assert len(trained) == 1 + 2 * 2  # the universal model once
    for row in rows:
        assert row["steps"] == (9 if row["model"] == "universal" else params.codec.steps)
        own = next(r for r in rows if r["model"] == "single" and r["cbr"] == row["cbr"])
        assert row["loss_db"] == pytest.approx(10 * math.log10(row["latent_mse"] / own["latent_mse"]))


def test_the_long_training_goes_on_where_it_stopped(params, latents, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HELD_OUT", 20)
    params = params.model_copy(update={"codec": params.codec.model_copy(update={"checkpoint_every": 2})})
    folder, conditions = tmp_path / "progress", [Condition("awgn", 10.0, 4)]
    whole = list(bench_rates(params, latents, conditions, cnn_widths=[], universal_steps=6))
    steps = []
    real = module.Codec.loss_in_decibels

    def stopped(self, *arguments):
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(module.Codec, "loss_in_decibels", stopped)
    with pytest.raises(KeyboardInterrupt):
        list(bench_rates(params, latents, conditions, cnn_widths=[], universal_steps=6, checkpoints=folder))
    resumed = list(bench_rates(params, latents, conditions, cnn_widths=[], universal_steps=6, checkpoints=folder))
    assert resumed == whole
    assert len(steps) == 5 + 2 + params.codec.steps  # four steps were kept
    # Another seed starts anew beside it.
    other = params.model_copy(update={"seed": 1})
    assert list(bench_rates(other, latents, conditions, cnn_widths=[], universal_steps=6, checkpoints=folder)) != whole
    assert len(list(folder.iterdir())) == 2
