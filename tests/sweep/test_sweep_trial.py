"""Real trials, tiny: what is trained, what is shared, how an interrupted one goes on; and a sweep from the command line."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import cloudpickle
from safetensors.torch import load_file

from jscgc.cli import main
from jscgc.cluster.tune import Assignment, Objective, Rungs, Search, TrialFailed
from jscgc.evaluation.jobs import Job
from jscgc.evaluation.worker import Worker
from jscgc.files import sha256
from jscgc.sweep import chain
from jscgc.sweep import run as sweep_run
from jscgc.sweep.plan import Plan, prepare

METRIC = "psnr"
FAST = {"metric": METRIC, "asha": {"rungs": 2, "reduction": 2}}


@pytest.fixture
def plan(project: Path, space: Callable[..., Path]) -> Plan:
    """PSNR needs no deep network; trials are scored after three of six steps, and at the end."""
    space(**FAST)
    return prepare(project / "space.yaml", project / "params.yaml", project / "data", project / "out", None)


def run(plan: Plan, name: str = "t", **values: Any) -> list[tuple[int, dict[str, float]]]:
    return list(plan.task(Assignment(name, {key.replace("__", "."): value for key, value in values.items()})))


def weights(plan: Plan, **values: Any) -> dict[str, Any]:
    params = plan.works({key.replace("__", "."): value for key, value in values.items()})
    folder = plan.origin.folder("jscgc", params)
    assert folder is not None
    return load_file(folder / "step-00000006" / "jscgc" / "weights.safetensors")


def test_a_trial_is_trained_from_rung_to_rung_and_scored_on_validation_photographs(plan: Plan) -> None:
    assert [name for name, _ in plan.task.photos] == ["a", "b"]
    found = run(plan, jscgc__train__learning_rate=0.001)
    assert [(rung, metrics["steps"]) for rung, metrics in found] == [(0, 3.0), (1, 6.0)]
    assert all(metrics["score"] == metrics[METRIC] and math.isfinite(metrics["train_loss"]) for _, metrics in found)
    assert found[0][1]["score"] != found[1][1]["score"]
    # Training in two parts is training in one.
    params = plan.works({"jscgc.train.learning_rate": 0.001})
    whole = chain.Origin(plan.params, plan.origin.data, plan.origin.out.with_name("whole"))
    models = chain.train("jscgc", params, whole, 6, True, lambda step, metrics: None)
    assert sha256(models / "jscgc") == sha256(plan.origin.folder("jscgc", params) / "step-00000006" / "jscgc")  # type: ignore[operator]


def test_an_interrupted_trial_goes_on_and_a_scored_rung_is_not_run_again(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = plan.task(Assignment("t", {"jscgc.train.learning_rate": 0.001}))
    first = next(trial)
    trial.close()
    jobs: list[Job] = []
    original = Worker.run
    monkeypatch.setattr(Worker, "run", lambda self, job: (jobs.append(job), original(self, job))[1])
    steps: list[int] = []
    train = chain.train
    monkeypatch.setattr(chain, "train", lambda *a: (steps.append(a[3]), train(*a))[1])
    again = run(plan, jscgc__train__learning_rate=0.001)
    assert again[0] == first and steps == [6]
    assert len([job for job in jobs if job.method == "jscgc"]) == 4  # one rung: two photographs at two SNRs


def test_trials_that_sample_otherwise_share_a_training(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    one = run(plan, "one", jscgc__train__learning_rate=0.001, sample__guidance=1.0)
    monkeypatch.setattr(chain, "_run", lambda *a: pytest.fail("trained again"))
    other = run(plan, "other", jscgc__train__learning_rate=0.001, sample__guidance=3.0)
    assert [metrics["score"] for _, metrics in one] != [metrics["score"] for _, metrics in other]
    # What `dvc repro` left is used as it is, and scored once.
    ((rung, metrics),) = run(plan, "left", sample__guidance=3.0)
    assert rung == 1 and math.isfinite(metrics["score"])


def test_a_stage_before_the_system_is_trained_where_the_values_touch_it(plan: Plan) -> None:
    run(plan, codec__learning_rate=0.02)
    run(plan, "other", codec__learning_rate=0.002)
    assert {path.name.rpartition("-")[0] for path in (plan.origin.out / "trained").iterdir()} == {
        "jscgc",
        "mambajscc_psnr",
    }
    one, other = (weights(plan, codec__learning_rate=rate) for rate in (0.02, 0.002))
    assert any(not torch.equal(one[name], other[name]) for name in one if name.startswith("encoder."))


@pytest.mark.parametrize(
    ("system", "key"),
    [
        ("jscgc_fast", "few_step.train.learning_rate"),
        ("diffjscc", "jscgc.train.learning_rate"),
        ("mambajscc_psnr", "codec.learning_rate"),
    ],
)
def test_other_systems(project: Path, space: Callable[..., Path], system: str, key: str) -> None:
    axes = {key: {"log_uniform": [0.0001, 0.01]}}
    space(**FAST, system=system, space=axes)
    plan = prepare(project / "space.yaml", project / "params.yaml", project / "data", project / "out", None)
    found = list(plan.task(Assignment("t", {key: 0.001})))
    assert [metrics["steps"] for _, metrics in found] == [3.0, 6.0] and plan.retrained() == [system]
    assert [path.name.rpartition("-")[0] for path in (plan.origin.out / "trained").iterdir()] == [system]


def test_a_training_that_diverges_is_final(plan: Plan) -> None:
    with pytest.raises(TrialFailed, match="jscgc: loss"):
        run(plan, jscgc__train__learning_rate=1e30)


def one_by_one(objective: Objective, search: Search, rungs: Rungs, **settings: Any) -> None:
    """Trials in this process instead of on Ray, which takes 20 s to import what trains; the objective travels as it would."""
    objective = cloudpickle.loads(cloudpickle.dumps(objective))
    while found := search.next():
        for rung, metrics in objective(Assignment(*found)):
            search.scored(found[0], rung, metrics)
        search.ended(found[0], "", False)


def test_a_sweep_from_the_command_line(
    project: Path, space: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep_run, "tune", one_by_one)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project)
    space(**FAST, trials=2)
    command = ["sweep", "space.yaml", "--json"]
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert sum(document["trials"].values()) == 2 and document["best"]["score"] > 0
    out = project / ".jscgc" / "sweeps" / "tiny"
    assert document["command"].startswith("dvc exp run -S jscgc.train.learning_rate=")
    assert (
        f"learning_rate: {document['best']['values']['jscgc.train.learning_rate']}" in (out / "best.yaml").read_text()
    )
    assert len((out / "trials.csv").read_text().splitlines()) == 3
    # Only the best trial's models are kept.
    assert len(list((out / "trained").iterdir())) == 1 and len(list((out / "trained").glob("*/step-*"))) == 1

    # Two more: what is there is kept, and learnt from.
    before = (out / "journal.jsonl").read_text()
    assert main([*command, "--trials", "4"]) == 0
    assert sum(json.loads(capsys.readouterr().out)["trials"].values()) == 4
    assert (out / "journal.jsonl").read_text().startswith(before)

    # Another sweep in the same folder is refused, and forgotten if so asked.
    space(**FAST, trials=2, seed=1)
    assert main(command) == 1
    assert "holds another sweep" in capsys.readouterr().err
    (project / "elsewhere").mkdir()
    (project / "elsewhere" / "thesis.tex").write_text("mine")
    assert main([*command, "--fresh", "--out", "elsewhere"]) == 1
    assert "no sweep's folder" in capsys.readouterr().err and (project / "elsewhere" / "thesis.tex").exists()


def test_what_is_missing_is_said_before_anything_starts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    shutil.rmtree(project / "data" / "latents")
    assert main(["sweep", "space.yaml"]) == 1
    error = capsys.readouterr().err
    assert "data/latents is missing; run: dvc repro extract_latents" in error and len(error.splitlines()) == 1
    assert not (project / ".jscgc").exists()
    assert main(["sweep", "nowhere.yaml"]) == 1
    assert "nowhere.yaml: no such file" in capsys.readouterr().err
