"""Information, dial and theory on the page: from the results alone, and absent where they were not measured."""

from __future__ import annotations

import json
import math
import shutil

import pandas as pd
import pytest

from jscgc.report import build_page, load_results, summarise
from jscgc.report.checks import monotonic
from jscgc.report.theory import calibration_sentence, dial_plots, information_plots, information_sentence, theory_plots

CONDITION = {"channel": "awgn", "cbr": 8 / 768, "steps": 10, "seed": 0, "training": 0, "set": ""}


def extended(table: pd.DataFrame) -> pd.DataFrame:
    """With the dial of exact samples (from 20 dB on), and information that is an estimate but at 5 dB, by its control."""
    rows = []
    for n in (1, 2, 4, 16):
        for image in ("a", "b"):
            value = 22.5 + 10 * math.log10(2 / (1 + 1 / n))
            rows.append(
                CONDITION
                | {"method": f"jscgc_mean_of_{n}", "snr_db": 0.0, "image": image, "metric": "psnr", "value": value}
            )
    for snr_db in (-5.0, 0.0, 5.0):
        capacity = 100 * math.log2(1 + 10 ** (snr_db / 10))
        for metric, value in {
            "information_bits": 0.3 * capacity, "information_bits_per_use": 0.003 * capacity,
            "capacity_bits": capacity, "information_efficiency": 0.3, "information_bits_losses": 0.29 * capacity,
            "information_control_bits": 2 * capacity,
            "information_control_bits_losses": (-1.5 if snr_db == 5 else -2) * capacity,
            "information_control_excess_bits": (0.5 if snr_db == 5 else 0) * capacity,
        }.items():  # fmt: skip
            for image in ("a", "b"):
                rows.append(
                    CONDITION | {"method": "jscgc", "snr_db": snr_db, "image": image, "metric": metric, "value": value}
                )
    return pd.concat([table, pd.DataFrame(rows)[list(table.columns)]], ignore_index=True)


def test_information_is_drawn_beside_the_capacity(make):
    rows = summarise(extended(make()))["rows"]
    bits, control, excess, per_use, share = information_plots(rows)
    _, measured, _, losses, capacity = bits.figure["data"]
    assert measured["name"] == "JSCGC" and capacity["name"] == "capacity"
    assert losses["name"] == "JSCGC, losses" and losses["line"]["dash"] == "dash" != measured["line"]["dash"]
    assert losses["y"] == pytest.approx([0.29 * y for y in capacity["y"]], rel=1e-4)
    lines = [line["y"] for line in control.figure["data"] if line.get("fill") is None]
    assert lines == [pytest.approx([k * y for y, k in zip(capacity["y"], of, strict=True)], rel=1e-4)
                     for of in ((2, 2, 2), (-2, -2, -1.5), (1, 1, 1))]  # fmt: skip
    assert excess.figure["data"][1]["y"] == pytest.approx([0, 0, 0.5 * capacity["y"][2]], rel=1e-4)
    assert capacity["y"] == pytest.approx([100 * math.log2(1 + 10 ** (s / 10)) for s in (-5, 0, 5)], rel=1e-4)
    assert measured["y"] == pytest.approx([0.3 * y for y in capacity["y"]], rel=1e-4)
    assert share.figure["data"][1]["y"] == pytest.approx([0.3] * 3)
    assert per_use.figure["data"][1]["y"] == pytest.approx([y / 100 for y in measured["y"]], rel=1e-4)
    assert information_plots(summarise(make())["rows"]) == []


def test_information_is_called_an_estimate_where_the_rule_holds(make):
    table = extended(make())
    rows = summarise(table)["rows"]
    bits = information_plots(rows)[0]
    assert bits.figure["data"][1]["text"] == ["estimate", "estimate", "no estimate"]
    assert "an estimate of I(X; Ŷ) at 2 of 3 conditions, elsewhere an indicator" in bits.title
    assert information_sentence(rows) == (
        "JSCGC: an estimate of I(X; Ŷ) at 2 of 3 conditions, elsewhere an indicator: symbols of another photograph seem to carry "
        "more than 10% of it (1 of 3 conditions)."
    )
    good = summarise(table[table["snr_db"] < 5])["rows"]
    assert information_sentence(good) == "JSCGC: an estimate of I(X; Ŷ)."
    bad = summarise(table[table["snr_db"] == 5])["rows"]
    assert information_plots(bad)[0].title.startswith("Bits per photograph: an indicator, no estimate")
    old = summarise(table[~table["metric"].str.contains("control|losses")])["rows"]
    assert [plot.name for plot in information_plots(old)] == [
        "information-bits",
        "information-per-use",
        "information-efficiency",
    ]
    assert information_sentence(old).endswith("no estimate: it was measured without the control (3 of 3 conditions).")
    assert information_sentence(summarise(make())["rows"]) == ""


def test_the_rule_is_for_the_mean_over_photographs(make):
    """Photographs whose forms differ by opposite signs agree in the mean."""
    table = extended(make())
    apart = table["metric"].eq("information_bits_losses") & table["snr_db"].eq(0)
    table["value"] *= 1 + apart * table["image"].map({"a": 0.6, "b": -0.6}).fillna(0)
    assert "at 2 of 3 conditions" in information_sentence(summarise(table)["rows"])


def test_the_dial_stands_beside_its_law(make):
    condition, (plot,) = dial_plots(summarise(extended(make()))["rows"])
    assert condition == "awgn, 0 dB, CBR 8/768; samples of 10 steps, without guidance"
    measured, law = plot.figure["data"]
    assert measured["x"] == [1, 2, 4, 16]
    # The law goes through the value at one sample.
    assert law["y"][0] == pytest.approx(measured["y"][0])
    assert law["y"][-1] - law["y"][0] == pytest.approx(10 * math.log10(2 / (1 + 1 / 16)))
    assert dial_plots(summarise(make())["rows"]) == ("", [])


@pytest.mark.parametrize(
    "ratios, said",
    [
        ((0.30, 0.32), "], of exact posterior samples 1: the samples are more alike than they are right"),
        ((0.5, 1.2), "no difference from an exact receiver can be told"),
        ((1.49, 1.5), "the samples differ by more than they are wrong"),
    ],
)
def test_the_dial_says_whether_the_spread_is_the_error(make, ratios, said):
    rows = [
        CONDITION | {"method": f"jscgc_mean_of_{n}", "snr_db": 0.0, "image": image, "metric": "spread_over_error"}
        | {"value": ratio if n == 16 else 0.1}
        for n in (2, 4, 16) for image, ratio in zip("ab", ratios, strict=True)
    ]  # fmt: skip
    table = extended(make())
    found = summarise(pd.concat([table, pd.DataFrame(rows)[list(table.columns)]], ignore_index=True))["rows"]
    sentence = calibration_sentence(found)
    assert sentence.startswith(f"Spread over error of 16 samples is {sum(ratios) / 2:.2f} [") and said in sentence
    _, plot = dial_plots(found)[1]
    measured, exact = plot.figure["data"]
    assert plot.name == "dial-spread_over_error" and measured["x"] == exact["x"] == [2, 4, 16]
    assert measured["y"] == pytest.approx([0.1, 0.1, sum(ratios) / 2]) and exact["y"] == [1, 1, 1]
    assert calibration_sentence(summarise(table)["rows"]) == ""


def test_few_steps_stand_beside_many(make):
    table = make()
    own = table[
        (table["method"] == "jscgc") & (table["snr_db"] == 0) & (table["cbr"] > 5 / 768) & (table["metric"] != "nfe")
    ]
    many = own.assign(method="jscgc_reference", steps=50, value=own["value"] + own["metric"].eq("psnr") * 1.0)
    found = summarise(pd.concat([table, many], ignore_index=True))["checks"]["few_steps"]
    assert found["condition"] == {"channel": "awgn", "snr_db": 0.0, "cbr": 8 / 768} and found["steps"] == 50
    rows = {row["metric"]: row for row in found["rows"]}
    assert rows["psnr"]["worsening"]["mean"] == pytest.approx(1.0) and rows["psnr"]["nfe"] == 10
    assert rows["psnr"]["worse_by"] == pytest.approx(1 / rows["psnr"]["reference"]["mean"])
    assert rows["fid_efficientnet_lite2"]["worse_by"] == pytest.approx(0)
    assert summarise(table)["checks"]["few_steps"] == {"condition": None, "steps": None, "rows": []}


def test_of_several_numbers_of_steps_all_stand_beside_the_most(make):
    table = make()
    own = table[(table["method"] == "jscgc") & (table["snr_db"] == 0) & (table["cbr"] > 5 / 768)]
    sweep = [
        own.assign(method="jscgc_reference", steps=steps, value=own["value"] + own["metric"].eq("psnr") * steps / 10)
        for steps in (20, 100, 50)
    ]
    found = summarise(pd.concat([table, *sweep], ignore_index=True))["checks"]["few_steps"]
    worse = {(r["method"], r["steps"]): r["worsening"]["mean"] for r in found["rows"] if r["metric"] == "psnr"}
    assert found["steps"] == 100
    assert worse == pytest.approx({("jscgc", 10): 10, ("jscgc_reference", 20): 8, ("jscgc_reference", 50): 5})


def test_means_of_samples_are_no_method_of_the_comparison(make):
    summary = summarise(extended(make()))
    checked = summary["checks"]["monotonic"]
    assert checked == summarise(make())["checks"]["monotonic"]
    assert monotonic({}, {})["passed"] is None


def test_theory_figures_hold_the_laws():
    found = {
        "orders": {"euler": {"steps": [10, 20], "error": [0.1, 0.05]}},
        "allocation": {"loss": {"variance": [1.0, 4.0], "one_plus_snr": [3.0, 6.0], "exponent": 0.5}},
    }
    orders, allocation = theory_plots(found)
    assert orders.figure["data"][0]["y"] == [0.1, 0.05]
    points, law = allocation.figure["data"]
    assert points["y"] == [3.0, 6.0]
    assert law["y"][1] / law["y"][0] == pytest.approx(2)
    assert math.prod(law["y"]) == pytest.approx(18)
    assert theory_plots({}) == []


def test_the_page_shows_all_three_or_says_that_they_are_missing(reports, make, tmp_path):
    folder = tmp_path / "reports"
    shutil.copytree(reports, folder)
    arguments = {"params_text": "", "manifest": None, "commit": "", "profile": "test"}
    bare = build_page(folder, **arguments).read_text()
    for said in ("evaluate.information_points", "evaluate.dial", "evaluate.reference_steps", "No theory.json"):
        assert said in bare
    extended(load_results(folder / "results.csv")).to_csv(folder / "results.csv", index=False)
    row = {
        "subject": "s", "check": "one equals one", "expected": 1, "measured": 1.001, "tolerance": 0.01, "ok": True,
        "kind": "equal", "source": "eq. 1",
    }  # fmt: skip
    (folder / "theory.json").write_text(json.dumps({"rows": [row], "figures": {}}))
    page = build_page(folder, **arguments).read_text()
    assert "one equals one" in page and "1.001" in page and "can't be trusted near its ceiling" in page
    for name in ("information-bits", "information-efficiency", "dial-psnr"):
        assert f'data-figure="{name}"' in page
