"""The paper's figures: their data, ours drawn beside every one that these results have, and the table that tells both apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jscgc.report import build_page, summarise
from jscgc.report.build import build_report
from jscgc.report.published import Beside, published_plots
from jscgc.report.published_data import paper_claims, paper_rows
from jscgc.report.published_table import (
    BEHAVIOUR,
    CLAIMS,
    ELSEWHERE,
    NOT_MEASURED,
    NOT_RUN,
    Table,
    at_paper_scale,
    published_table,
)
from jscgc.report.reading import checked

COLUMNS = ["method", "channel", "snr_db", "cbr", "steps", "seed", "image", "metric", "value"]
SNRS, RATES, STEPS = (-5.0, 0.0, 5.0, 10.0), (1, 2, 4, 8), (10, 20, 30, 50, 100)
METRICS = {"psnr": 20.0, "lpips_alex": 0.5, "dreamsim": 0.4, "fid_efficientnet_lite2": 200.0}
AWGN, RAYLEIGH = "AWGN, CBR 2/768, over SNR", "Rayleigh, CBR 2/768, over SNR"
CBR, SWEEP = "AWGN, 5 dB, over CBR", "AWGN, 10 dB, CBR 2/768, over sampling steps"


def value(method: str, snr_db: float, rate: int, steps: int, metric: str) -> float:
    """Another number for every condition."""
    return METRICS[metric] * (1 + (method == "jscgc") * 0.1 + snr_db / 100 + rate / 1000 + steps / 10_000)


def results(
    channels: Sequence[str] = ("awgn", "rayleigh_fast"),
    snrs: Sequence[float] = SNRS,
    rates: Sequence[int] = RATES,
    steps: Sequence[int] = STEPS,
    at: tuple[float, int] = (10.0, 2),
) -> pd.DataFrame:
    """jscgc with 50 steps and diffjscc over the grid, and jscgc with other steps at one condition."""
    places = [(m, c, s, r, 50) for m in ("jscgc", "diffjscc") for c in channels for s in snrs for r in rates]
    places += [("jscgc_reference", "awgn", *at, n) for n in steps]
    rows: list[tuple[Any, ...]] = []
    for method, channel, snr_db, rate, n in places:
        place = (method, channel, snr_db, rate / 768, n, 0)
        for metric in METRICS:
            number = value(method.removesuffix("_reference"), snr_db, rate, n, metric)
            rows += [(*place, image, metric, number) for image in (("*",) if "fid" in metric else ("a", "b"))]
    return checked(pd.DataFrame(rows, columns=COLUMNS))


def timed(parameters: int = 7_000_000, steps: Sequence[int] = (50, *STEPS)) -> list[dict[str, Any]]:
    """timing.json of these results: forty milliseconds a step."""
    return [
        {"method": "jscgc" if i == 0 else "jscgc_reference", "steps": n, "height": 512, "width": 768}
        | {"encode_ms_median": 3.0, "decode_ms_median": 40.0 * n, "receiver_parameters": parameters}
        for i, n in enumerate(steps)
    ]


def pairs(table: pd.DataFrame, timing: Sequence[Any] = ()) -> dict[tuple[str, str], Beside]:
    return {(pair.group, pair.metric): pair for pair in published_plots(summarise(table)["rows"], timing)}


def lines(table: Table) -> dict[tuple[str, str, str, str], Any]:
    found = {(line.figure, line.metric, line.method, line.at): line for line in table.lines}
    assert len(found) == len(table.lines)
    return found


def shown(pair: Beside) -> list[tuple[list[float], list[float]]]:
    assert pair.ours is not None, pair.where
    return [(trace["x"], trace["y"]) for trace in pair.ours.figure["data"] if "customdata" in trace]


def test_the_data_are_every_figure_of_the_paper_once():
    rows = paper_rows()
    keys = [tuple(r[k] for k in ("over", "metric", "channel", "rate", "snr_db", "steps", "method")) for r in rows]
    assert len(set(keys)) == len(rows) == 7 * 5 * 4 + 8 * 4 + 3 * 4 + 3 * 5
    assert all("2606.12858" in r["source"] for r in [*rows, *paper_claims()])
    known = dict(zip(keys, rows, strict=True))
    rayleigh = known["snr_db", "CLIP score", "rayleigh", 2, 5.0, 0, "jscgc"]
    assert (rayleigh["value"], rayleigh["exact"]) == (0.8955, True)
    assert known["snr_db", "rFID", "awgn", 2, 0.0, 0, "jscgc"]["exact"]
    assert not known["snr_db", "LPIPS", "awgn", 2, 0.0, 0, "jscgc"]["exact"]
    assert known["rate", "rFID", "awgn", 8, 5.0, 0, "jscgc"]["value"] == 66
    assert known["steps", "seconds", "awgn", 2, 10.0, 100, "jscgc"]["value"] == 43.4
    # The paper's headline follows from its own plots for LPIPS and CLIP; for "FID" it does not.
    for claim in paper_claims():
        ratio = 100 * (
            known["snr_db", claim["metric"], "awgn", 2, 5.0, 0, claim["method"]]["value"]
            / known["snr_db", claim["metric"], "awgn", 2, 5.0, 0, claim["other"]]["value"]
        )
        assert (abs(ratio - claim["percent"]) < 1) == (claim["metric"] != "rFID"), claim


def test_every_published_curve_is_drawn():
    found = pairs(results())
    assert len(found) == 7 + 5 + 3 + 3
    traces = [trace for pair in found.values() for trace in pair.published.figure["data"]]
    drawn = {point for trace in traces for point in zip(trace["x"], trace["y"], strict=True)}
    assert drawn == {(r[r["over"]], r["value"]) for r in paper_rows()}
    names = {key: [t["name"] for t in pair.published.figure["data"]] for key, pair in found.items()}
    assert names[RAYLEIGH, "LPIPS"] == ["JSCGC", "DiffJSCC"] and names[RAYLEIGH, "DINO score"] == ["JSCGC"]
    for pair in found.values():
        ours = {y for t in (pair.ours.figure["data"] if pair.ours else ()) for y in t["y"]}
        assert not ours & {y for t in pair.published.figure["data"] for y in t["y"]}  # never on the paper's axes


def test_ours_is_drawn_at_the_very_conditions():
    found = pairs(results(), timed())
    ours = {"jscgc": 0, "diffjscc": 1}
    for channel, group in (("awgn", AWGN), ("rayleigh_fast", RAYLEIGH)):
        curves = shown(found[group, "LPIPS"])
        assert len(curves) == 2
        for method, place in ours.items():
            expected = [value(method, s, 2, 50, "lpips_alex") for s in SNRS]
            assert curves[place][0] == list(SNRS) and curves[place][1] == pytest.approx(expected, rel=1e-5), channel
    assert found[RAYLEIGH, "LPIPS"].where == "Rayleigh fast fading, CBR 2/768"
    (x, y), _ = shown(found[CBR, "DreamSim"])
    assert x == pytest.approx(RATES) and y == pytest.approx(
        [value("jscgc", 5, r, 50, "dreamsim") for r in RATES], rel=1e-5
    )
    ((x, y),) = shown(found[SWEEP, "rFID"])
    assert x == list(STEPS)
    assert y == pytest.approx([value("jscgc", 10, 2, n, "fid_efficientnet_lite2") for n in STEPS], rel=1e-5)
    ((x, y),) = shown(found[SWEEP, "seconds"])
    assert x == list(STEPS) and y == pytest.approx([0.04 * n for n in STEPS])
    for key, pair in found.items():
        assert (pair.ours is None) == (key[1] in ("DISTS", "CLIP score", "DINO score")), key


def test_what_these_results_lack_is_said_and_not_filled_in():
    found = pairs(results(channels=("awgn",), snrs=(0.0, 7.0), rates=(8,), steps=()), timed(steps=(50,)))
    assert found[AWGN, "LPIPS"].where == "AWGN, CBR 8/768: not the paper's 2/768, which was not measured"
    for key, said in {
        (RAYLEIGH, "LPIPS"): "no Rayleigh channel",
        (CBR, "rFID"): "Not measured at AWGN, 5 dB",
        (SWEEP, "rFID"): "one number of steps only",
        (SWEEP, "seconds"): "one number of steps only",
        (AWGN, "DISTS"): "no metric like DISTS",
    }.items():
        assert found[key].ours is None and said in found[key].where, key
    table = published_table(
        summarise(results(channels=("awgn",), snrs=(0.0, 7.0), rates=(8,), steps=()))["rows"], [], "nano"
    )
    assert all(line.ours is None for line in table.lines)
    empty = published_plots([])
    assert len(empty) == 18 and all(pair.ours is None and pair.where for pair in empty)


def test_steps_at_another_condition_are_drawn_with_its_name_and_not_in_the_table():
    other = results(at=(5.0, 8))
    pair = pairs(other)[SWEEP, "DreamSim"]
    assert "5 dB, CBR 8/768: not the paper's condition" in pair.where
    assert shown(pair)[0][1] == pytest.approx([value("jscgc", 5, 8, n, "dreamsim") for n in STEPS], rel=1e-5)
    found = lines(published_table(summarise(other)["rows"], [], "nano"))
    assert [found[SWEEP, "DreamSim", "JSCGC", f"{n} steps"].ours for n in (10, 50)] == [None, "0.483"]


def test_the_block_fading_channel_stands_in_where_it_alone_was_measured():
    found = pairs(results(channels=("awgn", "rayleigh_block")))
    assert found[RAYLEIGH, "rFID"].where.startswith("Rayleigh block fading")


def test_the_table_has_every_number_with_ours_in_one_column():
    table = published_table(summarise(results())["rows"], timed(), "nano")
    found = lines(table)
    plotted = [line for line in table.lines if line.figure not in (CLAIMS, BEHAVIOUR)]
    assert [(line.published, line.exact) for line in plotted] == [(r["text"], r["exact"]) for r in paper_rows()]
    assert table.columns(None) == (NOT_RUN, NOT_MEASURED) and table.columns("0.5") == (NOT_RUN, "0.5")
    line = found[RAYLEIGH, "rFID", "JSCGC", "5 dB"]
    assert (line.published, line.exact, line.ours) == ("90.17", True, "231")
    assert line.stand_in and line.by == "Fréchet distance (Lite2)"
    assert (
        found[AWGN, "DreamSim", "DiffJSCC", "0 dB"].ours == "0.403" and not found[AWGN, "DISTS", "JSCGC", "5 dB"].ours
    )
    assert found[CBR, "DreamSim", "JSCGC", "4/768"].ours == "0.464"
    assert found[SWEEP, "DreamSim", "JSCGC", "20 steps"].ours == "0.482"
    assert found[SWEEP, "seconds", "JSCGC", "100 steps"].ours == "4.00"
    ratio = 100 * value("jscgc", 5, 2, 50, "lpips_alex") / value("diffjscc", 5, 2, 50, "lpips_alex")
    claim = found[CLAIMS, "LPIPS", "JSCGC / DiffJSCC", "AWGN, 5 dB, CBR 2/768"]
    assert (claim.published, claim.ours) == ("79.42 %", f"{ratio:.1f} %")
    assert found[CLAIMS, "CLIP score", "JSCGC / DiffJSCC", "AWGN, 5 dB, CBR 2/768"].ours is None
    behaviour = found[BEHAVIOUR, "PSNR (dB), distortion", "JSCGC", "10 dB → −5 dB"]
    assert (behaviour.published, behaviour.ours) == ("20.55 → 17.7", "24.1 → 21.1")
    assert found[BEHAVIOUR, "DINO score, meaning", "JSCGC", "10 dB → −5 dB"].published == "0.840 → 0.493"
    for record in table.records():
        assert record["ours_at_paper_scale"] == NOT_RUN and record["profile"] == "nano"


@pytest.mark.parametrize("profile", ["nano", "paper_small", "evaluation", ""])
def test_only_a_run_of_the_papers_size_is_at_its_scale(profile: str):
    large, small = timed(7_725_000_000), timed()
    for name in ("paper", "paper8"):
        assert at_paper_scale(name, large) and not at_paper_scale(name, small) and not at_paper_scale(name, [])
        assert not at_paper_scale(name, [{**t, "method": "diffjscc"} for t in large])
    assert not at_paper_scale(profile, large)
    table = published_table(summarise(results())["rows"], large, "paper8")
    assert table.paper_scale and table.columns("0.5") == ("0.5", ELSEWHERE)
    assert table.columns(None) == (NOT_MEASURED, ELSEWHERE)
    assert all(record["ours_small"] == ELSEWHERE for record in table.records())


@pytest.mark.parametrize("large", [False, True])
def test_the_page_and_the_table_say_whose_numbers_they_are(tmp_path: Path, large: bool):
    results().to_csv(tmp_path / "results.csv", index=False)
    (tmp_path / "timing.json").write_text(json.dumps(timed(7_725_000_000 if large else 7_000_000)))
    build_report(tmp_path, params_text="", manifest=None, commit="", profile="paper" if large else "nano")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="published">') : page.index('<section id="theory">')]
    said = "has not been run at the paper's scale"
    assert (said in section) != large and (">not run<" in section) != large
    assert ("ours small (nano)" in section) != large and ("not in these results" in section) == large
    for text in ("0.391 / 0.306 / 0.245 / 0.242", "0.8955*", "43.4", "79.42 %*", AWGN, RAYLEIGH, CBR, SWEEP):
        assert text in section, text
    assert "over SNR: −5 / 0 / 5 / 10 dB" in section and ": 10 / 20 / 30 / 50 / 100 steps" in section
    assert section.count("<optgroup") == 4 and section.count("<option ") == 18
    written = pd.read_csv(tmp_path / "tables" / "published.csv", dtype=str, keep_default_na=False)
    column, other = ("ours_at_paper_scale", "ours_small") if large else ("ours_small", "ours_at_paper_scale")
    assert len(written) == len(paper_rows()) + len(paper_claims()) + 9
    assert set(written[other]) == {ELSEWHERE if large else NOT_RUN}
    row = written[(written["figure"] == SWEEP) & (written["metric"] == "seconds") & (written["at"] == "30 steps")]
    assert row[column].tolist() == ["1.20"]


def test_a_page_of_results_without_a_quality_has_the_papers_figures_all_the_same(tmp_path: Path):
    table = results()
    table[table["metric"] == "psnr"].assign(metric="nfe").to_csv(tmp_path / "results.csv", index=False)
    page = build_page(tmp_path, params_text="", manifest=None, commit="", profile="x").read_text(encoding="utf-8")
    assert "no metric like rFID was measured" in page and "0.391 / 0.306" in page
