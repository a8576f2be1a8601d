"""An evaluation on two nodes: the table of one process, byte for byte, whatever dies; and what nodes are asked for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PIL import Image

from jscgc import cluster
from jscgc.cli import main
from jscgc.evaluation.jobs import Job
from jscgc.evaluation.nodes import Batches, MakeWorker, needed
from jscgc.evaluation.run import follow
from jscgc.evaluation.worker import Setup
from jscgc.flow.params import SampleParams

ROOT = Path(__file__).parents[2]
METHODS = ["mambajscc_psnr", "diffjscc", "hevc_capacity"]
TWO = cluster.Workers(2)


def in_process(protocol, models, photos, out: Path, methods=METHODS) -> bytes:
    """The bytes of the table that this process makes, one job after another."""
    with pytest.MonkeyPatch.context() as patch:

        def run_jobs(make_runner, jobs, workers, title, **rest):
            worker = make_runner(lambda path: path)
            return ((job, worker.run(job)) for job in jobs)

        patch.setattr(cluster, "run_jobs", run_jobs)
        follow(protocol, models, photos, methods, device="cpu", out=out, pictures=out.with_suffix(""))
    return out.read_bytes()


def test_two_nodes_make_the_table_and_pictures_of_one_process(nodes, protocol, photos, models, tmp_path):
    asked = protocol(methods=METHODS, rates=[2, 4], information_points=2)
    expected = in_process(asked, models, photos, tmp_path / "one.csv")
    two = tmp_path / "two.csv"
    follow(
        asked,
        models,
        photos,
        METHODS,
        device="auto",
        out=two,
        pictures=tmp_path / "two",
        workers=TWO,
        store=tmp_path / "s",
    )
    assert two.read_bytes() == expected
    pictures = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png"))
    assert pictures
    for name in pictures:
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_killed_workers_change_nothing_and_every_job_is_kept_once(nodes, protocol, photos, models, tmp_path, caplog):
    asked = protocol(methods=["mambajscc_psnr"], seeds=12)
    expected = in_process(asked, models, photos, tmp_path / "one.csv", ["mambajscc_psnr"])
    store, out, killed = tmp_path / "store", tmp_path / "two.csv", []

    def kill() -> None:
        """A worker after the third and one after the ninth result."""
        for count in (3, 9):
            while len(list(store.glob("*/*.parquet"))) < count:
                time.sleep(0.005)
            workers = [
                p for p in psutil.Process().children(recursive=True) if "_Actor" in p.name() + " ".join(p.cmdline())
            ]
            workers[0].kill()
            killed.append(workers[0].pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    done = follow(asked, models, photos, ["mambajscc_psnr"], device="cpu", out=out, workers=TWO, store=store)
    killer.join(10)
    assert len(killed) == 2 and "another takes over" in caplog.text
    assert out.read_bytes() == expected
    assert len(list(store.glob("*/*.parquet"))) == done.jobs == 2 + 2 * 12 and done.stored == 0


def test_ctrl_c_leaves_no_table_says_so_and_the_same_command_goes_on(nodes, photos, models, tmp_path, capsys):
    places = [
        "--images",
        tmp_path / "photos",
        "--models",
        models,
        "--out",
        tmp_path / "r.csv",
        "--store",
        tmp_path / "s",
    ]
    grid = ["--methods", "mambajscc_psnr", "--snr-db", "5", "--cbr", "2/768", "--metrics", "psnr", "--workers", "2"]
    command = [str(part) for part in ("evaluate", *places, *grid, "--device", "cpu", "--draws", "300")]
    process = subprocess.Popen(
        [sys.executable, "-m", "jscgc.cli", *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "s").glob("mambajscc_psnr/*.parquet"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no table was written; finished jobs are in" in said and "Traceback" not in said
    assert not list(tmp_path.glob("r*"))
    kept = len(list((tmp_path / "s").glob("*/*.parquet")))
    assert not list((tmp_path / "s").rglob("*.tmp")) and kept < 602
    command[command.index("300")] = "2"
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["jobs"] == 6 and document["stored"] >= 3


def test_jobs_of_one_method_and_size_follow_each_other_large_ones_first(tmp_path):
    paths = []
    for name, size in (("small", (64, 64)), ("large", (128, 96)), ("also", (64, 64))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
        paths.append((name, tmp_path / f"{name}.png"))
    batches = Batches(paths)
    jobs = [
        Job(method, "none", "awgn", snr, 2, name, 0, False)
        for snr in (0.0, 5.0)
        for name, _ in paths
        for method in ("diffjscc", "jscgc")
    ]
    ordered = batches.ordered(jobs)
    assert sorted(map(repr, ordered)) == sorted(map(repr, jobs))
    assert [job.method for job in ordered] == ["diffjscc"] * 6 + ["jscgc"] * 6
    assert [job.image for job in ordered[:3]] == ["large", "large", "small"]
    # What shares symbols follows each other: here the draws and channels of one photo, SNR and rate.
    more = [replace(job, seed=seed, channel=name) for name in ("awgn", "tdl_a") for seed in (0, 1) for job in jobs]
    shared = [(job.method, job.image, job.snr_db, job.rate) for job in batches.ordered(more)]
    assert [shared[i : i + 4] for i in range(0, len(shared), 4)] == [[one] * 4 for one in dict.fromkeys(shared)]
    assert batches.kind(jobs[0]) == batches.kind(jobs[4]) != batches.kind(jobs[2])
    assert batches.kind(jobs[0]) != batches.kind(replace(jobs[0], information_points=4))


def test_nodes_are_given_what_the_methods_read_and_nothing_else(models, photos):
    setup = Setup(models, tuple(photos), 0, SampleParams(steps=1, guidance=1.0), 64, "cpu")
    files = {path for _, path in photos}

    def given(*methods: str) -> set[Path]:
        jobs = [Job(method, "none", "awgn", 0.0, 2, "a", 0, False) for method in methods]
        return set(needed(setup, jobs))

    assert given("original", "mambajscc_psnr", "hevc_ldpc") == {*files, models / "vae", models / "mambajscc_psnr"}
    assert given("original", "hevc_ldpc") == files
    # Of further trainings their own.
    several = replace(setup, further=(models.parent / "other",))
    shutil.copytree(models, models.parent / "other")
    job = Job("mambajscc_psnr", "none", "awgn", 0.0, 2, "a", 0, False, training=1)
    assert set(needed(several, [job])) - files == {models.parent / "other" / n for n in ("vae", "mambajscc_psnr")}


def test_a_node_with_other_code_or_packages_is_refused(models, photos, tmp_path):
    setup = Setup(models, tuple(photos), 0, SampleParams(steps=1, guidance=1.0), 64, "cpu", ("psnr",))
    make = MakeWorker.of(setup, 1, [Job("jscgc", "none", "awgn", 0.0, 2, "a", 0, False)])

    def elsewhere(path: Path) -> Path:
        return tmp_path / "mirror" / path.relative_to("/")

    make(elsewhere)  # the same code
    for change, said in (
        ({"code": "other"}, "other sources of jscgc"),
        ({"packages": make.packages | {"torch": "1.0"}}, "torch .*, not 1.0"),
        ({"packages": make.packages | {"nothing": "3"}}, "nothing missing, not 3"),
    ):
        other = replace(make, **change)
        other(lambda path: path)  # the driver's own node needs no proof
        with pytest.raises(ValueError, match=f"has not what the driver has .*{said}.*make install"):
            other(elsewhere)


def test_large_photographs_are_ordered_by_the_one_reader(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # a PNG of 182 megapixels is as far beyond Pillow's own limit
    assert Batches(photos).ordered([]) == []
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="text.png: not an image"):
        Batches([("text.png", tmp_path / "text.png")])
