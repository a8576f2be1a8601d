"""Ours beside the others, on tables whose answer is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jscgc.evaluation.statistics import interval
from jscgc.report import summarise
from jscgc.report.comparison import BD_RATE, PAIRED, write_comparisons
from jscgc.report.reading import ADDED, COLUMNS

ONE = [column for column in COLUMNS if column not in ADDED]
"""Columns of a table of one training and one set."""
RATES = (2, 8, 32)
IMAGES = ("a", "b", "c", "d", "e")
FEATURE = "feature_distance_efficientnet_lite0"
Value = Callable[[int, str, int], float]


def table(
    methods: dict[str, Value], metric: str = "psnr", rates: tuple[int, ...] = RATES, seeds: int = 2
) -> pd.DataFrame:
    """Values by (rate, image, seed) at 5 dB."""
    rows = [
        (method, "awgn", 5.0, rate / 768, 0, seed, image, metric, value(rate, image, seed))
        for method, value in methods.items()
        for rate in rates
        for image in IMAGES
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=ONE)


def line(shift: float = 0.0, spread: float = 3.0) -> Value:
    """4 dB a factor e in CBR, photographs apart, and a little by draw."""
    return lambda rate, image, seed: 20 + shift + 4 * math.log(rate) + spread * IMAGES.index(image) + 0.1 * seed


def pick(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_the_share_won_and_the_difference_photograph_by_photograph() -> None:
    gains = dict(zip(IMAGES, (1.0, 2.0, -1.0, 0.0, 3.0), strict=True))
    ours: Value = lambda rate, image, seed: line()(rate, image, seed) + gains[image] + 0.2 * (seed - 0.5)  # noqa: E731
    summary = summarise(table({"jscgc": ours, "diffjscc": line()}))
    row = pick(summary["paired"], cbr=8 / 768)
    assert (row["method"], row["other"], row["metric"]) == ("jscgc", "diffjscc", "psnr")
    assert (row["images"], row["draws"], row["note"]) == (5, 2, None)
    assert row["won"] == pytest.approx((3 + 0.5) / 5)
    assert row["difference"] == pytest.approx(1.0)
    # The noise in common is gone: photographs are 3 dB apart, the interval is that of the gains.
    expected = interval([[g - 0.1, g + 0.1] for g in gains.values()])
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert 2**-4 <= row["p"] <= 1


def test_lower_is_better_where_the_metric_says_so() -> None:
    summary = summarise(table({"jscgc": line(-1), "deepjscc": line()}, FEATURE))
    assert {(row["won"], round(row["difference"], 9)) for row in summary["paired"]} == {(1.0, -1.0)}
    # Constant differences leave no room: as sure as five photographs can make it.
    assert {row["p"] for row in summary["paired"]} == {2**-4}


def test_both_of_ours_against_all_others_and_no_aside() -> None:
    methods = ("jscgc", "jscgc_fast", "deepjscc", "jscgc_reference", "jscgc_wrong_symbols", "jscgc_mean_of_4")
    summary = summarise(table({method: line(i) for i, method in enumerate(methods)}, rates=(8,)))
    pairs = {(row["method"], row["other"]) for row in summary["paired"]}
    assert pairs == {
        ("jscgc", "jscgc_fast"),
        ("jscgc", "deepjscc"),
        ("jscgc_fast", "jscgc"),
        ("jscgc_fast", "deepjscc"),
    }
    assert pairs == {(row["method"], row["other"]) for row in summary["bd_rate"]}
    assert summarise(table({"deepjscc": line()}))["paired"] == []


def test_a_set_metric_has_a_difference_and_no_share() -> None:
    """On a statistic that is a mean over photographs, the influences are their own values."""
    own = {"jscgc": [1.0, 2.0, 6.0], "diffjscc": [2.0, 3.0, 5.0]}
    rows = [
        (method, "awgn", 5.0, 8 / 768, 0, 0, image, "fid_efficientnet_lite0", value)
        for method, values in own.items()
        for image, value in [
            ("*", np.mean(values)),
            *((f"*-{'abc'[i]}", np.mean(values[:i] + values[i + 1 :])) for i in range(3)),
        ]
    ]
    summary = summarise(pd.DataFrame(rows, columns=ONE))
    (row,) = summary["paired"]
    expected = interval([[-1.0], [-1.0], [1.0]])
    assert (row["won"], row["p"]) == (None, None)
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((-1 / 3, expected.low, expected.high))
    assert summary["bd_rate"] == []


def test_missing_values_are_left_out_in_pairs() -> None:
    results = table({"jscgc": line(1), "diffjscc": line()}, rates=(8,))
    results.loc[(results["method"] == "jscgc") & (results["image"] == "a") & (results["seed"] == 0), "value"] = math.nan
    results = results[~((results["method"] == "diffjscc") & (results["image"] == "b"))]
    (row,) = summarise(results)["paired"]
    assert (row["images"], row["draws"], row["won"]) == (4, 2, 1.0)
    assert row["difference"] == pytest.approx(1.0) == row["low"] == row["high"]


def test_what_cannot_operate_is_said_and_not_compared() -> None:
    results = table({"jscgc": line(), "hevc_ldpc": line(5)})
    stuck = [
        ("hevc_ldpc", "awgn", 5.0, rate / 768, 0, seed, image, "cannot_operate", float(rate == 2 and image == "a"))
        for rate in RATES
        for image in IMAGES
        for seed in range(2)
    ]
    gone = (results["method"] == "hevc_ldpc") & (results["cbr"] == 2 / 768) & (results["image"] == "a")
    summary = summarise(pd.concat([results[~gone], pd.DataFrame(stuck, columns=ONE)]))
    row = pick(summary["paired"], cbr=2 / 768)
    assert row["note"] == "hevc_ldpc cannot operate"
    assert row["difference"] is row["won"] is row["p"] is row["low"] is None
    assert pick(summary["paired"], cbr=8 / 768)["difference"] == pytest.approx(-5)
    (saved,) = summary["bd_rate"]
    assert saved["rates"] == 2 and saved["cbr_saved_percent"] == pytest.approx(100 * (1 - math.exp(5 / 4)))
    # Nor where it could send nothing at all.
    nothing = results[results["method"] == "jscgc"]
    none = pd.DataFrame(stuck, columns=ONE).assign(value=1.0)
    summary = summarise(pd.concat([nothing, none]))
    assert {row["note"] for row in summary["paired"]} == {"hevc_ldpc cannot operate"} and len(summary["paired"]) == 3


@pytest.mark.parametrize("metric", ["psnr", FEATURE])
def test_bandwidth_saved_is_the_factor_between_the_curves(metric: str) -> None:
    """4 dB more at every CBR, 4 dB a factor e: 1 - 1/e of the bandwidth, on every photograph."""
    sign = 1 if metric == "psnr" else -1
    curves = {
        m: (lambda rate, image, seed, s=s: sign * line(s)(rate, image, seed)) for m, s in (("jscgc", 2), ("diffcom", 0))
    }
    (row,) = summarise(table(curves, metric))["bd_rate"]
    assert row["cbr_saved_percent"] == pytest.approx(100 * (1 - math.exp(-0.5)))
    assert (row["low"], row["high"]) == pytest.approx((row["cbr_saved_percent"],) * 2)
    assert (row["rates"], row["reason"]) == (3, None)
    assert row["overlap"] == pytest.approx((4 * math.log(16) - 2) / (4 * math.log(16) + 2))


def test_the_interval_is_over_photographs_in_both_methods_at_once() -> None:
    gains = dict(zip(IMAGES, (0.5, 1.0, 1.5, 2.0, 2.5), strict=True))
    ours: Value = lambda rate, image, seed: line()(rate, image, seed) + gains[image]  # noqa: E731
    (row,) = summarise(table({"jscgc": ours, "diffcom": line()}))["bd_rate"]
    gain = interval([[g] for g in gains.values()])
    saved = [100 * (1 - math.exp(-g / 4)) for g in (gain.mean, gain.low, gain.high)]
    assert row["cbr_saved_percent"] == pytest.approx(saved[0])
    # The logarithm of the ratio is linear in the gains here, so its jackknife is the gains' own interval.
    assert (row["low"], row["high"]) == pytest.approx((saved[1], saved[2]))
    assert row["low"] < row["cbr_saved_percent"] < row["high"]


def test_cbr_is_the_exact_one() -> None:
    """Ours pays twice the symbols for pilots: an advantage of ln 2 * 4 dB is none."""
    results = table({"jscgc": line(4 * math.log(2)), "diffcom": line()})
    paid = pd.concat(
        [
            table({"jscgc": lambda rate, *_: 2 * rate / 768}, "cbr_exact"),
            table({"diffcom": lambda rate, *_: rate / 768}, "cbr_exact"),
        ]
    )
    (nominal,) = summarise(results)["bd_rate"]
    (exact,) = summarise(pd.concat([results, paid]))["bd_rate"]
    assert nominal["cbr_saved_percent"] == pytest.approx(50)
    assert exact["cbr_saved_percent"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "other, rates, reason",
    [
        (line(100), RATES, "no overlap"),
        (line(), (8,), "too few rates"),
        (lambda rate, image, seed: 30 - rate, RATES, "not better with every rate"),
    ],
)
def test_why_there_is_no_number(other: Value, rates: tuple[int, ...], reason: str) -> None:
    (row,) = summarise(table({"jscgc": line(), "diffcom": other}, rates=rates))["bd_rate"]
    assert row["reason"] == reason
    assert row["cbr_saved_percent"] is row["low"] is row["high"] is None


def test_an_interval_needs_curves_that_can_be_compared_without_any_photograph() -> None:
    """One photograph alone makes the curve rise; without it, it falls."""
    steep: Value = lambda rate, image, seed: 20 + (40 if image == "a" else -5) * math.log(rate)  # noqa: E731
    (row,) = summarise(table({"jscgc": line(), "diffcom": steep}))["bd_rate"]
    assert row["cbr_saved_percent"] is not None and row["low"] is row["high"] is None
    assert row["reason"].startswith("no interval")


def several(methods: dict[str, tuple[float, ...]], rates: tuple[int, ...] = RATES) -> pd.DataFrame:
    """method -> how far each of its trainings is shifted; photographs gain apart, too."""
    parts = [
        table({method: line(shift)}, rates=rates).assign(training=training, set="")
        for method, shifts in methods.items()
        for training, shift in enumerate(shifts)
    ]
    results = pd.concat(parts, ignore_index=True)
    own = {image: 0.3 * (i - 2) for i, image in enumerate(IMAGES)}
    results.loc[results["method"] == "jscgc", "value"] += results["image"].map(own)
    return results


def test_several_trainings_are_paired_and_widen_the_interval() -> None:
    ours, other = (1.0, 2.0, 3.0), (0.5, 0.0, -0.5)
    (row,) = summarise(several({"jscgc": ours, "diffjscc": other}, (8,)))["paired"]
    assert (row["trainings"], row["other_trainings"], row["images"], row["draws"]) == (3, 3, 5, 2)
    gains = [a - b + 0.3 * (i - 2) for a, b in zip(ours, other, strict=True) for i in range(5)]
    expected = interval(np.reshape(gains, (3, 5, 1)))
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((2, expected.low, expected.high))
    assert row["low"] < 0 and row["won"] == 1 and row["p"] == 2**-4
    # One training is exact about itself, and silent about another.
    (one,) = summarise(several({"jscgc": ours[1:2], "diffjscc": other[1:2]}, (8,)))["paired"]
    assert (one["trainings"], one["other_trainings"]) == (1, 1) and one["low"] > 0
    assert one["high"] - one["low"] < (row["high"] - row["low"]) / 4


def test_one_training_stands_beside_each_of_the_others_and_a_missing_one_beside_none() -> None:
    ours = (1.0, 2.0, 3.0)
    for other, count in (((0.0,), 1), ((0.0, 0.0), 2)):
        (row,) = summarise(several({"jscgc": ours, "diffjscc": other}, (8,)))["paired"]
        entered = 3 if count == 1 else 2
        assert (row["trainings"], row["other_trainings"]) == (entered, count)
        assert row["difference"] == pytest.approx(np.mean(ours[:entered]))
    (row,) = summarise(several({"jscgc": (0.0,), "diffjscc": ours}, (8,)))["paired"]
    assert (row["trainings"], row["other_trainings"]) == (1, 3)
    assert row["difference"] == pytest.approx(-2) and row["low"] < -4


def test_the_bandwidth_saved_is_over_trainings_too() -> None:
    ours, other = (1.0, 2.0, 3.0), (0.5, 0.0, -0.5)
    (row,) = summarise(several({"jscgc": ours, "diffjscc": other}))["bd_rate"]
    gains = [a - b + 0.3 * (i - 2) for a, b in zip(ours, other, strict=True) for i in range(5)]
    gain = interval(np.reshape(gains, (3, 5, 1)))
    saved = [100 * (1 - math.exp(-g / 4)) for g in (gain.mean, gain.low, gain.high)]
    assert (row["cbr_saved_percent"], row["low"], row["high"]) == pytest.approx(saved)
    assert (row["trainings"], row["other_trainings"], row["images"]) == (3, 3, 5)


def test_one_photograph_has_no_interval_of_what_is_saved() -> None:
    results = table({"jscgc": line(2), "diffcom": line()})
    (row,) = summarise(results[results["image"] == "a"])["bd_rate"]
    assert row["cbr_saved_percent"] == pytest.approx(100 * (1 - math.exp(-0.5)))
    assert row["low"] is row["high"] is None and row["reason"].startswith("no interval: one photograph")


def test_the_summary_is_json_and_the_tables_have_its_rows(tmp_path: Path) -> None:
    results = table({"jscgc": line(1), "jscgc_fast": line(100), "diffjscc": line()})
    summary = summarise(results.sample(frac=1, random_state=0))
    assert summary == summarise(results)
    json.dumps(summary, allow_nan=False)
    write_comparisons(summary, tmp_path)
    for name, columns in (("paired", PAIRED), ("bd_rate", BD_RATE)):
        assert all(tuple(row) == columns for row in summary[name])
        read = pd.read_csv(tmp_path / f"{name}.csv")
        assert tuple(read.columns) == columns and len(read) == len(summary[name]) > 0
        assert read["method"].tolist() == [row["method"] for row in summary[name]]
    saved = pd.read_csv(tmp_path / "bd_rate.csv")
    assert (
        saved["cbr_saved_percent"].isna().sum() == sum(r["cbr_saved_percent"] is None for r in summary["bd_rate"]) > 0
    )
    write_comparisons({"paired": [], "bd_rate": []}, tmp_path)
    assert tuple(pd.read_csv(tmp_path / "paired.csv").columns) == PAIRED
