"""Means, intervals and checks on tables whose answer is known."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import pandas as pd
import pytest

from jscgc.evaluation.statistics import interval
from jscgc.report import headline_table, load_results, print_headline, summarise
from jscgc.report.reading import ADDED, COLUMNS, by_set, checked, pooled
from jscgc.report.summary import influences, matrices

Maker = Callable[..., pd.DataFrame]


def row(summary: dict, **wanted: object) -> dict:  # type: ignore[type-arg]
    (found,) = [r for r in summary["rows"] if all(r[k] == v for k, v in wanted.items())]
    return dict(found)


def test_means_counts_and_what_the_interval_is_over(make: Maker) -> None:
    summary = summarise(make())
    psnr = row(summary, method="jscgc", snr_db=0.0, cbr=8 / 768, metric="psnr")
    assert psnr["mean"] == pytest.approx(20 + 5 * (0.02 + 0.025))
    assert psnr["low"] < psnr["mean"] < psnr["high"]
    assert (psnr["images"], psnr["draws"], psnr["values"], psnr["interval_over"]) == (2, 3, 6, "images and draws")
    fid = row(summary, method="jscgc", snr_db=0.0, cbr=8 / 768, metric="fid_efficientnet_lite2")
    assert (fid["images"], fid["draws"], fid["values"], fid["interval_over"]) == (2, 3, 3, "draws")


def test_a_set_metrics_interval_is_over_photographs() -> None:
    """On a statistic that is a mean over photographs, the jackknife's influences are those photographs' own values."""
    own = pd.DataFrame([[1.0, 3.0], [2.0, 2.0], [9.0, 4.0]], index=["a", "b", "c"], columns=[0, 1])
    rest = pd.DataFrame([own.drop(image).mean() for image in own.index], index=[f"*-{image}" for image in own.index])
    whole = own.mean().to_frame("*").T
    found = influences(pd.concat([whole, rest]))
    pd.testing.assert_frame_equal(found, own)
    cell = [
        ("jscgc", "awgn", 0.0, 8 / 768, 2, seed, image, "fid_efficientnet_lite2", value)
        for image, values in pd.concat([whole, rest]).iterrows()
        for seed, value in values.items()
    ]
    columns = [column for column in COLUMNS if column not in ADDED]
    (fid,) = summarise(pd.DataFrame(cell, columns=columns))["rows"]
    assert (fid["images"], fid["draws"], fid["interval_over"]) == (3, 2, "images and draws")
    assert fid["mean"] == pytest.approx(3.5) and fid["high"] > 5
    # No Fréchet distance is below zero, and so is no interval of one.
    assert fid["low"] == 0 > interval(own.to_numpy()).low


def trainings(make: Maker, count: int, **changes: object) -> pd.DataFrame:
    """`make`'s table, its values 0.1 higher with each further training of jscgc."""
    table = make(**changes)
    ours = table["method"] == "jscgc"
    more = [table[ours].assign(training=t, value=table["value"][ours] + 0.1 * t) for t in range(1, count)]
    return pd.concat([table.assign(training=0), *more], ignore_index=True).assign(set="")


def test_rows_say_how_many_trainings_their_interval_is_over(make: Maker) -> None:
    summary = summarise(trainings(make, 3))
    at = {"snr_db": 0.0, "cbr": 8 / 768}
    psnr = row(summary, method="jscgc", metric="psnr", **at)
    counts = ("images", "trainings", "draws", "values", "interval_over")
    assert [psnr[k] for k in counts] == [2, 3, 3, 18, "trainings, images and draws"]
    assert psnr["mean"] == pytest.approx(20 + 5 * (0.02 + 0.025) + 0.1)
    one = row(summary, method="mambajscc_psnr", metric="psnr", **at)
    assert [one[k] for k in counts] == [2, 1, 3, 6, "images and draws"]
    # A set metric without leave-one-outs has trainings and draws.
    fid = row(summary, method="jscgc", metric="fid_efficientnet_lite2", **at)
    assert [fid[k] for k in counts] == [2, 3, 3, 9, "trainings and draws"]
    assert fid["high"] - fid["mean"] == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)


def test_intervals_stay_within_the_metrics_range() -> None:
    columns = [column for column in COLUMNS if column not in ADDED]
    rows = [
        ("jscgc", "awgn", 0.0, 8 / 768, 2, 0, image, metric, value)
        for metric, values in {"ms_ssim": (0.2, 0.9, 0.99), "class_change_efficientnet_lite2": (0.0, 0.0, 1.0)}.items()
        for image, value in zip("abc", values, strict=True)
    ]
    summary = summarise(pd.DataFrame(rows, columns=columns))
    assert (row(summary, metric="ms_ssim")["low"], row(summary, metric="ms_ssim")["high"]) == (0, 1)
    changed = row(summary, metric="class_change_efficientnet_lite2")
    assert (changed["low"], changed["high"]) == (0, 1) and changed["mean"] == pytest.approx(1 / 3)


def with_sets(make: Maker) -> pd.DataFrame:
    """Photographs a, b of kodak and c, d of cid22; a Fréchet distance of each set and of all."""
    table = make(images=("a", "b", "c", "d")).assign(training=0)
    place = {"a": "kodak", "b": "kodak", "c": "cid22", "d": "cid22", "*": ""}
    table["set"] = table["image"].map(place)
    whole = table[table["image"] == "*"]
    own = [whole.assign(set=name, value=whole["value"] + shift) for name, shift in (("kodak", 7), ("cid22", 9))]
    return pd.concat([table, *own], ignore_index=True)


def test_each_set_has_rows_as_if_it_were_alone(make: Maker) -> None:
    results = with_sets(make)
    summary = summarise(results)
    at = {"method": "jscgc", "snr_db": 0.0, "cbr": 8 / 768}
    assert list(summary["sets"]) == ["cid22", "kodak"] == list(by_set(checked(results)))
    whole = row(summary, **at, metric="fid_efficientnet_lite2")["mean"]
    for name, images, shift in (("kodak", ("a", "b"), 7), ("cid22", ("c", "d"), 9)):
        alone = results[results["image"].isin([*images, "*"]) & results["set"].isin(["", name])]
        # Its own distance, not that of all photographs.
        alone = alone[(alone["image"] != "*") | (alone["set"] == name)].assign(set="")
        assert summary["sets"][name] == summarise(alone)["rows"]
        assert row({"rows": summary["sets"][name]}, **at, metric="fid_efficientnet_lite2")["mean"] == whole + shift
    assert row(summary, **at, metric="psnr")["images"] == 4
    # The whole is what a table of one set would give.
    one = results[(results["image"] != "*") | (results["set"] == "")].assign(set="")
    assert summary | {"sets": {}} == summarise(one)
    assert list(matrices(checked(results))) == list(matrices(checked(one)))
    json.dumps(summary, allow_nan=False)


def test_one_set_and_files_without_sets_have_none_beside_the_whole(make: Maker, tmp_path: Path) -> None:
    make().to_csv(tmp_path / "old.csv", index=False)
    old = load_results(tmp_path / "old.csv")
    assert tuple(old.columns) == COLUMNS and set(old["training"]) == {0} and set(old["set"]) == {""}
    assert by_set(old) == {} == summarise(old)["sets"] and len(pooled(old)) == len(old)
    named = old.assign(set=old["image"].map({"a": "kodak", "b": "kodak", "*": ""}))
    named.to_csv(tmp_path / "new.csv", index=False)
    new = load_results(tmp_path / "new.csv")
    assert set(new["set"]) == {"kodak", ""} and summarise(new) == summarise(old)


def test_a_photograph_in_two_sets_is_named(make: Maker) -> None:
    results = with_sets(make)
    twice = results[results["image"] == "a"].assign(set="cid22")
    with pytest.raises(ValueError, match="photograph a is in several sets \\('cid22', 'kodak'\\); rename it"):
        summarise(pd.concat([results, twice]))


def test_missing_values_become_null_and_are_counted(make: Maker) -> None:
    results = make()
    results.loc[(results["method"] == "jscgc") & (results["metric"] == "psnr"), "value"] = math.nan
    summary = summarise(results)
    json.dumps(summary, allow_nan=False)
    psnr = row(summary, method="jscgc", snr_db=0.0, cbr=8 / 768, metric="psnr")
    assert (psnr["mean"], psnr["dropped"]) == (None, 6)


def test_order_of_rows_in_the_file_does_not_matter(make: Maker) -> None:
    assert summarise(make().sample(frac=1, random_state=0)) == summarise(make())


def test_good_results_pass_both_checks(make: Maker) -> None:
    checks = summarise(make())["checks"]
    assert checks["monotonic"]["passed"] is True
    # 2 methods x 2 rates x 2 quality metrics x (2 neighbours + 1 from end to end); nfe has no quality
    assert (checks["monotonic"]["steps"], checks["monotonic"]["improved"]) == (24, 24)
    assert checks["controls"]["passed"] is True
    assert len(checks["controls"]["comparisons"]) == 4
    assert checks["controls"]["conditions"] == [{"channel": "awgn", "snr_db": 5.0, "cbr": 8 / 768}]


def test_a_violation_is_found_and_named(make: Maker) -> None:
    results = make()
    at = (results["method"] == "jscgc") & (results["snr_db"] == 0) & (results["cbr"] > 0.005)
    results.loc[at & (results["metric"] == "fid_efficientnet_lite2"), "value"] += 100
    check = summarise(results)["checks"]["monotonic"]
    assert check["passed"] is False
    (violation,) = check["violations"]
    assert (violation["method"], violation["metric"]) == ("jscgc", "fid_efficientnet_lite2")
    assert (violation["from_snr_db"], violation["to_snr_db"]) == (-5.0, 0.0)
    assert violation["worsening"]["mean"] == pytest.approx(75)


def test_worse_on_the_same_images_within_wide_intervals_is_a_warning(make: Maker) -> None:
    results = make((0.0, 5.0))
    psnr = results["metric"] == "psnr"
    results.loc[psnr & (results["image"] == "b"), "value"] += 30
    results.loc[psnr & (results["method"] == "jscgc") & (results["snr_db"] == 5), "value"] -= 3
    check = summarise(results)["checks"]["monotonic"]
    assert check["passed"] is True
    assert {(w["method"], w["metric"]) for w in check["paired_warnings"]} == {("jscgc", "psnr")}


def test_equal_values_are_no_violation(make: Maker) -> None:
    results = make().assign(value=1.0)
    check = summarise(results)["checks"]["monotonic"]
    assert check["passed"] is True and check["equal"] == check["steps"] == 24 and not check["paired_warnings"]


def test_one_snr_and_no_controls_are_not_tested(make: Maker) -> None:
    results = make((5.0,))
    checks = summarise(results[~results["method"].str.startswith("jscgc_")])["checks"]
    assert checks["monotonic"]["passed"] is None and checks["monotonic"]["reason"]
    assert checks["controls"]["passed"] is None and checks["controls"]["reason"]


def test_controls_as_good_as_the_right_symbols_fail(make: Maker) -> None:
    results = make()
    wrong = results["method"] == "jscgc_wrong_symbols"
    right = (results["method"] == "jscgc") & (results["snr_db"] == 5) & (results["cbr"] > 0.005)
    results.loc[wrong, "value"] = results.loc[right, "value"].to_numpy()
    check = summarise(results)["checks"]["controls"]
    assert check["passed"] is False
    failed = {(c["control"], c["metric"]) for c in check["comparisons"] if not c["clearly_better"]}
    assert failed == {("jscgc_wrong_symbols", "psnr"), ("jscgc_wrong_symbols", "fid_efficientnet_lite2")}


def test_only_faithfulness_decides_about_the_controls(make: Maker) -> None:
    results = make()
    at = results["method"].str.startswith("jscgc_") & (results["metric"] == "fid_efficientnet_lite2")
    results.loc[at, "value"] = 0.0
    check = summarise(results)["checks"]["controls"]
    assert check["passed"] is True
    assert {c["metric"] for c in check["comparisons"] if not c["decides"]} == {"fid_efficientnet_lite2"}


def test_headline_is_the_middle_condition_with_the_best_marked(make: Maker) -> None:
    results = make()
    results.loc[results["method"] == "mambajscc_psnr", "value"] += 10
    headline = headline_table(summarise(results))
    assert headline is not None
    assert (headline.channel, headline.snr_db, headline.cbr) == ("awgn", 0.0, 8 / 768)
    assert headline.methods == ["jscgc", "mambajscc_psnr"]
    best = {r.metric: [c.method for c in r.cells if c.best] for r in [*headline.rows, *headline.marked]}
    assert best == {"psnr": ["mambajscc_psnr"], "fid_efficientnet_lite2": ["jscgc"]}


def test_printed_headline_fits_a_terminal(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    print_headline(summarise(make()))
    said = capsys.readouterr().out
    assert "PSNR (dB) ↑" in said and "[" in said and "…" not in said


def test_four_methods_fit_into_eighty_columns_with_their_metrics_names(
    make: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    table = make()
    ours = table[table["method"] == "jscgc"]
    more = [ours.assign(method=name, value=ours["value"] / 7) for name in ("jscgc_fast", "diffjscc")]
    print_headline(summarise(pd.concat([table, *more], ignore_index=True)))
    said = capsys.readouterr().out
    assert "PSNR (dB) ↑" in said and "DiffJSCC" in said and "…" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_a_photograph_may_be_called_na(make: Maker, tmp_path: Path) -> None:
    make(images=("NA", "nan")).to_csv(tmp_path / "r.csv", index=False)
    assert set(load_results(tmp_path / "r.csv")["image"]) == {"NA", "nan", "*"}


def test_broken_results_are_named(make: Maker, tmp_path: Path) -> None:
    results = make()
    with pytest.raises(ValueError, match="there twice"):
        summarise(pd.concat([results, results.head(1)]))
    results.drop(columns="seed").to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(ValueError, match=r"r\.csv.*seed"):
        load_results(tmp_path / "r.csv")
    results.astype({"snr_db": object}).assign(snr_db="high").to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(ValueError, match="snr_db"):
        load_results(tmp_path / "r.csv")


def test_the_report_needs_no_torch_and_no_scipy() -> None:
    code = "import sys, jscgc.report.page, jscgc.evaluation.statistics; sys.exit(bool({'torch', 'scipy'} & {*sys.modules}))"
    assert run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_a_method_that_cannot_send_every_photograph_has_no_mean_and_says_why(make: Maker) -> None:
    results = make()
    classical = results[results["method"] == "mambajscc_psnr"].assign(method="hevc_ldpc", steps=0)
    stuck = (classical["snr_db"] == 0.0) & (abs(classical["cbr"] - 8 / 768) < 1e-9)
    # At one condition photograph b can't be sent; the set has no distance there.
    left = classical[~(stuck & classical["image"].isin(["b", "*"]))]
    share = classical[classical["metric"] == "psnr"].assign(metric="cannot_operate")
    share["value"] = (stuck & (classical["image"] == "b")).loc[share.index].astype(float)
    summary = summarise(pd.concat([results, left, share]))
    at = {"method": "hevc_ldpc", "snr_db": 0.0, "cbr": 8 / 768}
    found = row(summary, **at, metric="psnr")
    assert found["mean"] is None and found["note"] == "cannot operate (1 of 2 photographs)"
    assert row(summary, **at, metric="fid_efficientnet_lite2")["mean"] is None
    assert row(summary, **at, metric="cannot_operate")["mean"] == pytest.approx(0.5)
    assert row(summary, method="hevc_ldpc", snr_db=5.0, cbr=8 / 768, metric="psnr")["mean"] is not None
    # The easier photograph alone is no step of a curve either.
    assert summary["checks"]["monotonic"]["passed"]
    headline = headline_table(summary)
    assert headline is not None and headline.snr_db == 0.0
    cells = {cell.method: cell for cell in headline.rows[0].cells}
    assert cells["hevc_ldpc"].text.startswith("cannot operate") and not cells["hevc_ldpc"].best
    json.dumps(summary, allow_nan=False)


def test_results_of_a_method_that_could_send_nothing_say_so(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    results = make()
    alone = results[(results["method"] == "mambajscc_psnr") & (results["metric"] == "psnr")]
    stuck = alone.assign(method="hevc_ldpc", metric="cannot_operate", value=1.0)
    print_headline(summarise(stuck))
    assert "HEVC + 5G LDPC: cannot operate" in capsys.readouterr().out
