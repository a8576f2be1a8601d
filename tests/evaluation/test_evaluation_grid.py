"""The plan of the grid, scoring of very small photos, and the tidy table."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from jscgc.evaluation.headline import Headline
from jscgc.evaluation.jobs import ORIGINAL, Job, JobResult, every_job, nominal_cbr
from jscgc.evaluation.table import COLUMNS, tabulate, whole
from jscgc.evaluation.worker import Setup, Worker
from jscgc.evaluation.worst import judged, worst
from jscgc.flow.params import SampleParams
from jscgc.metrics import pair_metric, set_metric
from jscgc.metrics.scoring import score


def job(method: str, image: str, seed: int = 0) -> Job:
    return Job(method, "none", "awgn", 5.0, 8, image, seed, picture=False)


def test_the_plan_has_every_condition_once_and_the_controls():
    jobs = every_job(
        ["jscgc", "diffjscc"], ["awgn", "rayleigh_fast"], [-5, 10], [2, 8], ["a", "b"], [3, 4], 1, controls=True
    )
    assert len(jobs) == len(set(jobs)) == 2 + 2 * 2 * 2 * 2 * 2 * 2 + 2 * 2 * 2
    assert {j.image for j in jobs if j.picture} == {"a"}
    assert {j.seed for j in jobs if j.picture} == {3}
    controls = [j for j in jobs if j.control != "none"]
    assert {j.label for j in controls} == {"jscgc_wrong_symbols", "jscgc_unconditional"}
    assert {(j.channel, j.snr_db, j.rate) for j in controls} == {("awgn", 10.0, 8)}
    assert not [
        j for j in every_job(["diffjscc"], ["awgn"], [0], [8], ["a"], [0], 0, controls=True) if j.control != "none"
    ]


def test_the_plan_has_the_dial_and_the_information_where_they_are_asked_for():
    jobs = every_job(
        ["jscgc", "diffjscc"], ["awgn", "tdl_a"], [-5, 0, 10], [2, 8], ["a", "b"], [3, 4], 0, True, [4, 2], 20, 9, [50]
    )
    asides = [j for j in jobs if j.dial or j.steps]
    assert {(j.image, j.seed) for j in asides if j.dial == (1, 2, 4)} == {("a", 3), ("b", 3)}
    assert {(j.label, j.image, j.seed) for j in asides if j.steps == 50} == {
        ("jscgc_reference", image, seed) for image in ("a", "b") for seed in (3, 4)
    }
    assert len(asides) == 2 + 4
    assert {(j.steps, j.guidance) for j in asides if j.dial} == {(20, 1.0)}
    assert {(j.channel, j.snr_db, j.rate, j.information_points) for j in asides} == {("awgn", 0.0, 8, 0)}
    estimated = [j for j in jobs if j.information_points]
    assert {j.information_points for j in estimated} == {9} and {j.seed for j in estimated} == {3}
    assert len(estimated) == 2 * 2 * 3 * 2 * 2
    assert len(jobs) == len(set(jobs))


def test_the_plan_has_every_number_of_steps_where_it_is_asked_for():
    asked = (["jscgc", "diffjscc"], ["awgn", "tdl_a"], [-5, 0, 10], [2, 8], ["a"], [3, 4], 0, False, [2], 20, 0)
    jobs = every_job(*asked, [10, 50], reference_at=(10.0, 2))
    sweep = [j for j in jobs if j.label == "jscgc_reference" and not j.dial]
    assert [(j.steps, j.seed) for j in sweep] == [(10, 3), (10, 4), (50, 3), (50, 4)]
    assert {(j.channel, j.snr_db, j.rate) for j in sweep} == {("awgn", 10.0, 2)}
    assert {(j.snr_db, j.rate) for j in jobs if j.dial} == {(0.0, 8)}  # the dial stays where it was
    assert len(jobs) == len(set(jobs)) and every_job(*asked, []) == every_job(*asked)


def test_the_plan_of_some_conditions_has_these_alone_and_its_asides_among_them():
    some = [("awgn", -5.0, 2), ("awgn", 5.0, 2), ("awgn", 5.0, 8), ("awgn", 10.0, 2), ("tdl_a", 5.0, 2)]
    asked = (["jscgc", "klt"], ["awgn", "tdl_a"], [-5, 5, 10], [2, 8], ["a"], [3], 0, True, [2], 20, 0, [50])
    jobs = every_job(*asked, conditions=some)
    for method in ("jscgc", "klt"):
        plain = [j for j in jobs if j.method == method and j.plain]
        assert [(j.channel, j.snr_db, j.rate) for j in plain] == some
    controls, dial = ([j for j in jobs if j.control != "none"], [j for j in jobs if j.steps])
    assert {(j.channel, j.snr_db, j.rate) for j in controls} == {("awgn", 10.0, 2)}
    assert {(j.channel, j.snr_db, j.rate) for j in dial} == {("awgn", 5.0, 8)} and len(dial) == 2
    whole = [(channel, snr_db, rate) for channel in asked[1] for snr_db in map(float, asked[2]) for rate in asked[3]]
    assert every_job(*asked, conditions=whole) == every_job(*asked)


def test_every_training_has_its_jobs_and_the_first_the_pictures():
    asked = (["jscgc", "diffjscc", "hevc_ldpc"], ["awgn"], [0, 5], [2], ["a", "b"], [3, 4], 1, True, [2], 16, 0, [50])
    there = {"jscgc": (0, 2), "diffjscc": (1,), "hevc_ldpc": (0,)}
    jobs = every_job(*asked, trainings=there)
    by_training = {
        method: [j.training for j in jobs if j.method == method and j.control == "none" and not j.steps]
        for method in there
    }
    assert by_training == {"jscgc": [0] * 8 + [2] * 8, "diffjscc": [1] * 8, "hevc_ldpc": [0] * 8}
    assert {(j.method, j.training) for j in jobs if j.picture} == {
        (ORIGINAL, 0), ("jscgc", 0), ("diffjscc", 1), ("hevc_ldpc", 0),
    }  # fmt: skip
    # Controls, means and many steps, too: each stands beside its own training.
    for training in (0, 2):
        own = [replace(j, training=0) for j in jobs if j.method == "jscgc" and j.training == training]
        assert {replace(j, picture=False) for j in own} == {
            replace(j, picture=False) for j in every_job(*asked) if j.method == "jscgc"
        }
    assert len(jobs) == len(set(jobs))


def test_a_worker_scores_means_and_estimates_information(models, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)).save(path)
    sample = SampleParams(steps=1, guidance=1.0)
    worker = Worker(Setup(models, (("a", path),), 0, sample, 64, "cpu"))
    one = Job("jscgc", "none", "awgn", 5.0, 4, "a", 0, picture=False, information_points=4)
    scores = worker.run(one).scores
    assert scores["capacity_bits"] == pytest.approx(4 * 4 * 5 * np.log2(1 + 10**0.5))
    assert scores["information_efficiency"] == pytest.approx(scores["information_bits"] / scores["capacity_bits"])
    assert scores["information_bits"] > 0 and scores["patches"] == 1
    assert worker.run(one).scores == pytest.approx(scores, rel=0, abs=0, nan_ok=True)  # no writing, no error in it
    dial = worker.run(replace(one, dial=(1, 4), information_points=0))
    assert dial.scores == {}
    assert dial.means[1][0]["psnr"] == scores["psnr"] and dial.means[1][0]["nfe"] == scores["nfe"]
    assert dial.means[4][0]["nfe"] == 4 * scores["nfe"] and dial.means[4][0]["psnr"] > scores["psnr"]
    free = worker.run(replace(one, guidance=0.0)).scores
    assert free["nfe"] == 1 and free["psnr"] != scores["psnr"]
    many = worker.run(replace(one, steps=5))
    assert many.steps == many.scores["nfe"] == 5
    codec = worker.run(replace(one, method="mambajscc_psnr")).scores
    assert "information_bits" not in codec and "psnr" in codec


def test_a_photo_too_small_for_a_metric_keeps_the_other_metrics(caplog: pytest.LogCaptureFixture):
    photo = torch.full((3, 9, 9), 0.5)
    scores = score([pair_metric("psnr"), pair_metric("ms_ssim")], photo, photo + 0.1)
    assert set(scores) == {"psnr"}
    assert "ms_ssim is left out" in caplog.text


def test_the_table_holds_scores_per_photo_and_set_metrics_over_all():
    rng = np.random.default_rng(0)
    cut = {image: rng.normal(size=(30, 5)) for image in "ab"}
    done = [(job(ORIGINAL, image), JobResult({}, {"fid_efficientnet_lite0": cut[image]})) for image in "ab"]
    done += [
        (
            job("jscgc", image),
            JobResult({"psnr": 20.0}, {"fid_efficientnet_lite0": cut[image] + [3, 4, 0, 0, 0]}, steps=7),
        )
        for image in "ab"
    ]
    table = tabulate(done).table
    assert list(table.columns) == COLUMNS
    assert table[table["metric"] == "psnr"]["image"].tolist() == ["a", "b"]
    assert set(table["steps"]) == {7}
    assert table["cbr"].unique() == pytest.approx(8 / 768)
    shifted = table[table["image"] == "*"]
    # The same covariance, means 5 apart: the Frechet distance is 25.
    assert shifted["value"].tolist() == pytest.approx([25.0], rel=1e-6)
    assert set(table[table["metric"] != "psnr"]["image"]) == {"*", "*-a", "*-b"}
    assert table[table["image"] == "*-a"]["value"].tolist() == pytest.approx([25.0], rel=1e-6)


def test_of_several_sets_the_values_are_of_all_and_of_each():
    rng = np.random.default_rng(0)
    sets = {"a": "one", "b": "one", "c": "two", "d": "two"}
    sent = {image: rng.normal(size=(30, 5)) for image in sets}
    received = {image: cut + rng.normal(size=5) for image, cut in sent.items()}
    names = ("fid_efficientnet_lite0", "kid_efficientnet_lite0")
    done = [(job(ORIGINAL, image), JobResult({}, dict.fromkeys(names, sent[image]))) for image in sets]
    for training in (0, 1):
        done += [
            (
                replace(job("jscgc", image), training=training),
                JobResult({"psnr": 20.0 + training}, dict.fromkeys(names, cut * (1 + training))),
            )
            for image, cut in received.items()
        ]
    table = tabulate(done, sets).table
    pairs = table[table["metric"] == "psnr"]
    assert dict(zip(pairs["image"], pairs["set"], strict=True)) == sets
    assert pairs.groupby("training")["value"].agg(["count", "mean"]).to_numpy().tolist() == [[4, 20], [4, 21]]
    values = table.set_index(["training", "set", "image", "metric"])["value"]
    for name in names:
        for training in (0, 1):

            def direct(images: str, name: str = name, training: int = training) -> object:
                sides = ([side[image] for image in images] for side in (sent, received))
                first, second = map(np.concatenate, sides)
                return pytest.approx(set_metric(name).distance(first, second * (1 + training)), rel=1e-12)

            assert values[training, "", "*", name] == direct("abcd")
            assert values[training, "one", "*", name] == direct("ab")
            assert values[training, "two", "*", name] == direct("cd")
            assert values[training, "", "*-b", name] == direct("acd")
            assert values[training, "two", "*-c", name] == direct("d")
    # One set is the whole, and needs no value beside it.
    alone = tabulate(done, dict.fromkeys(sets, "one")).table
    assert set(alone[alone["image"].str.startswith("*")]["set"]) == {""}
    assert set(whole(table)["image"]) == {*sets, "*"} and set(whole(table).query("image == '*'")["set"]) == {""}


def test_the_worst_are_by_the_first_metric_that_there_is_in_its_own_direction():
    rows = [
        {"method": method, "training": training, "channel": "awgn", "snr_db": snr, "cbr": nominal_cbr(8)}
        | {"steps": 1, "seed": seed, "set": "", "image": image, "metric": metric, "value": value}
        for method, sign in (("jscgc", 1), ("diffjscc", -1))
        for training in (1, 2)
        for snr in (0.0, 5.0)
        for seed in (0, 1)
        for place, image in enumerate("abcdefg")
        for metric, value in (
            ("psnr", (20 + sign * place) * (1 if snr == 5 and training == 1 else -1) + 9 * (seed == place % 2)),
            ("feature_distance_efficientnet_lite0", float(sign * (place + 3) % 7)),
        )
    ]
    table, place = pd.DataFrame(rows), Headline("awgn", 5.0, 8, {})
    assert worst(table, place, "jscgc") == ["d", "c", "b", "a", "g"]  # a distance: the largest
    pixels = table[table["metric"] == "psnr"]
    assert worst(pixels, place, "jscgc") == ["a", "b", "c", "d", "e"]  # the smallest, means over draws
    assert worst(pixels, place, "diffjscc") == ["g", "f", "e", "d", "c"]
    assert worst(pixels[:0], place, "jscgc") == []
    assert [judged(["diffjscc", "jscgc"]), judged(["hevc_ldpc", "diffjscc"])] == ["jscgc", "diffjscc"]
    assert judged(["hevc_ldpc", "mambajscc_psnr"]) == "hevc_ldpc"


def test_a_dial_job_gives_a_row_for_every_mean():
    rng = np.random.default_rng(0)
    cut = {image: rng.normal(size=(30, 5)) for image in "ab"}
    done = [(job(ORIGINAL, image), JobResult({}, {"fid_efficientnet_lite0": cut[image]})) for image in "ab"]
    for image in "ab":
        means = {n: ({"psnr": 20.0 + n}, {"fid_efficientnet_lite0": cut[image] + n}) for n in (1, 2)}
        done.append((replace(job("jscgc", image), dial=(1, 2)), JobResult({}, means=means, steps=7)))
    table = tabulate(done).table
    assert set(table["method"]) == {"jscgc_mean_of_1", "jscgc_mean_of_2"}
    values = table[table["image"].isin(["a", "*"])].set_index(["method", "metric"])["value"]
    assert values["jscgc_mean_of_2", "psnr"] == 22
    assert values["jscgc_mean_of_2", "fid_efficientnet_lite0"] == pytest.approx(20, rel=1e-6)
    assert tabulate(done).timing == []


def test_one_patch_leaves_the_set_metrics_out(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    features = {"fid_efficientnet_lite0": np.ones((1, 4))}
    done = [(job(ORIGINAL, "a"), JobResult({}, features)), (job("jscgc", "a"), JobResult({"psnr": 20.0}, features))]
    assert tabulate(done).table["metric"].tolist() == ["psnr"]
    assert "left out" in caplog.text


def test_what_cannot_operate_has_a_row_that_says_so_and_no_value(models, tmp_path):
    # Squares of 16 pixels, which stay a hard picture however much it is reduced.
    squares = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    pixels = squares.repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save(tmp_path / "hard.png")
    Image.fromarray(np.full_like(pixels, 90)).save(tmp_path / "easy.png")
    names = (("easy", tmp_path / "easy.png"), ("hard", tmp_path / "hard.png"))
    worker = Worker(Setup(models, names, 0, SampleParams(steps=1, guidance=1.0), 64, "cpu"))
    jobs = [
        Job(method, "none", "awgn", 5.0, 7, image, 0, False)
        for method in ("jpeg_capacity",)
        for image in ("easy", "hard")
    ]
    originals = [replace(jobs[0], method=ORIGINAL, image=image) for image in ("easy", "hard")]
    done = [(one, worker.run(one)) for one in (*originals, *jobs)]
    table = tabulate(done).table.set_index(["image", "metric"])["value"]
    assert table["easy", "cannot_operate"] == 0 and table["hard", "cannot_operate"] == 1
    assert table["easy", "decoding_failed"] == 0 and table["easy", "psnr"] > 30
    assert table["easy", "file_bits"] <= table["easy", "budget_bits"]
    assert set(table["hard"].index) == {"cannot_operate"}
    # No distance of half the set stands for the whole.
    assert "*" not in table.index.get_level_values("image")
