"""`jscgc bench transmit`: every part is timed, parts add up, and what is slow shows where it is slow."""

from __future__ import annotations

import json
import time

import pytest

from jscgc.bench.transmission import PARTS, bench_transmission
from jscgc.cli import main
from jscgc.flow.params import SampleParams
from jscgc.systems.base import Link
from jscgc.systems.load import load_system


def test_every_part_of_every_method_and_size_has_its_row(models, capsys):
    arguments = ["--models", str(models), "--methods", "jscgc", "mambajscc_psnr", "--sizes", "48x32", "17x33"]
    assert main(["bench", "transmit", "--json", "--cbr", "4/768", "--rounds", "1", "--steps", "3", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    for method, nfe in (("jscgc", 6), ("mambajscc_psnr", 0)):  # guided: two evaluations a step
        for width, height in ((48, 32), (17, 33)):
            own = [r for r in rows if (r["method"], r["width"], r["height"]) == (method, width, height)]
            found = {row["part"]: row["median_ms"] for row in own}
            assert set(found) == {*PARTS, "all"} | ({"sample_per_nfe"} if nfe else set())
            assert all(row["nfe"] == nfe and row["p95_ms"] == row["median_ms"] > 0 for row in own)
            assert sum(found[part] for part in PARTS) == pytest.approx(found["all"])
            assert not nfe or found["sample_per_nfe"] == pytest.approx(found["sample"] / nfe)


def test_a_slow_part_shows_as_that_part_and_the_tail_as_the_tail(models, monkeypatch):
    system = load_system("jscgc", models)
    symbols, calls = system.codec.symbols, []

    def slowly(*arguments):
        calls.append(arguments)
        time.sleep(0.3 if len(calls) == 5 else 0.06)  # of the warming up and four rounds the last is an outlier
        return symbols(*arguments)

    monkeypatch.setattr(system.codec, "symbols", slowly)
    sample = SampleParams(steps=1, guidance=1.0)
    rows = list(bench_transmission({"jscgc": system}, [(32, 32)], Link("awgn", 5.0, 2), sample, 4, "cpu"))
    found = {row["part"]: row for row in rows}
    assert 60 <= found["encode"]["median_ms"] < 200 < found["encode"]["p95_ms"]
    assert found["channel"]["median_ms"] < 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "hevc_ldpc"], "is no learned method"),
        (["--methods", "jscg"], "did you mean jscgc?"),
        (["--cbr", "3/768"], "3/768"),
    ],
)
def test_what_cannot_be_timed_is_one_line(models, capsys, arguments, said):
    assert main(["bench", "transmit", "--models", str(models), "--sizes", "32x32", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
