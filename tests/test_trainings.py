"""Several trainings of a method: each is what a stage would make of its seed, none is done twice, an interrupted one goes on."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from jscgc.files import read_json, sha256
from jscgc.systems.load import load_system
from jscgc.systems.params import FinetuneParams
from jscgc.tracking import StageRun
from jscgc.training import make
from pipeline import apart, trainings

METHODS = ("mambajscc_psnr", "jscgc")
OUT = Path("data/trainings")


@pytest.fixture
def project(params, models, latent_cache, tmp_path, monkeypatch):
    """A folder as the stages leave it, tiny, with models of other parameters than params.yaml's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for part in ("vae", "flow", *METHODS):
        shutil.copytree(models / part, tmp_path / "data/models" / part)
    shutil.copytree(latent_cache, tmp_path / "data/latents")
    statistics = read_json(models / "flow/model.json")["latents"]
    (tmp_path / "data/latents/statistics.json").write_text(json.dumps(statistics))
    with (tmp_path / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params.model_dump(mode="json"), file)
    return tmp_path


@pytest.fixture
def run(project, monkeypatch, capsys):
    """The command; what it said."""

    def command(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["trainings", *arguments])
        trainings.main()
        return str(capsys.readouterr().out)

    return command


def weights(training: int, name: str, out: Path = OUT) -> str:
    return sha256(out / str(training) / "models" / name / "weights.safetensors")


def directly(name: str, params, seed: int, **starts: Path) -> str:
    """The weights that the recipe gives with a seed."""
    starts = {part: Path("data/models") / part for part in ("flow", "mambajscc_psnr") if part != name} | starts
    changed, out = params.model_copy(update={"seed": seed}), Path("direct") / f"{name}-{seed}"
    make.make(
        name, changed, {"latents": Path("data/latents"), **starts}, out / "run", lambda step, metrics: None, out / name
    )
    return sha256(out / name / "weights.safetensors")


def test_seeds_are_trained_in_turn_once_and_are_one_group(run, params, monkeypatch):
    said = run("jscgc", "mambajscc_psnr", "--seeds", "2")
    for training in (0, 1):
        models, seed = OUT / str(training) / "models", params.seed + training
        assert {path.name for path in models.iterdir()} == {"vae", "flow", *METHODS}
        # The codec first, and JSCGC from the codec of its own seed.
        assert weights(training, "mambajscc_psnr") == directly("mambajscc_psnr", params, seed)
        own = {"mambajscc_psnr": models / "mambajscc_psnr"}
        assert weights(training, "jscgc") == directly("jscgc", params, seed, **own)
        load_system("jscgc", models)
    assert all(weights(0, name) != weights(1, name) for name in METHODS)
    assert "jscgc evaluate --images FOLDER --models data/trainings/0/models data/trainings/1/models --methods" in said

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path('.jscgc/mlflow.db').absolute()}")
    every = client.search_runs([client.get_experiment_by_name("jscgc").experiment_id])
    (group,) = (one for one in every if "mlflow.parentRunId" not in one.data.tags)
    assert group.info.run_name == "trainings mambajscc_psnr, jscgc" and group.info.status == "FINISHED"
    children = [one for one in every if one is not group]
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {group.info.run_id}
    assert {(one.data.tags["jscgc.method"], one.data.tags["jscgc.training"]) for one in children} == {
        (name, training) for name in METHODS for training in "01"
    }
    assert len(children) == 4 and all(one.info.status == "FINISHED" for one in children)
    assert {one.data.params["seed"] for one in children} == {str(params.seed), str(params.seed + 1)}

    def never(*arguments, **options):
        raise AssertionError("trained a second time")

    with monkeypatch.context() as patch:
        patch.setattr(apart, "train_on_workers", never)
        before = [weights(training, name) for training in (0, 1) for name in METHODS]
        shutil.rmtree(OUT / "1")
        assert run("mambajscc_psnr", "jscgc", "--seeds", "2").count("done before") == 4
        assert before == [weights(training, name) for training in (0, 1) for name in METHODS]
        with pytest.raises(AssertionError):
            run("mambajscc_psnr", "jscgc", "--seeds", "3")


def test_one_that_is_interrupted_goes_on_and_is_what_it_would_have_been(run, params, monkeypatch):
    steps: list[int] = []
    log = StageRun.log

    def interrupted(self, step, metrics, time_ms=None):
        log(self, step, metrics, time_ms)
        steps.append(step)
        if len(steps) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(StageRun, "log", interrupted)
    monkeypatch.setattr(sys, "argv", ["trainings", "jscgc", "--seeds", "1"])
    with pytest.raises(SystemExit, match="interrupted; the same command goes on"):
        apart.as_command("trainings", trainings.main)
    assert not (OUT / "0/models/jscgc").exists()
    first = len(steps)
    run("jscgc", "--seeds", "1")
    assert 0 < len(steps) - first < params.jscgc.train.steps, "it went on from a checkpoint"
    # Of what is not named, the start is the stage's.
    assert weights(0, "jscgc") == directly("jscgc", params, params.seed)
    assert not list(trainings.PLACE.glob("*/run"))


def test_the_stage_s_own_model_is_training_0_where_it_was_trained_so(run, params, project):
    run("jscgc", "--seeds", "1")
    trained = weights(0, "jscgc")
    shutil.rmtree("data/models/jscgc")
    shutil.copytree(OUT / "0/models/jscgc", "data/models/jscgc")
    shutil.rmtree(trainings.PLACE)
    said = run("jscgc", "--seeds", "1", "--out", "again")
    assert "jscgc, training 0: copied from data/models/jscgc" in said and not trainings.PLACE.exists()
    assert weights(0, "jscgc", Path("again")) == trained
    # From another codec it would be another.
    said = run("jscgc", "mambajscc_psnr", "--seeds", "1", "--out", "third")
    assert "copied" not in said and weights(0, "jscgc", Path("third")) != trained


def test_what_is_wrong_is_one_line(run, project):
    for names, said in (
        (["jscg"], "params.yaml trains no 'jscg': did you mean jscgc"),
        (["diffcom"], "diffcom: nothing of it is trained; name what it is made of, too: flow, mambajscc_psnr"),
        (["deepjscc"], r"data/photos is missing; run: dvc repro prepare"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            run(*names)
        assert "\n" not in str(caught.value)
    shutil.rmtree("data/models/flow")
    with pytest.raises(ValueError, match=r"data/models/flow is missing; run: dvc repro pretrain_flow"):
        run("jscgc")
    assert not OUT.exists() and not trainings.PLACE.exists()


def test_what_another_starts_from_is_trained_before_it(params):
    assert trainings.planned(["jscgc_fast", "diffcom", "jscgc", "mambajscc_psnr"], params) == [
        "mambajscc_psnr", "jscgc", "jscgc_fast", "diffcom",
    ]  # fmt: skip


def test_a_fine_tuned_model_can_be_trained_for_several_seeds_too(params):
    weak = params.link.model_copy(update={"rates": [2]})
    phased = params.model_copy(update={"finetune": FinetuneParams(links={"weak": weak}, methods=["jscgc"])})
    assert trainings.planned(["jscgc-weak", "jscgc"], phased) == ["jscgc", "jscgc-weak"]
    with pytest.raises(ValueError, match="trains no 'jscgc-weak'"):
        trainings.planned(["jscgc-weak"], params)
