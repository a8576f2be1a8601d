"""Only what is new is run, nothing of another kind is reused, and the table is that of a run from scratch."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from small_photos import save_photo

from jscgc.evaluation.run import Evaluation, follow
from jscgc.evaluation.table import COLUMNS
from jscgc.files import read_json, write_json
from jscgc.flow.params import SampleParams
from jscgc.report import load_results
from jscgc.report.reading import checked

Run = Callable[..., Evaluation]


@pytest.fixture
def run(protocol, models, photos, tmp_path, jobs_run) -> Run:
    """An evaluation with a store, which says what it ran."""

    def evaluate(
        methods: tuple[str, ...] = ("mambajscc_psnr",),
        out: str = "results.csv",
        store: str | None = "store",
        fresh: bool = False,
        pictures: str | None = None,
        at: Path = models,
        further: tuple[Path, ...] = (),
        **changes: Any,
    ) -> Evaluation:
        jobs_run.clear()
        done = follow(
            protocol(**changes),
            at,
            photos,
            methods,
            device="cpu",
            out=tmp_path / out,
            pictures=None if pictures is None else tmp_path / pictures,
            store=None if store is None else tmp_path / store,
            fresh=fresh,
            further=further,
        )
        assert done.jobs - done.stored == len(jobs_run)
        return done

    return evaluate


def test_one_more_snr_draw_or_method_runs_only_what_is_new(run, jobs_run, tmp_path):
    first = run()
    assert (first.jobs, first.stored) == (2 + 4, 0)
    again = run(out="again.csv")
    assert (again.jobs, again.stored, jobs_run) == (6, 6, [])
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()
    assert again.timing == first.timing

    run(snr_db=[5, 9])
    assert {(job.snr_db, job.seed) for job in jobs_run} == {(9.0, 0), (9.0, 1)} and len(jobs_run) == 4
    run(snr_db=[5, 9], seeds=3)
    assert {(job.snr_db, job.seed) for job in jobs_run} == {(5.0, 2), (9.0, 2)} and len(jobs_run) == 4
    grown = run(("mambajscc_psnr", "jscgc"), snr_db=[5, 9], seeds=3)
    assert {job.method for job in jobs_run} == {"jscgc"} and len(jobs_run) == 12

    scratch = run(("mambajscc_psnr", "jscgc"), snr_db=[5, 9], seeds=3, store=None, out="scratch.csv")
    assert (scratch.jobs, scratch.stored) == (26, 0)
    assert (tmp_path / "scratch.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()
    assert set(grown.table["protocol"]) == {grown.protocol.hash} != {first.protocol.hash}


def test_a_setting_of_the_sampler_runs_what_samples_only(run, jobs_run):
    both = ("mambajscc_psnr", "jscgc")
    run(both)
    run(both, sample=SampleParams(steps=2, guidance=1.0))
    assert {job.method for job in jobs_run} == {"jscgc"} and len(jobs_run) == 4
    run(both)
    assert jobs_run == []


def test_retrained_weights_never_meet_old_rows(run, jobs_run, models, tmp_path):
    trained = tmp_path / "models"
    for name in ("vae", "mambajscc_psnr", "deepjscc"):
        shutil.copytree(models / name, trained / name)
    both = ("mambajscc_psnr", "deepjscc")
    run(both, at=trained)
    # In the last bytes: a weight, and nothing but a weight.
    weights = trained / "mambajscc_psnr/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 0x40
    weights.write_bytes(content)
    new = run(both, at=trained)
    assert {job.method for job in jobs_run} == {"mambajscc_psnr"} and len(jobs_run) == 4
    scratch = run(both, at=trained, store=None, out="scratch.csv")
    pd.testing.assert_frame_equal(new.table, scratch.table)


def test_pictures_are_kept_and_one_that_is_missing_is_made(run, jobs_run, tmp_path):
    run()
    run(pictures="pictures")
    assert {(job.method, job.seed) for job in jobs_run} == {("original", 0), ("mambajscc_psnr", 0)} and len(
        jobs_run
    ) == 4
    files = sorted(path.relative_to(tmp_path / "pictures") for path in (tmp_path / "pictures").rglob("*.png"))
    assert [str(file) for file in files] == [
        f"{image}/{name}.png" for image in "ab" for name in ("mambajscc_psnr_awgn_5dB_2", "original")
    ]
    run(pictures="again")
    assert jobs_run == []
    run(pictures="scratch", store=None)
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "scratch" / file).read_bytes()
        assert Image.open(tmp_path / "again" / file).size == (80, 64)
    # An evaluation that wants none finds those, and has none.
    run()
    assert jobs_run == []


def test_the_worst_have_their_pictures_beside_the_first(protocol, models, tmp_path, jobs_run, monkeypatch):
    monkeypatch.setattr("jscgc.evaluation.worst.WORST", 2)
    photos = [(name, save_photo(tmp_path / "photos" / f"{name}.png", seed)) for seed, name in enumerate("abcd")]
    asked = protocol(photos=photos, snr_db=[0, 5, 9])
    place = tmp_path / "pictures"

    def evaluate(shown: int, **more: Any) -> Evaluation:
        jobs_run.clear()
        return follow(
            asked,
            models,
            photos,
            ["deepjscc", "jscgc"],
            device="cpu",
            out=tmp_path / "results.csv",
            shown=shown,
            **more,
        )

    done = evaluate(1, pictures=place, store=tmp_path / "store")
    here = done.of("jscgc").query("snr_db == 5 and metric == 'psnr'")
    ranked = here.groupby("image")["value"].mean().sort_values().index.tolist()
    expected = {f"a/{method}_awgn_{snr}dB_2" for method in ("deepjscc", "jscgc") for snr in (0, 5, 9)}
    expected |= {f"{image}/{method}_awgn_5dB_2" for image in ranked[:2] for method in ("deepjscc", "jscgc")}
    expected |= {f"{image}/original" for image in ("a", *ranked[:2])}
    found = {path.relative_to(place).with_suffix("").as_posix() for path in place.rglob("*.png")}
    assert found == expected
    again = evaluate(1, pictures=place, store=tmp_path / "store")
    assert jobs_run == [] and (again.jobs, again.stored) == (done.jobs, done.jobs)
    # Scores are the same, whether pictures are kept or not.
    before = (tmp_path / "results.csv").read_bytes()
    evaluate(1)
    assert (tmp_path / "results.csv").read_bytes() == before


def retrained(models: Path, at: Path, *changed: str) -> Path:
    """A folder of models of which some have other weights; how all were trained is said to differ."""
    for name in ("vae", "mambajscc_psnr", "deepjscc"):
        shutil.copytree(models / name, at / name)
        if name == "vae":
            continue
        description = read_json(at / name / "model.json")
        write_json(at / name / "model.json", description | {"trained": {"seed": 7}})
        if name in changed:
            weights = load_file(at / name / "weights.safetensors")
            save_file({key: value * 1.01 for key, value in weights.items()}, at / name / "weights.safetensors")
    return at


def test_several_trainings_are_in_one_table_each_as_if_it_were_alone(run, jobs_run, models, tmp_path, caplog):
    second = retrained(models, tmp_path / "second", "mambajscc_psnr")
    third = retrained(models, tmp_path / "third", "mambajscc_psnr", "deepjscc")
    shutil.rmtree(third / "mambajscc_psnr")
    methods = ("mambajscc_psnr", "deepjscc", "jpeg_capacity")
    table = run(methods, further=(second, third), rates=[2, 4]).table
    assert {(job.method, job.training) for job in jobs_run} == {
        ("original", 0), ("mambajscc_psnr", 0), ("mambajscc_psnr", 1), ("deepjscc", 0), ("deepjscc", 2),
        ("jpeg_capacity", 0),
    }  # fmt: skip
    (said,) = [record.message for record in caplog.records if "the same weights" in record.message]
    assert said == f"{second / 'deepjscc'}: the same weights as in {models}, no other training of it; counted once"
    assert list(table.columns) == [*COLUMNS, "protocol"]

    for training, folder in ((0, models), (1, second), (2, third)):
        for method in methods:
            own = table[(table["method"] == method) & (table["training"] == training)]
            if own.empty:
                continue
            alone = run((method,), at=folder, rates=[2, 4]).table
            assert jobs_run == []  # the store knows them by their weights
            pd.testing.assert_frame_equal(own.assign(training=0).reset_index(drop=True), alone)
    codec = table[(table["method"] == "mambajscc_psnr") & (table["metric"] == "psnr")]
    pairs = codec.pivot(index=["cbr", "seed", "image"], columns="training", values="value")
    assert pairs.shape == (2 * 2 * 2, 2) and pairs.notna().all(axis=None) and (pairs[0] != pairs[1]).all()
    with pytest.raises(ValueError, match=r"swinjscc: no trained model in .*second, .*third; train with"):
        run(("swinjscc",), at=second, further=(third,))


def test_fresh_runs_everything_and_replaces_what_is_there(run, jobs_run, tmp_path):
    run()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/*.parquet")}
    done = run(fresh=True, out="fresh.csv")
    assert (done.jobs, done.stored, len(jobs_run)) == (6, 0, 6)
    assert (tmp_path / "fresh.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()
    assert all(path.stat().st_mtime_ns > before for path, before in files.items())


def test_a_damaged_file_is_computed_again(run, jobs_run, tmp_path, caplog):
    run()
    file = sorted((tmp_path / "store/mambajscc_psnr").glob("*.parquet"))[0]
    file.write_bytes(file.read_bytes()[:300])
    run(out="again.csv")
    assert len(jobs_run) == 1 and "damaged" in caplog.text
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()


def test_a_job_asked_for_twice_is_run_once(run, jobs_run):
    """Many steps that are no more than the setup's: the very transmissions of the grid, under another name."""
    done = run(("jscgc",), reference_steps=2, sample=SampleParams(steps=2, guidance=1.0))
    assert (done.jobs, len(jobs_run)) == (6, 6)
    psnr = done.table[(done.table["metric"] == "psnr")].set_index(["method", "image", "seed"])["value"]
    assert psnr["jscgc"].equals(psnr["jscgc_reference"]) and len(psnr) == 8


def test_what_fails_leaves_no_table_and_the_finished_jobs(run, jobs_run, tmp_path, monkeypatch):
    from jscgc.evaluation.worker import Worker

    whole = Worker.run

    def failing(self, job):
        if job.seed:
            raise ValueError("out of luck")
        return whole(self, job)

    monkeypatch.setattr(Worker, "run", failing)
    with pytest.raises(ValueError, match="out of luck"):
        run()
    done = len(jobs_run) - 1
    assert done >= 2 and not (tmp_path / "results.csv").exists()
    monkeypatch.setattr(Worker, "run", whole)
    assert run().stored == done


def test_two_at_once_share_the_work_and_agree(protocol, models, photos, tmp_path, jobs_run, monkeypatch):
    monkeypatch.setattr("jscgc.evaluation.run.WAIT_S", 0.05)
    wanted = [{"snr_db": [3, 5]}, {"snr_db": [5, 3], "seeds": 3}]
    protocols = [protocol(**changes) for changes in wanted]
    errors: list[Exception] = []

    def evaluate(i: int) -> None:
        try:
            follow(
                protocols[i],
                models,
                photos,
                ["jscgc"],
                device="cpu",
                out=tmp_path / f"{i}.csv",
                store=tmp_path / "store",
            )
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=evaluate, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not errors
    assert len(jobs_run) == len(set(jobs_run)) == 2 + 2 * 2 * 3
    for i in range(2):
        follow(protocols[i], models, photos, ["jscgc"], device="cpu", out=tmp_path / f"alone{i}.csv")
        assert (tmp_path / f"alone{i}.csv").read_bytes() == (tmp_path / f"{i}.csv").read_bytes()


def test_the_table_reads_as_before_and_two_protocols_are_not_mixed(run, tmp_path):
    first = run(out="first.csv")
    second = run(out="second.csv", snr_db=[9])
    read = load_results(tmp_path / "first.csv")
    pd.testing.assert_frame_equal(read, checked(first.table))
    assert "protocol" not in read.columns
    pd.concat([first.table, second.table]).to_csv(tmp_path / "both.csv", index=False)
    with pytest.raises(ValueError, match="rows of several protocols"):
        load_results(tmp_path / "both.csv")
