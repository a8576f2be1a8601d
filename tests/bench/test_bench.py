"""Benchmarks measure what they say, refuse to compare what differs, and print one JSON document."""

from __future__ import annotations

import json
import time

import pytest
import torch

from jscgc.bench import scan as module
from jscgc.bench.encoder import exponent, multiply_adds
from jscgc.bench.measure import compare, peak_mb
from jscgc.bench.scan import bench_scan
from jscgc.cli import main
from jscgc.encoder.cnn import CnnEncoder
from jscgc.encoder.encoder import MambaEncoder
from jscgc.encoder.params import EncoderParams


def test_ratios_are_of_runs_side_by_side():
    found = compare({"short": lambda: time.sleep(0.002), "long": lambda: time.sleep(0.02)}, rounds=3)
    assert found["short"].ratio == 1
    assert 5 < found["long"].ratio < 11
    assert found["long"].ms == pytest.approx(20, rel=0.3)


def test_peak_memory_is_what_a_run_needs_at_once():
    def work() -> None:
        for _ in range(3):  # freed each time: the peak is of one
            torch.ones(25_000_000).sum()

    peak = peak_mb(work)
    if peak is None:
        pytest.skip("this system does not tell a process's peak memory")
    assert peak == pytest.approx(100, rel=0.1)
    # Memory kept by the process from before does not hide it.
    assert peak_mb(work) == pytest.approx(100, rel=0.1)


def test_every_implementation_has_its_row_and_ours_is_the_unit():
    rows = list(bench_scan([16, 32], rounds=1))
    assert {(r["length"], r["pass"]) for r in rows} == {
        (n, p) for n in (16, 32) for p in ("forward", "forward_backward")
    }
    for row in rows:
        assert list(row) == ["length", "pass", "implementation", "ms", "peak_mb", "ratio_to_ours", "skipped"]
        assert row["ms"] > 0 and row["skipped"] is None
    assert [r["ratio_to_ours"] for r in rows if r["implementation"] == "ours"] == [1.0] * 4
    assert {r["implementation"] for r in rows} == {"ours", "mamba_ssm_ref", "mambapy_pscan"}


def test_what_would_take_too_long_is_skipped_with_its_reason():
    rows = list(bench_scan([16, 4096], rounds=1, limit_s=1e-9))
    assert all(r["skipped"] is None for r in rows if r["length"] == 16)
    long = [r for r in rows if r["length"] == 4096]
    assert all((r["ms"] is None and "1e-09 s" in r["skipped"]) != (r["implementation"] == "ours") for r in long)


def test_implementations_that_differ_are_not_compared(monkeypatch: pytest.MonkeyPatch):
    right = module.mambapy_scan()
    monkeypatch.setattr(module, "mambapy_scan", lambda: lambda *a: 1.001 * right(*a))
    with pytest.raises(ValueError, match="mambapy_pscan differs from ours"):
        list(bench_scan([16], rounds=1))


def test_the_exponent_of_a_power_law():
    sides = [256, 512, 1024]
    assert exponent(sides, [side**2.4 for side in sides]) == pytest.approx(1.2)


def test_multiply_adds_of_a_cnn_by_hand():
    net = CnnEncoder(3, 8, 2, down=4)  # 16x16 -> 8x8 -> 4x4 -> ...
    expected = 25 * (3 * 8 * 64 + 8 * 8 * 16 + 2 * 8 * 8 * 16 + 8 * 4 * 16)
    assert multiply_adds(net, torch.zeros(1, 3, 16, 16), 2) == expected


def test_memory_of_the_encoder_grows_no_faster_than_the_image():
    params = EncoderParams(widths=[32], depths=[1], downsample=[2], state=16, head=32)
    net = MambaEncoder(4, params, 8, factor=8).eval()

    def work(side: int):
        x = torch.randn(1, 4, side, side)
        with torch.no_grad():
            net(x, torch.zeros(1), 8)

    small, large = peak_mb(lambda: work(256)), peak_mb(lambda: work(512))
    if small is None or large is None:
        pytest.skip("this system does not tell a process's peak memory")
    assert large < 4.4 * small


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "scan", "--lengths", "16", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["benchmark"] == "scan" and len(document["rows"]) == 6 and "threads" in document["machine"]
    assert main(["bench", "encoder", "--sides", "32", "64", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["time_exponent_in_pixels"]) == {"mamba", "deepjscc_cnn"}
    assert all(row["macs"] > 0 and row["parameters"] > 0 for row in document["rows"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["encoder", "--sides", "100"], "multiple of 16"),
        (["scan", "--lengths", "0"], "whole number from 1"),
        (["nothing"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["bench", *arguments])
    assert message in capsys.readouterr().err


def test_rates_need_latents_and_conditions_that_are_trained(tmp_path, capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "rates", "--data", str(tmp_path)]) == 1
    assert "dvc repro extract_latents" in capsys.readouterr().err
    assert main(["bench", "rates", "--data", str(tmp_path), "--snr-db", "50"]) == 1
    assert "outside link.snr_db" in capsys.readouterr().err
