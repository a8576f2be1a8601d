"""Checkpoints as artifacts: the newest few and the best, and going on from one on another machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jscgc import tracking
from jscgc.training.curve import Curve
from pipeline import resume, runs
from pipeline.checkpoints import Checkpoints
from pipeline.stage import take_over

STAGE = "train_jscgc-0123456789ab"
LOSSES = {10: 3.0, 20: 1.0, 30: 2.0, 40: 1.5}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("JSCGC_REPRODUCTION", "one")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(folder: Path, count: int, run: tracking.StageRun) -> None:
    """As a training does it: a row, then a checkpoint, of which the newest two are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    curve = Curve(folder)
    take_over(folder, run, curve)
    (folder / "threads").write_text("1\n")
    watch = Checkpoints(folder, count, run)
    for step, loss in LOSSES.items():
        curve.append(step - 5, {"loss": loss + 0.5})
        curve.append(step, {"loss": loss - 0.5, "steps_per_second": 2.0})
        run.log(step, {"loss": loss - 0.5})
        watch.look()
        (folder / f"step-{step:08d}.safetensors").write_bytes(bytes([step]) * 100)
        for old in sorted(folder.glob("step-*.safetensors"))[:-2]:
            old.unlink()
    watch.look()


def kept(root: Path, run_id: str) -> list[str]:
    return [Path(one.path).name for one in tracking.client(root).list_artifacts(run_id, f"checkpoints/{STAGE}")]


def stage_of(root: Path) -> Any:
    client = tracking.client(root)
    experiment = client.get_experiment_by_name("jscgc").experiment_id
    return client.search_runs([experiment], "tags.`jscgc.stage` = 'train_jscgc'")[0]


def test_the_newest_and_the_best_are_kept_and_one_goes_on_elsewhere(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / ".jscgc" / "runs" / STAGE
    with tracking.stage_run("train_jscgc", params={}, tags={}, root=root, identity="first") as run:
        train(folder, 1, run)
    run_id = stage_of(root).info.run_id
    assert kept(root, run_id) == ["step-00000020", "step-00000040"]
    assert stage_of(root).data.tags["best_checkpoint"] == "step-00000020"
    shutil.rmtree(folder)  # another machine has the same MLflow, and no checkpoints
    assert resume.fetch(run_id, 20) == folder
    assert (folder / "step-00000020.safetensors").read_bytes() == bytes([20]) * 100
    assert Curve(folder).rows()[-1]["step"] < 40 and (folder / "threads").read_text() == "1\n"
    with pytest.raises(ValueError, match="has step 20 already"):
        resume.fetch(run_id, 20)
    resume.fetch(run_id, None)
    assert (folder / "step-00000040.safetensors").exists() and Curve(folder).rows()[-1]["step"] == 40
    with pytest.raises(ValueError, match=r"no checkpoint of step 30; it has 20, 40"):
        resume.fetch(run_id, 30)
    with tracking.stage_run("train_jscgc", params={}, tags={}, root=root, identity="second") as run:
        take_over(folder, run, Curve(folder))
        run.log(45, {"loss": 0.1})
    client = tracking.client(root)
    again = next(one for one in client.search_runs([stage_of(root).info.experiment_id], "tags.`jscgc.id` = 'second'"))
    assert again.data.tags["resumed_from"] == run_id
    steps = [point.step for point in client.get_metric_history(again.info.run_id, "loss")]
    assert steps == [5, 10, 15, 20, 25, 30, 35, 40, 45]


def test_none_are_kept_where_none_are_wanted(root: Path) -> None:
    with tracking.stage_run("train_jscgc", params={}, tags={}, root=root, identity="none") as run:
        train(root / ".jscgc" / "runs" / STAGE, 0, run)
    run_id = stage_of(root).info.run_id
    assert kept(root, run_id) == []
    with pytest.raises(ValueError, match="has no checkpoints"):
        resume.fetch(run_id, None)


def test_what_a_stage_goes_on_from_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = root / ".jscgc" / "runs" / STAGE
    monkeypatch.setattr(resume.runs, "key_of", lambda result, params: "0123456789ab")
    said = resume.advice(place, SimpleNamespace(finetuned=[], trained={"jscgc": None}))  # type: ignore[arg-type]
    assert said.startswith("next: dvc repro train_jscgc (makes data/")
    for path in runs.inputs_of("jscgc").values():
        path.mkdir(parents=True)
    assert resume.advice(place, SimpleNamespace(finetuned=[], trained={"jscgc": None})) == "next: dvc repro train_jscgc"  # type: ignore[arg-type]
    monkeypatch.setattr(resume.runs, "key_of", lambda result, params: "another")
    assert "would not go on" in resume.advice(place, SimpleNamespace(finetuned=[], trained={"jscgc": None}))  # type: ignore[arg-type]


def test_resuming_asks_for_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for run, step in (("", ""), ("abc", "x")):
        monkeypatch.setenv("RUN", run)
        monkeypatch.setenv("STEP", step)
        with pytest.raises(ValueError, match="^say which: make resume RUN="):
            resume.main()


def test_a_curve_as_a_file_has_no_times(tmp_path: Path) -> None:
    """`dvc repro -f` of the same training must not change what the report depends on."""
    tables = []
    for rate in (1.0, 7.0):
        curve = Curve(tmp_path / str(rate))
        (tmp_path / str(rate)).mkdir()
        curve.append(10, {"loss": 0.5, "steps_per_second": rate})
        curve.write_csv(tmp_path / "curve.csv")
        tables.append((tmp_path / "curve.csv").read_text())
        assert curve.seconds() == 10 / rate
    assert tables[0] == tables[1] == "step,loss\n10,0.5\n"
    assert json.loads((tmp_path / "1.0" / "curve.jsonl").read_text())["steps_per_second"] == 1.0
