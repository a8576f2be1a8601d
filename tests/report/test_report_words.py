"""What the report says in words follows from the numbers, whichever way they fall; looks; published figures; failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jscgc.method import METHODS
from jscgc.report import headline_table, summarise
from jscgc.report.failures import extreme_pictures, failed_pictures, failure_table
from jscgc.report.picture_store import Store, picture_captions
from jscgc.report.pictures import embed, find_photos
from jscgc.report.published import anchors, psnr_gaps
from jscgc.report.reading import ADDED, COLUMNS, checked, method_label
from jscgc.report.scope import scope, subject
from jscgc.report.semantics import semantic_points, semantic_readings
from jscgc.report.series import HUES, series_styles
from jscgc.report.summary import matrices
from jscgc.report.verdict import verdict

ONE = [column for column in COLUMNS if column not in ADDED]
"""Columns of a table of one training and one set."""
COSINE, FID = "semantic_cosine_efficientnet_lite2", "fid_efficientnet_lite2"


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.1)."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("ground", ["#ffffff", "#fbfbfa", "#1b2027", "#14171c"])
def test_every_hue_is_seen_on_light_and_dark_ground(ground: str) -> None:
    for hue in HUES:
        bright, dim = sorted((luminance(hue), luminance(ground)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 3, hue


def test_no_two_methods_look_alike_and_a_method_always_looks_the_same() -> None:
    known = [(method, 0) for method in METHODS.names]
    styles = series_styles(known)
    assert len({s.marker for s in styles.values()}) == len(known) == len(set(styles.values()))
    for some in (known[:4], known[9:13], known[::3]):
        assert series_styles(some) == {key: styles[key] for key in some}
    crowd = [*known, *((f"stranger{i}", 0) for i in range(30)), ("jscgc", 4), ("jscgc", 9)]
    found = series_styles(crowd)
    assert len({(s.dash, s.marker) for s in found.values()}) == len(crowd)
    assert found["jscgc", 4].colour == found["jscgc", 0].colour
    assert all(s.glyph and s.dasharray for s in found.values())


def semantic_table(falls: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    """method -> how much PSNR, cosine and realism (Fréchet, upwards) it loses from 10 to 0 dB, and how far the last is from
    photograph to photograph; 4 photographs, 3 draws."""
    rows = []
    for method, (*losses, uncertain) in ((m, (*fall, 0.0)[:4]) for m, fall in falls.items()):
        for low, snr_db in enumerate((10.0, 0.0)):
            for seed in range(3):
                place = (method, "awgn", snr_db, 8 / 768, 2, seed)
                wobble = 0.001 * seed
                for i in range(4):
                    rows.append((*place, f"i{i}", "psnr", 20 + i - low * losses[0] + wobble))
                    rows.append((*place, f"i{i}", COSINE, 0.6 + 0.01 * i - low * losses[1] + wobble))
                    lost = losses[2] + uncertain * (-1) ** i / 3
                    rows.append((*place, f"*-i{i}", FID, 5 + 0.1 * i + low * lost + wobble * (-1) ** i))
                rows.append((*place, "*", FID, 5.15 + low * losses[2]))
    return checked(pd.DataFrame(rows, columns=ONE))


@pytest.mark.parametrize(
    ("ours", "other", "said"),
    [
        (
            (3, 0.2, 0.1, 0.5),
            (3, 0.2, 2.0),
            "is seen here for these weights of JSCGC: their realism is not clearly lost, and less of it than these weights of "
            "MambaJSCC",
        ),
        ((3, 0.2, -1.0), (3, 0.2, -2.0), "is seen here for these weights of JSCGC: they lose meaning and no realism."),
        ((3, 0.2, 0.1, 0.5), (3, 0.2, 0.1, 0.5), "is not contradicted here for these weights of JSCGC, nor shown"),
        ((3, 0.2, 1.0), (3, 0.2, 3.0), "is seen in part"),
        ((3, 0.2, 3.0), (3, 0.2, 1.0), "their realism is clearly lost as well"),
        ((3, 0.0, 2.0), (3, 0.2, 2.0), "their meaning is not clearly lost"),
        ((3, -0.1, -1.0), (3, 0.2, 2.0), "their meaning is not clearly lost"),
    ],
)
def test_the_verdict_on_semantics_goes_every_way(ours: tuple[float, ...], other: tuple[float, ...], said: str) -> None:
    table = semantic_table({"jscgc": ours, "mambajscc_psnr": other})
    (reading,) = semantic_readings(matrices(table), summarise(table)["rows"])
    assert said in reading.text[0]
    assert (reading.high_db, reading.low_db) == (10, 0)
    change = {c.label: c for c in reading.changes}["JSCGC"]
    assert change.distortion.mean == pytest.approx(ours[0]) and change.semantics.mean == pytest.approx(ours[1])
    assert change.realism.mean == pytest.approx(ours[2], abs=1e-9)
    assert any(f"{ours[0]:.2f}" in line for line in reading.text[2:])


def of_trainings(table: pd.DataFrame, shifts: dict[str, tuple[float, ...]], spread: float = 1.0) -> pd.DataFrame:
    """method -> what is added to the values of each of its trainings; the other methods have one."""
    parts = [
        table[table["method"] == method]
        .assign(training=t)
        .pipe(lambda p, s=shift: p.assign(value=p["value"] + spread * s))
        for method in table["method"].unique()
        for t, shift in enumerate(shifts.get(method, (0.0,)))
    ]
    return pd.concat(parts, ignore_index=True).assign(set="")


def test_semantics_name_whom_they_speak_of() -> None:
    """A shift of a training is in both SNRs: it changes no loss, only who is spoken of and what two methods differ by."""
    one = semantic_table({"jscgc": (3, 0.2, 0.1, 0.5), "mambajscc_psnr": (3, 0.2, 2.0)})
    several = of_trainings(one, {"jscgc": (-0.1, 0.0, 0.1)})
    (before,), (after,) = (semantic_readings(matrices(t), summarise(t)["rows"]) for t in (one, several))
    assert "for JSCGC (3 trainings): its realism" in after.text[0]
    assert "less of it than these weights of MambaJSCC" in after.text[0]
    assert before.text[1].startswith(
        "Intervals are over photographs and channel draws of these weights; another training is not in them. What is lost"
    )
    assert after.text[1].startswith(
        "Intervals are over trainings (3 of JSCGC), photographs and channel draws together. Of MambaJSCC (PSNR) there are "
        "these weights only: another training of it is not in these intervals. What is lost"
    )
    assert before.text[2].startswith("These weights of JSCGC lose: ")
    assert after.text[2].startswith("JSCGC (3 trainings) loses: ")
    for axis in ("distortion", "semantics", "realism"):
        lost, still = (getattr(r.changes[0], axis) for r in (before, after))
        assert (still.mean, still.low, still.high) == pytest.approx((lost.mean, lost.low, lost.high))
        assert (lost.trainings, still.trainings) == (1, 3)
    assert before.text[3] == after.text[3] and before.text[3].startswith("These weights of MambaJSCC (PSNR) lose: ")
    assert before.text[4].startswith(
        "These weights of JSCGC beside these weights of MambaJSCC (PSNR), positive where the former are better: "
    )
    assert after.text[4].startswith(
        "JSCGC (3 trainings) beside these weights of MambaJSCC (PSNR), positive where the former is better: "
    )


def test_whom_a_sentence_is_about() -> None:
    assert subject("jscgc", 1).start == "These weights of JSCGC" and subject("jscgc", 1).plural
    assert subject("jscgc", 3).text == "JSCGC (3 trainings)" and not subject("jscgc", 3).plural
    # Nothing of a file and a channel code was trained; a stranger may have been.
    assert subject("hevc_ldpc", 1).text == "HEVC + 5G LDPC" and not subject("hevc_ldpc", 1).plural
    assert subject("stranger", 1).text == "these weights of stranger"
    assert subject("jscgc", 1, "JSCGC, 4 steps").text == "these weights of JSCGC, 4 steps"


@pytest.mark.parametrize(
    ("trainings", "said"),
    [
        (
            {"jscgc": 1, "hevc_ldpc": 1},
            "Intervals are over photographs and channel draws of these weights; another training is not in them.",
        ),
        ({"hevc_ldpc": 1}, "Intervals are over photographs and channel draws."),
        (
            {"jscgc": 3, "diffjscc": 2, "hevc_ldpc": 1},
            "Intervals are over trainings (3 of JSCGC and 2 of DiffJSCC), photographs and channel draws together.",
        ),
        (
            {"jscgc": 3, "diffjscc": 1, "diffcom": 1},
            "Intervals are over trainings (3 of JSCGC), photographs and channel draws together. Of DiffJSCC and DiffCom "
            "there are these weights only: another training of them is not in these intervals.",
        ),
    ],
)
def test_what_intervals_cover_is_said(trainings: dict[str, int], said: str) -> None:
    assert scope(trainings) == said


@pytest.mark.parametrize(
    ("spread", "words", "start"),
    [
        (0.05, ("better", "better"), "JSCGC (3 trainings) wins against DiffJSCC (3 trainings): "),
        (
            1.0,
            ("better", "unclear"),
            "No clear winner: none of 1 metrics shows a clear difference between JSCGC (3 trainings) and ",
        ),
    ],
)
def test_who_wins_is_told_over_trainings(spread: float, words: tuple[str, str], start: str) -> None:
    """2 dB on every photograph of this training: whether of the next one depends on what trainings differ by."""
    rng = np.random.default_rng(0)
    rows = [
        (method, "awgn", 0.0, 8 / 768, 2, seed, f"i{i}", "psnr", 20 + i + ahead + rng.normal(0, 0.3))
        for method, ahead in (("jscgc", 2.0), ("diffjscc", 0.0))
        for i in range(8)
        for seed in range(2)
    ]
    one = checked(pd.DataFrame(rows, columns=ONE))
    several = of_trainings(one, {"jscgc": (-1.0, 0.0, 1.0), "diffjscc": (0.5, 0.0, -0.5)}, spread)
    told = []
    for table in (one, several):
        summary = summarise(table)
        verdicts = verdict(headline_table(summary), matrices(table), summary["paired"])
        assert verdicts is not None and verdicts.lines[0].against_two_stage is not None
        told.append((verdicts, verdicts.lines[0].against_two_stage))
    assert tuple(duel.word for _, duel in told) == words
    # Sign flips are over photographs of these trainings; alone they would not know.
    assert all(duel.p is not None and duel.p < 0.05 and duel.photographs == 8 for _, duel in told)
    assert told[0][0].sentence.startswith("These weights of JSCGC win")
    assert told[1][0].sentence.startswith(start)
    assert "these weights of JSCGC" in told[0][0].leader and "JSCGC (3 trainings)" in told[1][0].leader
    assert told[0][0].scope.endswith("of these weights; another training is not in them.")
    assert told[1][0].scope.startswith("Intervals are over trainings (3 of JSCGC and 3 of DiffJSCC), photographs")


def test_semantic_points_are_the_summarys_means() -> None:
    table = semantic_table({"jscgc": (3, 0.2, 1), "diffjscc": (2, 0.1, 1)})
    points = {(p["series"], p["snr_db"]): p["values"] for p in semantic_points(summarise(table)["rows"])}
    assert len(points) == 4
    for (series, snr_db), values in points.items():
        own = table[(table["method"] == series.lower()) & (table["snr_db"] == snr_db)]
        for metric in ("psnr", COSINE):
            assert values[metric][0] == pytest.approx(own[own["metric"] == metric]["value"].mean(), rel=1e-5)
        assert values[FID][0] == pytest.approx(
            own[(own["metric"] == FID) & (own["image"] == "*")]["value"].mean(), rel=1e-5
        )


def test_no_semantics_without_three_axes_or_two_snrs() -> None:
    table = semantic_table({"jscgc": (3, 0.2, 1)})
    for less in (table[table["metric"] != COSINE], table[table["snr_db"] == 10]):
        assert semantic_readings(matrices(less), summarise(less)["rows"]) == []


@pytest.mark.parametrize(
    ("gain", "start", "word"),
    [
        (2.0, "These weights of JSCGC win against these weights of DiffJSCC: ", "better"),
        (-2.0, "These weights of JSCGC lose against these weights of DiffJSCC: ", "worse"),
        (0.0, "No clear winner", "unclear"),
    ],
)
def test_who_wins_is_told_every_way(gain: float, start: str, word: str) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (method, "awgn", 0.0, 8 / 768, 2, seed, f"i{i}", "psnr", 20 + i + ahead + rng.normal(0, 0.3))
        for method, ahead in (("jscgc", gain), ("diffjscc", 0.0))
        for i in range(6)
        for seed in range(2)
    ]
    table = checked(pd.DataFrame(rows, columns=ONE))
    summary = summarise(table)
    told = verdict(headline_table(summary), matrices(table), summary["paired"])
    assert told is not None and told.sentence.startswith(start)
    (line,) = told.lines
    assert line.against_two_stage is not None and line.against_two_stage.word == word
    # By pandas: the mean of the differences on the same photograph and draw, as a share of the other's mean.
    wide = table.pivot(index=["image", "seed"], columns="method", values="value")
    expected = (wide["jscgc"] - wide["diffjscc"]).mean()
    assert line.against_two_stage.gain.mean == pytest.approx(expected)
    assert line.against_two_stage.text.replace("−", "-").startswith(
        f"{100 * expected / wide['diffjscc'].mean():+.1f} %"
    )
    assert told.leader.count(method_label("diffjscc" if gain < 0 or expected < 0 else "jscgc"))


@pytest.mark.parametrize(("photographs", "seeds", "word"), [(5, 3, "unclear"), (6, 3, "better")])
def test_few_photographs_make_nothing_clear(photographs: int, seeds: int, word: str) -> None:
    """However far apart: the signs of five photographs can't be below 5% by chance, two-sided."""
    rows = [
        (method, "awgn", 0.0, 8 / 768, 2, seed, f"i{i}", "psnr", 20 + i + ahead)
        for method, ahead in (("jscgc", 5.0), ("diffjscc", 0.0))
        for i in range(photographs)
        for seed in range(seeds)
    ]
    table = checked(pd.DataFrame(rows, columns=ONE))
    summary = summarise(table)
    told = verdict(headline_table(summary), matrices(table), summary["paired"])
    assert told is not None and told.lines[0].against_two_stage is not None
    duel = told.lines[0].against_two_stage
    assert duel.gain.low > 0 and duel.word == word and duel.photographs == photographs
    assert duel.p == pytest.approx(2 ** (1 - photographs))


def test_a_comparison_that_others_explain_is_not_clear() -> None:
    """Its own interval excludes zero; among as many comparisons as there are its p does not stay below 5%."""
    rng = np.random.default_rng(4)
    rows = []
    for condition in range(40):
        for i in range(8):
            noise = rng.normal(0.0, 1.0)
            gain = 0.9 if condition == 0 else 0.0
            for method, ahead in (("jscgc", gain + noise), ("diffjscc", 0.0)):
                rows.append((method, "awgn", float(condition), 8 / 768, 2, 0, f"i{i}", "psnr", 20 + i + ahead))
    table = checked(pd.DataFrame(rows, columns=ONE))
    summary = summarise(table)
    excluding = [r for r in summary["paired"] if r["low"] > 0]
    assert len(excluding) > 1 and all(r["p"] > 0.05 for r in excluding if r["snr_db"])
    for snr_db in (r["snr_db"] for r in excluding if r["snr_db"]):
        here = table[table["snr_db"] == snr_db]
        told = verdict(headline_table(summarise(here)), matrices(here), summary["paired"])
        assert told is not None and told.lines[0].against_two_stage is not None
        duel = told.lines[0].against_two_stage
        assert duel.gain.low > 0 and duel.p is not None and duel.p > 0.05 and duel.word == "unclear"


@pytest.mark.parametrize(("photographs", "word"), [(5, "unclear"), (6, "better")])
def test_a_set_metric_has_no_p_and_needs_as_many_photographs(photographs: int, word: str) -> None:
    rows = []
    for method, distance in (("jscgc", 3.0), ("diffjscc", 5.0)):
        place = (method, "awgn", 0.0, 8 / 768, 2, 0)
        rows.append((*place, "*", FID, distance))
        rows += [(*place, f"*-i{i}", FID, distance + 0.01 * i) for i in range(photographs)]
        rows += [(*place, f"i{i}", "psnr", 20.0 + i) for i in range(photographs)]
    table = checked(pd.DataFrame(rows, columns=ONE))
    summary = summarise(table)
    told = verdict(headline_table(summary), matrices(table), summary["paired"])
    assert told is not None
    (duel,) = (line.against_two_stage for line in told.lines if line.row.metric == FID)
    assert duel is not None and duel.p is None and duel.gain.low > 0 and duel.word == word
    few = "5 photographs are too few to tell who wins; by their means these weights of JSCGC are ahead of these weights of "
    few += "DiffJSCC on 1 of 2 metrics."
    assert (told.sentence == few) == (photographs < 6)


def test_anchors_within_and_beyond_their_tolerance(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text("figure,published,ours,difference,tolerance\na,1,1.3,0.3,0.4\nb,1,2.6,1.6,1.2\n")
    assert [r["within"] for r in anchors(path)] == [True, False] and anchors(tmp_path / "none.csv") == []


def test_extremes_and_failures_are_chosen_by_number(tmp_path: Path, save_picture: Callable[..., None]) -> None:
    values = {"a": 5.0, "b": 7.0, "c": 3.0}
    place = ("awgn", 0.0, 8 / 768, 0)
    rows = [
        ("hevc_ldpc", *place, s, i, "feature_distance_efficientnet_lite0", v + 9 * s)
        for i, v in values.items()
        for s in (0, 1)
    ]
    rows += [
        ("hevc_ldpc", *place, s, i, "decoding_failed", float((i, s) in {("b", 0), ("c", 1)}))
        for i in values
        for s in (0, 1)
    ]
    rows += [
        ("hevc_ldpc", "awgn", -5.0, 8 / 768, 0, s, i, "cannot_operate", float(i == "a")) for i in values for s in (0, 1)
    ]
    table = checked(pd.DataFrame(rows, columns=ONE))
    for name in values:
        save_picture(tmp_path / name / "original.png")
        save_picture(tmp_path / name / "hevc_ldpc_awgn_0dB_8.png", seed=1)
    photos = find_photos(tmp_path, table)
    # Only one photograph is in the page's grid: the others are added for this.
    store = Store(embed(photos, most=1))
    captions = picture_captions(table)
    extremes = extreme_pictures(photos, table, store, captions)
    (row,) = extremes["rows"]
    assert [(row[end]["name"], row[end]["value"]) for end in ("worst", "best")] == [("b", 7.0), ("c", 3.0)]
    assert row["of"] == 3 and all(
        row[end][key] in store.uris for end in ("worst", "best") for key in ("id", "original")
    )
    failed = failed_pictures(photos, table, store, captions)
    assert [cell["title"].partition(":")[0] for cell in failed["cells"]] == [
        "b"
    ]  # the pictured draw is the lowest seed's
    found = failure_table(table)
    assert found["snrs"] == [-5, 0]
    (line,) = found["rows"]
    assert line["cells"][0] == {"lost": 1, "photos": 3, "failed": 0, "sent": 0}
    assert line["cells"][1] == {"lost": 0, "photos": 0, "failed": 2, "sent": 6}


def test_the_gap_in_psnr_stands_beside_the_published_figure():
    rows = [
        {"metric": "psnr", "channel": "awgn", "method": "mambajscc_psnr", "snr_db": 5.0, "cbr": cbr, "mean": mean}
        for cbr, mean in ((2 / 768, 20.8), (8 / 768, 22.1))
    ]
    (gap,) = psnr_gaps(
        [*rows, {**rows[0], "method": "deepjscc"}, {**rows[0], "snr_db": 7.0}, {**rows[0], "mean": None}]
    )
    assert gap == {
        "label": "MambaJSCC (PSNR)",
        "snr_db": 5.0,
        "published": 23.0,
        "ours": 20.8,
        "gap": pytest.approx(-2.2),
    }
