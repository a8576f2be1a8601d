"""`jscgc evaluate` as a user types it: through Ray and a kill -9, and by a protocol file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from small_photos import save_photo

from jscgc import precision
from jscgc.cli import main
from jscgc.evaluation.command import DRAWS
from jscgc.evaluation.protocol import Protocol

ROOT = Path(__file__).parents[2]
Command = Callable[..., list[str]]


@pytest.fixture
def command(photos, models, tmp_path) -> Command:
    """Arguments of a small evaluation: one codec, two photographs, two draws."""

    def make(*more: str, out: str = "results.csv", protocol: bool = False) -> list[str]:
        fixed = ["--draws", "2", "--cbr", "2/768", "--metrics", "psnr", "fid_efficientnet_lite0", "--steps", "1"]
        places = ["--images", str(tmp_path / "photos"), "--models", str(models), "--out", str(tmp_path / out)]
        common = [*places, "--store", str(tmp_path / "store"), "--device", "cpu", "--workers", "1"]
        return ["evaluate", *common, *([] if protocol else fixed), *more]

    return make


@pytest.mark.skipif(sys.platform != "linux", reason="kills a process group")
def test_a_killed_evaluation_goes_on_and_another_snr_runs_only_what_is_new(command, tmp_path, jobs_run, caplog):
    """Killed on Ray after a few jobs, gone on with one SNR more: the table of a run from scratch, byte for byte."""
    arguments = command("--methods", "mambajscc_psnr", "--draws", "200", "--snr-db", "5")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "jscgc.cli", *arguments],
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    store = tmp_path / "store"
    deadline = time.monotonic() + 120
    while len(list(store.glob("mambajscc_psnr/*.parquet"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what Ray had started
    assert not (tmp_path / "results.csv").exists()
    kept = list(store.glob("*/*.parquet"))
    assert 3 <= len(kept) < 402 and len(pd.read_parquet(store)) == len(kept)

    arguments[arguments.index("200")] = "3"
    in_store = {row["identity"] for row in pd.read_parquet(store).to_dict("records")}
    wanted = [json.loads(text) for text in in_store]
    useful = sum(row["method"] == "original" or row["seed"] < 3 for row in wanted)
    arguments.insert(arguments.index("--snr-db") + 1, "10")
    assert main(arguments) == 0
    total = 2 + 2 * 2 * 3
    assert f"{useful} of {total} jobs were in the store" in caplog.text
    assert len(jobs_run) == total - useful
    jobs_run.clear()
    assert len(list(store.glob("*/*.parquet"))) == len(kept) + total - useful

    assert main([*arguments, "--out", str(tmp_path / "scratch.csv"), "--store", str(tmp_path / "other")]) == 0
    assert len(jobs_run) == total
    assert (tmp_path / "scratch.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()


def test_a_protocol_file_repeats_the_measurement_and_compares_methods(command, tmp_path, jobs_run, capsys, caplog):
    codec = ("--methods", "mambajscc_psnr")
    assert main(command(*codec, "--snr-db", "5", "0", "--max-side", "72", "--seed", "4")) == 0
    said = capsys.readouterr()
    written = tmp_path / "results.protocol.json"
    protocol = Protocol.read(written)
    assert f"protocol {protocol.hash}" in said.out and "0 of 10 jobs were in the store" in caplog.text
    assert (protocol.snr_db, protocol.seeds, protocol.max_side) == ([0.0, 5.0], [4, 5], 72)

    # Elsewhere, under other names, with a photograph more.
    folder = tmp_path / "photos"
    (folder / "a.png").rename(folder / "z.png")
    Image.new("RGB", (70, 70)).save(folder / "c.png")
    by_file = ["--protocol", str(written)]
    assert main(command(*codec, *by_file, "--fresh", out="again.csv", protocol=True)) == 0
    assert "1 photos in" in caplog.text
    capsys.readouterr()
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()
    assert (tmp_path / "again.protocol.json").read_bytes() == written.read_bytes()

    jobs_run.clear()
    assert main(command("--methods", "mambajscc_psnr", "jscgc", *by_file, "--json", out="both.csv", protocol=True)) == 0
    document = json.loads(capsys.readouterr().out)
    assert {job.method for job in jobs_run} == {"jscgc"}
    assert (document["jobs"], document["stored"], document["protocol"]) == (18, 10, protocol.hash)
    pairs = {(row["method"], row["other"]) for row in document["paired"]}
    assert pairs == {("jscgc", "mambajscc_psnr")} and document["bd_rate"][0]["reason"] == "too few rates"


def test_a_protocol_on_other_photographs_or_with_other_options_is_refused(command, tmp_path, jobs_run, capsys):
    codec = ("--methods", "mambajscc_psnr")
    assert main(command(*codec, "--snr-db", "5")) == 0
    jobs_run.clear()
    file = ["--protocol", str(tmp_path / "results.protocol.json")]

    def refused(*arguments: str) -> str:
        capsys.readouterr()
        assert main(command(*codec, *file, *arguments, out="no.csv", protocol=True)) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert not jobs_run and not list(tmp_path.glob("no.*"))
        return line

    # At their default values too: nothing that is said is ignored.
    assert "--protocol fixes --draws, --snr-db; leave it out" in refused("--snr-db", "5", "--draws", str(DRAWS))
    for option in ("--seed", "--steps", "--max-side"):
        assert f"fixes {option};" in refused(option, "1")
    path = tmp_path / "photos/a.png"
    Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path)
    assert "1 of 2 photographs are not these: a.png (another content)" in refused()
    path.unlink()
    assert "a.png (missing)" in refused()
    (tmp_path / "results.protocol.json").write_text("{}")
    assert "not a protocol: images: Field required" in refused()


def test_the_precision_is_the_driver_s_and_its_rows_are_never_mixed(command, tmp_path, jobs_run, monkeypatch, capsys):
    """Decided once, where it is started; workers follow, also one whose own processor would choose otherwise."""
    asked: list[str] = []

    def decided(kind: str) -> str:
        asked.append(kind)
        return "bfloat16"

    monkeypatch.setattr(precision, "_decided", decided)
    codec = ("--methods", "mambajscc_psnr", "--snr-db", "5")
    assert main(command(*codec)) == 0
    assert asked == ["cpu"] and len(jobs_run) == 2 + 4
    monkeypatch.setattr(precision, "_decided", lambda kind: "float32")
    jobs_run.clear()
    assert main(command(*codec, out="full.csv")) == 0
    assert len(jobs_run) == 4  # the originals cross no network
    half, full = (Protocol.read(tmp_path / f"{name}.protocol.json") for name in ("results", "full"))
    assert (half.precision, full.precision) == ("bfloat16", "float32") and half.hash != full.hash
    tables = [pd.read_csv(tmp_path / name) for name in ("results.csv", "full.csv")]
    assert [set(table["protocol"]) for table in tables] == [{half.hash}, {full.hash}]
    scores = [table[table["metric"] == "psnr"]["value"].to_numpy() for table in tables]
    assert (scores[0] != scores[1]).all() and abs(scores[0] - scores[1]).max() < 0.1

    jobs_run.clear()
    file = ("--methods", "mambajscc_psnr", "--protocol", str(tmp_path / "results.protocol.json"))
    assert main(command(*file, out="again.csv", protocol=True)) == 0
    assert not jobs_run and (tmp_path / "again.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()
    capsys.readouterr()
    assert main(command(*file, "--precision", "auto", protocol=True)) == 1
    assert "--protocol fixes --precision; leave it out" in capsys.readouterr().err


def test_several_folders_are_several_sets_and_several_trainings(command, photos, models, tmp_path, jobs_run, capsys):
    for name in ("vae", "mambajscc_psnr"):
        shutil.copytree(models / name, tmp_path / "other" / name)
    weights = tmp_path / "other/mambajscc_psnr/weights.safetensors"
    save_file({key: value * 1.01 for key, value in load_file(weights).items()}, weights)
    for seed, path in enumerate(("more/c.png", "elsewhere/photos/e.png", "same/a.png")):
        save_photo(tmp_path / path, 10 + seed)
    (tmp_path / "twice").mkdir()
    shutil.copy(tmp_path / "photos/a.png", tmp_path / "twice/z.png")
    sets = ["--images", str(tmp_path / "photos"), str(tmp_path / "more")]
    several = ["--models", str(models), str(tmp_path / "other")]
    arguments = command("--methods", "mambajscc_psnr", "--snr-db", "5", *several)
    assert main([*arguments, *sets]) == 0
    table = pd.read_csv(tmp_path / "results.csv", keep_default_na=False)
    photo = table[table["metric"] == "psnr"]
    assert set(zip(photo["set"], photo["image"], photo["training"], strict=True)) == {
        (one, image, training)
        for one, image in (("photos", "a.png"), ("photos", "b.png"), ("more", "c.png"))
        for training in (0, 1)
    }
    of_sets = table[table["image"] == "*"].groupby(["training", "set", "metric"]).size()
    assert {(training, one) for training, one, _ in of_sets.index} == {
        (training, one) for training in (0, 1) for one in ("", "photos")
    }  # of one photograph of one patch there is no Fréchet distance
    ran = len(jobs_run)
    # The protocol knows the sets; photographs may lie in one folder then.
    shutil.copy(tmp_path / "more/c.png", tmp_path / "photos/renamed.png")
    again = command("--methods", "mambajscc_psnr", *several, out="again.csv", protocol=True)
    assert main([*again, "--protocol", str(tmp_path / "results.protocol.json")]) == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "results.csv").read_bytes() and len(jobs_run) == ran
    (tmp_path / "photos/renamed.png").unlink()

    def refused(*folders: str) -> str:
        capsys.readouterr()
        assert main([*arguments, "--images", *(str(tmp_path / folder) for folder in folders)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "two folders are named photos" in refused("photos", "elsewhere/photos")
    assert "a.png is in photos and in same; a photo's name enters its draws: rename" in refused("photos", "same")
    assert "twice/z.png is in photos, too, and would count twice" in refused("photos", "twice")


def test_five_draws_unless_told_otherwise_and_the_help_says_every_default(capsys):
    assert DRAWS == 5
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        "independent channel draws per condition (default: 5)",
        "decibels (default: [-5.0, 0.0, 5.0, 10.0])",
        "(default: .jscgc/results)",
        "(default: 1.5)",
    ):
        assert text in said
    assert "SUPPRESS" not in said and "unless_given" not in said


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--channel", "awgm"], "did you mean awgn?"),
        (["--metrics", "psnrr"], "did you mean psnr"),
        (["--metrics", "fid_inception"], "fid_inception lacks inception-2015-12-05.pt"),
        (["--cbr", "3/768"], "it sends 2/768, 4/768"),
        (
            ["--precision", "bf16"],
            "unknown precision 'bf16': did you mean bfloat16? choose from auto, float32, bfloat16",
        ),
        (["--methods", "mambajscc_lpips"], "no trained model here"),
        (["--protocol", "none.json", "--snr-db", "5"], "leave it out"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, jobs_run, capsys, arguments, said):
    try:
        status = main(command(*(["--methods", "mambajscc_psnr"] if "--methods" not in arguments else []), *arguments))
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "results.csv").exists() and not jobs_run


def test_a_photograph_may_be_called_as_our_own_rows_are(command, tmp_path, jobs_run, capsys):
    """`*` and `*-NAME` mark the values of whole sets."""
    for name in ("*.png", "*-a.png", "*-b/c.png"):
        save_photo(tmp_path / "photos" / name, len(name))
    theirs = tmp_path / "theirs"
    assert main(command("--methods", "mambajscc_psnr", "--export", str(theirs), "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    names = {"a.png", "b.png", "./*.png", "./*-a.png", "./*-b/c.png"}
    table = pd.read_csv(tmp_path / "results.csv")
    assert document["photos"] == 5
    assert set(table["image"]) == names | {"*"} | {f"*-{name}" for name in names}
    pairs = table[table["metric"] == "psnr"]
    assert set(pairs["image"]) == names
    (psnr,) = [row for row in document["summary"] if row["metric"] == "psnr" and row["snr_db"] == 5]
    assert psnr["images"] == 5 and psnr["mean"] == pytest.approx(pairs[pairs["snr_db"] == 5]["value"].mean())
    # Whoever has their pictures may write the name as the file has it.
    received = (theirs / "received.csv").read_text().replace("./*-a.png", "*-a.png")
    (theirs / "received.csv").write_text(received)
    assert main(command("--received", str(theirs), out="again.csv")) == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()


def test_an_interruption_says_where_to_go_on(command, tmp_path, capsys, jobs_run, monkeypatch):
    from jscgc.evaluation.worker import Worker

    def interrupted(self, job):
        raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "run", interrupted)
    assert main(command("--methods", "mambajscc_psnr")) == 130
    assert f"no table was written; finished jobs are in {tmp_path / 'store'}" in capsys.readouterr().err
    assert not (tmp_path / "results.csv").exists()
