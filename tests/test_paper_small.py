"""The paper's procedure on random networks of the very classes: phases, fine-tuning, a kill in the middle, every metric."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from test_pipeline import ROOT, environment, jscgc, python, ran

from jscgc.config import read_yaml
from jscgc.params import Params, load_params
from jscgc.systems import store

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(600)]
KILLED = "finetune_jscgc-awgn_5db_8"
"""The training that is killed: in the second phase, after one of its links is done."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh checkout with profile paper_small selected."""
    folder = tmp_path_factory.mktemp("paper") / "jscgc"
    names = (
        ".venv",
        ".git",
        ".jscgc",
        "__pycache__",
        "tmp",
        "cache",
        "*.egg-info",
        ".*_cache",
        "photos",
        "latents",
        "models",
    )
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*names[:-3]))
    for made in (
        *(f"data/{name}" for name in names[-3:]),
        *(f"reports/{name}" for name in ("pictures", "curves", "metrics")),
    ):
        shutil.rmtree(folder / made, ignore_errors=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    chosen = python("-m", "pipeline.profile", "paper_small", cwd=folder)
    assert chosen.returncode == 0, chosen.stderr
    return folder


@pytest.fixture(scope="module")
def reproduced(project: Path) -> Path:
    """Begun, killed with all its processes in the middle of a fine-tuning, begun again."""
    command = [sys.executable, "-m", "pipeline.reproduce"]
    begun = subprocess.Popen(
        command,
        cwd=project,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 400
    while not list(project.glob(f".jscgc/runs/{KILLED}-*/step-*.safetensors")):
        assert begun.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    again = python("-m", "pipeline.reproduce", cwd=project)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "train_jscgc" not in ran(again.stdout) and KILLED.replace("-", "@", 1) in ran(again.stdout)
    assert "jscgc goes on from step" in again.stderr
    return project


def params_of(project: Path) -> Params:
    return load_params(project / "params.yaml")


def test_every_phase_left_its_models(reproduced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reproduced)  # the generator's path is the profile's, from the root
    params, models = params_of(reproduced), reproduced / "data/models"
    assert params.profile == "paper_small" and len(params.finetuned) == 6
    assert {path.name for path in models.iterdir()} == {"vae", *params.trained, *params.finetuned}
    joint = store.load(models / "jscgc")
    assert joint.architecture.rates == [60] and joint.architecture.link is None
    frozen = joint.net.receiver.prior.state_dict()
    for result in params.finetuned:
        tuned = store.load(models / result)
        method, _, link = result.partition("-")
        assert (tuned.architecture.kind, tuned.architecture.link) == (method, params.finetune.links[link])
        if method == "jscgc":
            assert all(
                bool((value == frozen[name]).all()) for name, value in tuned.net.receiver.prior.state_dict().items()
            )
            changed = [
                name
                for name, value in tuned.net.encoder.state_dict().items()
                if (value != joint.net.encoder.state_dict()[name]).any()
            ]
            assert changed, "the encoder learns in the second phase, too"


def test_each_condition_is_measured_by_its_own_model_and_by_every_metric_of_the_list(reproduced: Path) -> None:
    params, table = params_of(reproduced), pd.read_csv(reproduced / "reports/results.csv")
    plain = table[table["method"].isin(params.evaluate.methods) & ~table["image"].str.startswith("*")]
    rates = (plain["cbr"] * 768).round().astype(int)
    measured = set(zip(plain["channel"], plain["snr_db"], rates, strict=True))
    assert measured == set(params.conditions) == {("awgn", 5.0, 2), ("awgn", 5.0, 8), ("rayleigh_fast", 5.0, 2)}
    for method in ("jscgc", "diffjscc"):
        assert set(plain[plain["method"] == method]["channel"]) == {"awgn", "rayleigh_fast"}
    # Named as what they are: nobody may take a random network's number for the metric.
    asked = read_yaml(ROOT / "pipeline/profiles/paper.yaml")["evaluate"]["metrics"]
    assert params.evaluate.metrics == asked and params.evaluate.metric_weights == "random"
    there = set(table["metric"])
    assert {name if name in there else f"{name}_random" for name in asked} <= there
    assert {
        "lpips_alex_random",
        "dreamsim_random",
        "fid_inception_random",
        "dino_score_random",
        "clip_score_random",
    } <= there
    assert not {"lpips_alex", "dreamsim", "fid_inception", "dino_score", "clip_score"} & there
    steps = table[table["method"] == "jscgc_reference"]["steps"]
    assert set(steps) == {1, 4}


def test_the_page_says_what_it_is(reproduced: Path) -> None:
    page = (reproduced / "reports/index.html").read_text(encoding="utf-8")
    assert "paper_small" in page and "random network" in page and "not run" in page
    summary = json.loads((reproduced / "reports/summary.json").read_text())
    assert summary["rows"]


def test_a_photograph_is_sent_by_the_model_of_its_condition(reproduced: Path, tmp_path: Path) -> None:
    photo = next((reproduced / "data/photos/test").glob("*.png"))
    common = [
        "transmit",
        str(photo),
        "--models",
        "data/models",
        "--method",
        "jscgc",
        "--snr-db",
        "5",
        "--out",
        str(tmp_path),
    ]
    sent = jscgc(*common, "--cbr", "8/768", cwd=reproduced)
    assert sent.returncode == 0, sent.stderr
    none = jscgc(*common, "--cbr", "4/768", cwd=reproduced)
    assert none.returncode == 1
    assert "no model of jscgc sends 4/768 over awgn at 5 dB; fine-tuned are" in none.stderr.splitlines()[-1]


def test_another_link_runs_its_own_fine_tuning_alone(reproduced: Path) -> None:
    """DVC's own answer, which runs nothing."""
    path = reproduced / "params.yaml"
    before = path.read_text(encoding="utf-8")
    lines = before.splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.strip().startswith("awgn_5db_8:"))
    snr = next(i for i in range(start, len(lines)) if "snr_db" in lines[i])
    lines[snr + 1] = lines[snr + 1].replace("5", "4") if "[" not in lines[snr] else lines[snr + 1]
    lines[snr] = lines[snr].replace("[5, 5]", "[4, 5]")
    assert lines != before.splitlines(keepends=True)
    path.write_text("".join(lines), encoding="utf-8")
    try:
        done = python("-m", "pipeline.reproduce", "--dry", cwd=reproduced)
        assert [name for name in ran(done.stdout) if name.startswith(("train", "finetune"))] == [
            "finetune_jscgc@awgn_5db_8", "finetune_diffjscc@awgn_5db_8",
        ]  # fmt: skip
    finally:
        path.write_text(before, encoding="utf-8")
