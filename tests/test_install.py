"""`pip install .`: it sends a photograph, an extra that is missing is one line, and the help is quick."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from lean import PROJECT, asked, brought, plain
from packaging.requirements import Requirement
from PIL import Image

from jscgc.bench.command import BENCHMARKS
from jscgc.cli import COMMANDS

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
NEEDS = {name: command.needs for name, command in COMMANDS.items() if command.needs}
NEEDS |= {f"bench {benchmark.name}": benchmark.needs for benchmark in BENCHMARKS if benchmark.needs}
ARGUMENTS = {"evaluate": ["--images", "."], "sweep": ["x.yaml"], "report": ["x"]}
ARGUMENTS |= {"overlap": ["--train", ".", "--test", "."]}
ARGUMENTS |= {f"bench {name}": ["--images", "."] for name in ("ceiling", "data", "published")}


def lean(*arguments: str, extras: str = "-") -> subprocess.CompletedProcess[str]:
    """`jscgc` where there is what `pip install .` brings, and nothing beside it."""
    command = [sys.executable, str(ROOT / "tests/lean.py"), extras, *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def test_few_packages_are_required():
    assert len(PROJECT["dependencies"]) <= 16
    # None of an extra is among them, nor comes with them.
    assert not brought() & {"dvc", "mlflow", "ray", "optuna", "pandas", "pyarrow", "matplotlib", "plotly", "streamlit"}
    assert not brought() & {"scipy", "sionna-no-rt", "torchvision", "transformers", "peft", "scikit-image"}


def test_what_is_hidden_is_hidden_from_every_eye():
    code = """
import sys
sys.path.insert(0, {tests!r})
from importlib import metadata, util
from lean import Lean, PathFinder, brought
sys.meta_path = [Lean(brought()) if finder is PathFinder else finder for finder in sys.meta_path]
assert util.find_spec("pandas") is None and util.find_spec("einops")
assert "pandas" not in {{d.metadata["Name"] for d in metadata.distributions()}}
import pandas
"""
    code = code.format(tests=str(ROOT / "tests"))
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.stderr.endswith("ModuleNotFoundError: No module named 'pandas'\n")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["evaluate", "--help"], ["info"]], ids=" ".join)
def test_what_needs_no_extra_runs_without(arguments):
    done = lean(*arguments)
    assert done.returncode == 0 and done.stdout and not done.stderr, done.stderr


def test_a_photograph_is_sent_without_extras(picture, tmp_path):
    arguments = ["transmit", str(picture), "--out", str(tmp_path), "--steps", "2", "--device", "cpu", "--json"]
    done = lean(*arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (row,) = document["results"]
    assert row["method"] == "jscgc" and list(row["metrics"]) == ["psnr"]
    assert all(Path(path).is_file() for path in document["files"].values())
    # The picture is the one that an environment with every extra receives.
    out = Path(document["files"]["jscgc"])
    before = out.read_bytes()
    subprocess.run([sys.executable, "-m", "jscgc.cli", *arguments], env=ENVIRONMENT, check=True, capture_output=True)
    assert out.read_bytes() == before


@pytest.mark.parametrize("command", NEEDS)
def test_a_missing_extra_is_one_line_that_names_it(command):
    done = lean(*command.split(), *ARGUMENTS.get(command, []))
    names = list(NEEDS[command])
    said = f"the extra {names[0]!r}" if len(names) == 1 else f"the extras {' and '.join(map(repr, names))}"
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == f"jscgc: {command} needs {said}: pip install 'jscgc[{','.join(names)}]'\n"


def test_a_report_of_an_evaluation_is_asked_for_before_it_starts(picture, tmp_path):
    done = lean(
        "evaluate", "--images", str(tmp_path), "--report", str(tmp_path / "report"), extras="pipeline"
    )  # fmt: skip
    assert done.stderr == "jscgc: evaluate --report needs the extra 'report': pip install 'jscgc[report]'\n"
    assert not (tmp_path / "report").exists()


def test_what_else_is_not_installed_is_one_line(picture, tmp_path):
    done = lean("transmit", str(picture), "--out", str(tmp_path), "--method", "hevc_capacity")
    assert done.returncode == 1 and "pip install 'jscgc[" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("what", NEEDS)
def test_a_need_is_met_by_its_extra(what):
    owners = metadata.packages_distributions()
    for extra, modules in NEEDS[what].items():
        direct = {plain(requirement.name) for requirement in asked(extra)}
        for module in modules:
            assert direct & set(map(plain, owners[module])), f"{module} is not in {extra}"


def test_all_is_every_extra_but_those_for_a_gpu_and_for_developers():
    extras = PROJECT["optional-dependencies"]
    (every,) = map(Requirement, extras["all"])
    assert every.extras == extras.keys() - {"all", "cuda", "dev"}


def test_the_pinned_environment_has_every_extra():
    """`make install` installs what is pinned and looks nothing up."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pinned = {plain(r.name): next(iter(r.specifier)).version for r in map(Requirement, lines)}
    for requirement in asked("all", "dev"):
        version = pinned[plain(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: {version} is pinned"


def test_the_help_takes_little_time():
    def spent() -> float:
        """Seconds of CPU of a process of its own."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "jscgc.cli", "--help"], env=ENVIRONMENT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(spent() for _ in range(3)) <= 0.2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_in_an_environment_of_its_own(picture, tmp_path):
    """Needs the package index, and minutes."""
    source, environment = tmp_path / "source", tmp_path / "venv"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "jscgc", source / "jscgc", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(environment, with_pip=True)

    def run(*command: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(environment / "bin" / command[0]), *command[1:]],
            env=clean,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("python", "-m", "pip", "install", "--quiet", str(source))
    run("python", "-m", "pip", "check")
    assert "transmit" in run("jscgc", "--help") and run("jscgc", "--version").startswith("jscgc ")
    methods = {row["name"]: row["missing"] for row in json.loads(run("jscgc", "info", "--json"))["methods"]}
    assert methods["jscgc"] is None
    document = json.loads(run("jscgc", "transmit", str(picture), "--device", "cpu", "--json"))
    assert all((tmp_path / path).is_file() for path in document["files"].values())
    shutil.rmtree(environment)  # gigabytes
