"""A second training beside a stage's own: what it may be, with how many threads, and what it leaves to the stage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jscgc import sockets, tracking
from jscgc.device import use_threads
from jscgc.files import held
from jscgc.params import Params, load_params
from pipeline import beside, runs
from pipeline.stage import stage

ROOT = Path(__file__).parents[1]
TRAINED = (
    "vae",
    "flow",
    "jscgc",
    "jscgc_fast",
    "jscgc_one_step",
    "klt",
    "mambajscc_psnr",
    "mambajscc_feature",
    "diffjscc",
    "diffcom",
    "deepjscc",
)


@pytest.fixture(scope="module")
def params() -> Params:
    known = load_params(ROOT / "params.yaml", ROOT / "pipeline/profiles/smoke.yaml")
    assert set(TRAINED) == {"vae", *known.trained}
    return known.model_copy(update={"device": "cpu", "precision": "float32"})


class Dvc:
    """The process above us."""

    def __init__(self, *words: str) -> None:
        self._words = ["python", "-m", "dvc", *words]

    def cmdline(self) -> list[str]:
        return self._words


@pytest.fixture
def below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Below a `dvc repro` on two cores, in a project in which everything is named by its result alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".jscgc").mkdir()
    monkeypatch.delenv(beside.SWITCH, raising=False)
    monkeypatch.setattr(tracking, "dvc", lambda: Dvc("repro"))
    monkeypatch.setattr(beside, "cores", lambda: 2)
    monkeypatch.setattr(runs, "key_of", lambda result, params: f"key-{result}")
    return monkeypatch


def made(result: str, key: str) -> None:
    (Path("data/models") / result).mkdir(parents=True)
    noted = runs.metrics_of(runs.stages.name_of(result))
    noted.parent.mkdir(parents=True, exist_ok=True)
    noted.write_text(json.dumps({"key": key}))


def test_what_needs_only_what_is_made_by_now_may_run_beside(below, params):
    """diffcom learns nothing; jscgc_fast needs jscgc."""
    assert beside.offered("vae", params) == ["deepjscc"]
    assert beside.offered("flow", params) == ["mambajscc_psnr", "deepjscc"]
    assert beside.offered("jscgc", params) == ["diffjscc", "mambajscc_feature", "deepjscc"]
    assert beside.offered("diffjscc", params) == ["jscgc", "mambajscc_feature", "deepjscc"]


def test_what_is_made_tried_or_passed_through_is_not_trained_ahead(below, params):
    made("mambajscc_feature", "key-mambajscc_feature")
    made("deepjscc", "of another configuration")
    tried = runs.folder_of("train_diffjscc", "key-diffjscc")
    tried.mkdir(parents=True)
    (tried / beside.TRIED).write_text("diverged\n")
    assert beside.offered("jscgc", params) == ["deepjscc"]
    shipped = params.model_copy(update={"init": "shipped"})
    assert not beside.learns("vae", shipped) and not beside.learns("flow", shipped)
    assert beside.learns("vae", params) and beside.learns("jscgc", shipped) and not beside.learns("diffcom", params)


def test_nothing_is_trained_ahead_that_nobody_asked_for(below, params):
    below.setattr(tracking, "dvc", lambda: Dvc("repro", "train_diffjscc"))
    assert beside.offered("flow", params) == ["mambajscc_psnr"]
    below.setattr(tracking, "dvc", lambda: None)
    assert beside.offered("flow", params) == []
    below.setattr(tracking, "dvc", lambda: Dvc("repro"))
    below.setenv(beside.SWITCH, "0")
    assert beside.offered("flow", params) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("repro", set(TRAINED)),
        ("repro --force -j 2", set(TRAINED)),
        ("exp run -S train_jscgc=1 --name deepjscc", set(TRAINED)),
        ("repro train_mambajscc_psnr", {"vae", "mambajscc_psnr"}),
        ("repro -s dvc.yaml:train_mambajscc_psnr", {"mambajscc_psnr"}),
        ("repro prepare", set()),
        ("exp run train_vae train_deepjscc", {"vae", "deepjscc"}),
    ],
)
def test_the_targets_of_a_dvc_command(words, expected):
    assert beside.targets(["python", "-m", "dvc", *words.split()], TRAINED) == expected


class Child:
    """Notes what it was started with."""

    started: list[list[str]] = []  # noqa: RUF012

    def __init__(self, command: list[str], **_: object) -> None:
        self.started.append(command[2:])

    def terminate(self) -> None:
        self.started.append(["terminated"])

    def wait(self, timeout: float | None = None) -> None:
        pass


def threads_inside(params: Params, folder: Path) -> int:
    with beside.sharing("jscgc", params, folder):
        return use_threads()


def test_two_trainings_share_the_cores_and_one_has_them_all(below, params, tmp_path):
    below.setattr(subprocess, "Popen", Child)
    below.setattr(Child, "started", [])
    before = use_threads()
    use_threads(2)
    try:
        assert threads_inside(params, tmp_path / "a") == 1
        names = ["diffjscc", "mambajscc_feature", "deepjscc"]
        assert Child.started == [["pipeline.ahead", "1", "float32", *names], ["terminated"]]
        assert use_threads() == 2
        Child.started.clear()
        below.setenv(beside.SWITCH, "0")
        assert threads_inside(params, tmp_path / "b") == 2 and not Child.started
        # Each goes on with what it began with: alone now, and beside others.
        assert threads_inside(params, tmp_path / "a") == 1
        below.delenv(beside.SWITCH)
        assert threads_inside(params, tmp_path / "b") == 2 and not Child.started
    finally:
        use_threads(before)


def test_several_workers_of_ray_have_no_other_training_beside_them(below, params, tmp_path):
    below.setattr(subprocess, "Popen", Child)
    below.setattr(Child, "started", [])
    many = params.model_copy(update={"distributed": params.distributed.model_copy(update={"workers": 2})})
    threads_inside(many, tmp_path / "c")
    assert not Child.started and not (tmp_path / "c").exists()


def test_a_stage_takes_up_the_run_of_its_own_reproduction_only(tmp_path, monkeypatch, params):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSCGC_REPRODUCTION", "first")
    first = runs.open_record("train_jscgc", params)
    assert runs.open_record("train_jscgc", params) == first and first.reproduction == "first"
    assert runs.open_record("train_jscgc_fast", params).identity != first.identity
    monkeypatch.setenv("JSCGC_REPRODUCTION", "second")
    assert runs.open_record("train_jscgc", params).identity != first.identity


def test_a_reproduction_goes_on_after_an_interruption_and_not_after_its_end(tmp_path, monkeypatch, params):
    """By another dvc, with the same parameters and code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JSCGC_REPRODUCTION", raising=False)

    def below(process):
        monkeypatch.setattr(tracking, "reproduction", lambda: process)
        return runs.open_record("train_jscgc", params)

    first = below("dvc-1")
    assert first.reproduction == "dvc-1"
    assert below("dvc-2") == first  # killed: whatever is to be known of it is in its record
    other = params.model_copy(update={"seed": params.seed + 1})
    assert runs.open_record("train_jscgc", other).reproduction == "dvc-2"
    runs.close_record("train_jscgc", params)
    later = runs.open_record("evaluate", params)
    assert later.reproduction == "dvc-1"  # the same dvc goes on
    runs.close_record("evaluate", params)
    new = below("dvc-3")
    assert new.reproduction == "dvc-3" and new.identity != first.identity
    monkeypatch.setenv("DVC_EXP_NAME", "murky-tole")
    assert below("dvc-4").identity != new.identity


def test_experiments_in_copies_wait_for_each_other(tmp_path, monkeypatch, caplog):
    copy = tmp_path / ".dvc/tmp/exps/tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    folder = runs.folder_of("train_jscgc", "key")
    assert folder == tmp_path / ".jscgc/runs/train_jscgc-key"
    runs.wait_for_others(folder)  # nobody is there
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        other.__exit__(None, None, None)

    monkeypatch.setattr(runs.time, "sleep", sleep)
    other = held(folder / "lock", "busy")
    other.__enter__()
    runs.wait_for_others(folder)
    assert waited == [1] and f"process {os.getpid()}, of another experiment, is training here" in caplog.text
    monkeypatch.chdir(tmp_path)
    with held(folder / "lock", "busy"):
        runs.wait_for_others(folder)  # the training names it
    assert waited == [1]


def test_the_second_training_dies_with_the_stage(tmp_path):
    code = (
        "import subprocess, sys, time; from pipeline import runs\n"
        "child = 'import time; from jscgc import signals; signals.end_with_parent(); print(1, flush=True); time.sleep(60)'\n"
        "subprocess.Popen([sys.executable, '-c', child]); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout
    with parent, parent.stdout:
        parent.stdout.readline()
        parent.kill()
        assert parent.stdout.read() == b""  # its end: nobody holds the other side any more


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RAY_ADDRESS", "127.0.0.1:9", "RAY_ADDRESS=127.0.0.1:9: "),
        ("RAY_TMPDIR", "/tmp/" + "t" * 90, "too long a temporary folder"),
    ],
)
def test_what_the_evaluation_will_need_is_asked_before_the_training(
    tmp_path, monkeypatch, capsys, variable, value, said
):
    monkeypatch.setattr(sockets, "PLACES", ())
    for name in ("RAY_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    with pytest.raises(SystemExit) as ended, stage("prepare"):
        pytest.fail("the stage has begun")
    assert said in str(ended.value) and str(ended.value).startswith("prepare: ")
