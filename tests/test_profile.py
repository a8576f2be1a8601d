"""params.yaml as people change it: by profiles, by overlays of their own, by `dvc exp run -S`."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from jscgc.config import ParamsError
from jscgc.params import load_params
from pipeline import experiments, profile

ROOT = Path(__file__).parents[1]


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def lists(content: Any, before: str = "") -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from lists(value, f"{before}{key}.")
        elif isinstance(value, list):
            yield f"{before}{key}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "pipeline" / "profiles", tmp_path / "pipeline" / "profiles")
    shutil.copy(profile.NANO, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:1] == "+" and line[:3] != "+++"]


def test_params_yaml_is_the_profile_nano() -> None:
    committed = subprocess.run(["git", "show", "HEAD:params.yaml"], cwd=ROOT, capture_output=True, text=True)
    if committed.returncode or load_params(ROOT / "params.yaml").profile != "nano":
        pytest.skip("no git, or another profile is selected")
    assert (ROOT / "params.yaml").read_text() == profile.NANO.read_text()


def test_dvc_changes_the_lines_that_it_is_told_to(folder: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    before = Path("params.yaml").read_text()
    apply_overrides("params.yaml", ["sample.steps=3", "codec.learning_rate=5e-05"])
    lines = changed(before, Path("params.yaml").read_text())
    assert [line.partition("#")[0].split() for line in lines] == [
        ["+", "learning_rate:", "5e-05"],
        ["+", "steps:", "3"],
    ]
    params = load_params(Path("params.yaml"))
    assert params.sample.steps == 3 and params.codec.learning_rate == 5e-5


@pytest.mark.parametrize("name", ["nano", "smoke"])
def test_every_list_can_be_emptied_and_replaced(folder: Path, name: str) -> None:
    from dvc.utils.hydra import apply_overrides

    profile.select(name)
    every = list(lists(read(Path("params.yaml"))))
    assert {"evaluate.dial", "evaluate.methods", "link.rates", "data.train"} <= set(every)
    for key in every:
        for given, value in (("[]", []), ("[7,8]", [7, 8])):
            shutil.copy("params.yaml", "changed.yaml")
            expected = read(Path("params.yaml"))
            *sections, last = key.split(".")
            place = expected
            for section in sections:
                place = place[section]
            place[last] = value
            apply_overrides("changed.yaml", [f"{key}={given}"])
            assert read(Path("changed.yaml")) == expected, key


def test_an_overlay_may_empty_a_list(folder: Path) -> None:
    profile.select("smoke")
    Path("mine.yaml").write_text("profile: mine\nevaluate: {dial: []}\n")
    profile.select("mine.yaml")
    params = load_params(Path("params.yaml"))
    assert params.profile == "mine" and params.evaluate.dial == [] and params.distributed.strategy == "ddp"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profile: mine\nevaluate: {dial: [x]}\n", "mine.yaml: line 2: evaluate.dial.0: "),
        ("profile: mine\nsample:\n  steps: 3\n  solvers: heun\n", "mine.yaml: line 4: sample.solvers: "),
        ("profile: mine\nevaluate: {dial: [}\n", "line 2"),
        ("profile: mine\nlinks: {rates: [1]}\n", "links is no section"),
    ],
)
def test_an_error_names_the_line_of_the_overlay(folder: Path, text: str, said: str) -> None:
    before = Path("params.yaml").read_text()
    Path("mine.yaml").write_text(text)
    with pytest.raises(ParamsError, match="^[^\n]+$") as error:
        profile.select("mine.yaml")
    assert said in str(error.value) and Path("params.yaml").read_text() == before


def test_an_error_in_params_yaml_names_its_line(folder: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("seed: 0", "seed: -1"))
    with pytest.raises(ParamsError, match=r"^params\.yaml: line 6: seed: "):
        load_params(Path("params.yaml"))


def test_nano_is_always_to_be_had(folder: Path) -> None:
    """A clone of a committed smoke has no params.yaml of before."""
    profile.select("smoke")
    shutil.rmtree(".jscgc")
    profile.select("nano")
    assert Path("params.yaml").read_text() == profile.NANO.read_text()
    profile.select("smoke")
    shutil.rmtree(".jscgc")
    profile.select("scratch")
    assert load_params(Path("params.yaml")) == profile.committed("scratch")


def test_ones_own_changes_come_back(folder: Path) -> None:
    mine = Path("params.yaml").read_text().replace("seed: 0", "seed: 7  # mine")
    Path("params.yaml").write_text(mine)
    for name in ("smoke", "scratch", "nano"):
        profile.select(name)
    assert Path("params.yaml").read_text() == mine


def test_the_short_table_of_experiments_keeps_the_headline_of_one_method() -> None:
    import re

    command = experiments.command("jscgc", experiments.SHORT, False, [])
    dropped = command[command.index("--drop") + 1]
    headline = "reports/headline/awgn_5dB_8_768"
    for shown in (f"{headline}/jscgc.json:psnr", "sample.steps", "jscgc.train.steps", "evaluate.dial"):
        assert not re.search(dropped, shown), shown
    hidden = ("diffjscc.json:psnr", "jscgc_fast.json:psnr", "jscgc.json:kid_efficientnet_lite2")
    for out in (
        *(f"{headline}/{name}" for name in hidden),
        "data/photos",
        "jscgc/api.py",
        "reports/results.csv",
        "profile",
    ):
        assert re.search(dropped, out), out
