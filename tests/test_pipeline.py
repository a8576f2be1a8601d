"""The whole pipeline in its smoke profile, through the commands that a user types; then the command line on what it trained."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jscgc.evaluation.judges import HEADLINE
from jscgc.files import sha256
from jscgc.machine import cores

ROOT = Path(__file__).parents[1]
STAGES = [
    "prepare",
    "train_vae",
    "extract_latents",
    "pretrain_flow",
    "train_mambajscc_psnr",
    "train_diffjscc",
    "train_diffcom",
    "train_mambajscc_feature",
    "train_jscgc_one_step",
    "train_klt",
    "train_deepjscc",
    "train_jscgc",
    "train_jscgc_fast",
    "evaluate",
    "theory",
    "report",
]
OTHERS = ("diffcom", "deepjscc", "klt", "jscgc_one_step", "mambajscc_feature")
ALONE = {"train_deepjscc", "train_klt"}
"""Stages that depend on no VAE."""
UNTRAINED = {*ALONE, "theory"}
"""And those that depend on no training but the VAE's."""
pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(600)]


def environment() -> dict[str, str]:
    """Of a user: no variable of ours, the virtual environment on PATH."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JSCGC_", "MLFLOW_", "RAY_", "DVC_"))}
    return clean | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"}


def run(*command: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment() | extra, capture_output=True, text=True, check=False)


def python(*arguments: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, *arguments, cwd=cwd, **extra)


def jscgc(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "jscgc.cli", *arguments, cwd=cwd)


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh checkout without git history (as an exported archive), smoke profile selected and reproduced."""
    folder = tmp_path_factory.mktemp("clone") / "jscgc"
    leave = shutil.ignore_patterns(".venv", ".git", ".jscgc", "__pycache__", "tmp", "cache", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=leave)
    folders = ("photos", "latents", "models"), ("pictures", "curves", "metrics", "headline")
    for made in (*(f"data/{name}" for name in folders[0]), *(f"reports/{name}" for name in folders[1])):
        shutil.rmtree(folder / made, ignore_errors=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    made_files = ("results.csv", "protocol.json", "timing.json", "index.html", "grid.png", "summary.json")
    for made in (*made_files, "paired.csv", "bd_rate.csv", "by_snr.csv"):
        (folder / "reports" / made).unlink(missing_ok=True)
    chosen = python("-m", "pipeline.profile", "smoke", cwd=folder)
    assert chosen.returncode == 0, chosen.stderr
    done = python("-m", "pipeline.reproduce", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(ran(done.stdout)) == sorted(STAGES)
    assert cores() < 2 or "trained ahead meanwhile" in done.stderr
    assert "tracking:" not in done.stderr, done.stderr
    assert not list((folder / ".jscgc/runs").iterdir()) and not list((folder / ".jscgc/spool").iterdir())
    assert "PSNR" in done.stdout
    assert "index.html" in done.stdout
    assert "make dashboard" in done.stdout
    return folder


def test_again_runs_nothing_in_seconds(clone: Path) -> None:
    start = time.monotonic()
    again = python("-m", "pipeline.reproduce", cwd=clone)
    assert again.returncode == 0, again.stderr
    assert ran(again.stdout) == []
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("section", "key", "value", "affected"),
    [
        ("sample", "steps", 3, ["evaluate", "report"]),
        (
            "jscgc",
            "condition_dropout",
            0.2,
            ["train_diffjscc", "train_jscgc", "train_jscgc_fast", "train_jscgc_one_step", "evaluate", "report"],
        ),
        ("codec", "learning_rate", 5e-3, [s for s in STAGES[4:] if s not in UNTRAINED]),
        ("evaluate", "patch", 128, ["evaluate", "report"]),
        (
            "objective",
            "time_law",
            "logit_normal",
            ["pretrain_flow", *(s for s in STAGES[5:] if s not in {*UNTRAINED, "train_mambajscc_feature"})],
        ),
        ("vae", "kl_weight", 0.01, [s for s in STAGES[1:] if s not in ALONE]),
        ("baselines", "deepjscc", {"width": 8}, ["train_deepjscc", "evaluate", "report"]),
        ("few_step", "guidance", 2.0, ["train_jscgc_fast", "evaluate", "report"]),
        ("baselines", "diffcom", {"steps": 3}, ["train_diffcom", "evaluate", "report"]),
        ("baselines", "diffjscc", {"steps": 30}, ["train_diffjscc", "evaluate", "report"]),
        ("latents", "crops", 65, [s for s in STAGES[2:] if s not in ALONE]),
        ("evaluate", "workers", 1, []),
        ("evaluate", "store", "", []),
        ("tracking", "checkpoints", 3, []),
    ],
)
def test_one_parameter_reruns_only_what_depends_on_it(
    clone: Path, section: str, key: str, value: object, affected: list[str]
) -> None:
    path = clone / "params.yaml"
    before = path.read_text()
    from ruamel.yaml import YAML

    yaml = YAML()
    content = yaml.load(before)
    assert content[section][key] != value
    content[section][key] = value
    try:
        with path.open("w") as file:
            yaml.dump(content, file)
        dry = python("-m", "dvc", "repro", "--dry", cwd=clone, DVC_GLOBAL_CONFIG_DIR=str(no_scm(clone)))
    finally:
        path.write_text(before)
    assert dry.returncode == 0, dry.stderr
    # A dry run names the stages whose own inputs changed; what comes after them follows from the graph.
    found = set(ran(dry.stdout))
    graph = edges(clone)
    while more := {after for before, after in graph if before in found} - found:
        found |= more
    assert sorted(found) == sorted(affected)


READS = """
import json, sys, tempfile
from pathlib import Path
from jscgc import stages
from jscgc.config import Section
from jscgc.params import load_params
from jscgc.training import make
from pipeline import runs

params, seen, plain = load_params().settled(), set(), Section.__getattribute__

def noting(self, name):
    if not name.startswith("_") and name in type(self).model_fields:
        seen.add((id(self), name))
    return plain(self, name)

def leaves(section, before=""):
    for name in type(section).model_fields:
        value = plain(section, name)
        inner = value.items() if isinstance(value, dict) else ()
        if isinstance(value, Section):
            yield from leaves(value, f"{before}{name}.")
        elif inner:
            for key, one in inner:
                yield from leaves(one, f"{before}{name}.{key}.")
        else:
            yield f"{before}{name}", (id(section), name)

for result in ("vae", "latents", *params.trained):
    seen.clear()
    Section.__getattribute__ = noting
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make.make(result, params, runs.inputs_of(result), place / "run", lambda step, metrics: None, place / "out")
    Section.__getattribute__ = plain
    keys = {key for one in (*stages.before(result), result) for key in stages.stage(one).keys} | {"device"}
    read = [leaf for leaf, place in leaves(params) if place in seen]
    print(json.dumps([result, [leaf for leaf in read if not any(f"{leaf}.".startswith(f"{key}.") for key in keys)]]))
"""
HARMLESS = {"distributed.strategy", "link.rates"}
"""Any number of workers computes the same. The rates stand in model.json of the prior, which has none of its own."""


@pytest.mark.slow
def test_every_training_declares_the_parameters_that_it_reads(clone: Path) -> None:
    """Of its own stage, or of one before it, which changes its inputs."""
    done = python("-c", READS, cwd=clone)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(STAGES) - 4
    for result, undeclared in rows:
        assert set(undeclared) <= (HARMLESS if result == "flow" else {"distributed.strategy"}), result


def edges(folder: Path) -> set[tuple[str, str]]:
    """(stage, a stage that depends on it), as DVC sees the pipeline."""
    dag = python("-m", "dvc", "dag", "--dot", cwd=folder, DVC_GLOBAL_CONFIG_DIR=str(no_scm(folder)))
    assert dag.returncode == 0, dag.stderr
    found = set(re.findall(r'"([^"]+)" -> "([^"]+)"', dag.stdout))
    assert ("evaluate", "report") in found
    return found


def no_scm(folder: Path) -> Path:
    """A DVC configuration for a tree without git."""
    place = folder / ".jscgc" / "no_scm"
    place.mkdir(exist_ok=True, parents=True)
    (place / "config").write_text("[core]\n    no_scm = true\n")
    return place


def test_results_contract(clone: Path) -> None:
    table = pd.read_csv(clone / "reports/results.csv")
    columns = ["method", "training", "channel", "snr_db", "cbr", "steps", "seed", "set", "image", "metric", "value"]
    assert list(table.columns) == [*columns, "protocol"]
    protocol = json.loads((clone / "reports/protocol.json").read_text())
    assert set(table["protocol"]) == {protocol["hash"]} and len(protocol["images"]) == 3
    assert set(table["method"]) == {
        "jscgc",
        "jscgc_fast",
        "mambajscc_psnr",
        "diffjscc",
        *OTHERS,
        "hevc_capacity",
        "hevc_ldpc",
        "jscgc_wrong_symbols",
        "jscgc_unconditional",
        "jscgc_mean_of_1",
        "jscgc_mean_of_2",
        "jscgc_reference",
    }
    assert table["value"].notna().all()
    grid = table[~table["method"].str.contains("jscgc_(?:wrong|uncond|mean|ref)")]
    assert set(grid["snr_db"]) == {0.0, 10.0}
    assert set(grid["channel"]) == {"awgn", "rayleigh_fast"}
    conditions = grid.groupby(["method", "channel", "snr_db", "cbr", "seed"])
    assert len(conditions) == 11 * 2 * 2 * 2
    photos = {"chelsea", "coffee", "rocket"}
    for (method, *_), part in conditions:
        stuck = set(part[(part["metric"] == "cannot_operate") & (part["value"] == 1)]["image"])
        assert not stuck or method.startswith("hevc")
        assert set(part["image"]) == photos | (set() if stuck else {"*"} | {f"*-{photo}" for photo in photos})
    assert not table.duplicated(["method", "channel", "snr_db", "cbr", "steps", "seed", "image", "metric"]).any()
    assert (table[table["method"] == "mambajscc_psnr"]["steps"] == 0).all()
    summary = json.loads((clone / "reports/summary.json").read_text())
    psnr = [r for r in summary["rows"] if r["metric"] == "psnr" and r["method"] == "jscgc"]
    assert len(psnr) == 4
    assert all(r["low"] <= r["mean"] <= r["high"] for r in psnr)
    assert len(pd.read_csv(clone / "reports/paired.csv")) == len(summary["paired"]) > 0
    assert set(pd.read_csv(clone / "reports/bd_rate.csv")["reason"]) == {"too few rates"}
    page = (clone / "reports/index.html").read_text()
    assert "jscgc" in page.lower()
    assert "<script src" not in page
    assert Image.open(clone / "reports/grid.png").size[0] > 300


def test_mlflow_has_one_parent_with_a_child_per_stage(clone: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{clone}/.jscgc/mlflow.db")
    experiment = client.get_experiment_by_name("jscgc")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    assert len(parents) == 1
    assert parents[0].data.tags["profile"] == "smoke"
    assert {c.data.tags["mlflow.parentRunId"] for c in children} == {parents[0].info.run_id}
    names = sorted(str(c.info.run_name) for c in children)
    assert names == sorted(STAGES)
    assert {c.info.status for c in children} == {"FINISHED"}
    flow = next(c for c in children if c.info.run_name == "pretrain_flow")
    assert len(client.get_metric_history(flow.info.run_id, "loss")) == 2
    assert [f.path for f in client.list_artifacts(flow.info.run_id, "models/flow")] == [
        "models/flow/model.json",
        "models/flow/weights.safetensors",
    ]
    kept = {f.path for f in client.list_artifacts(flow.info.run_id)}
    assert kept == {"checkpoints", "models", "pretrain_flow.csv", "pretrain_flow.json"}


def test_the_best_model_comes_back_from_the_registry(clone: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    from jscgc.systems import store

    address = f"sqlite:///{clone}/.jscgc/mlflow.db"
    client = MlflowClient(address, registry_uri=address)
    trained = {path.name for path in (clone / "data/models").iterdir() if path.is_dir()}
    assert {model.name for model in client.search_registered_models()} == {f"jscgc.smoke.{name}" for name in trained}
    protocol = json.loads((clone / "reports/protocol.json").read_text())["hash"]
    ranked = {"jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc", *OTHERS}
    for name in trained:
        (version,) = client.search_model_versions(f"name = 'jscgc.smoke.{name}'")
        assert version.tags["sha256"] == sha256(clone / "data/models" / name)
        assert str(version.description).startswith("The first; commit ")
        aliases = client.get_registered_model(f"jscgc.smoke.{name}").aliases
        assert set(aliases) == ({"best", f"best-{protocol}"} if name in ranked else set())
    got = tmp_path / "jscgc"
    uri = ("--artifact-uri", "models:/jscgc.smoke.jscgc@best", "-d", str(got))
    done = python("-m", "mlflow", "artifacts", "download", *uri, cwd=clone, MLFLOW_TRACKING_URI=address)
    assert done.returncode == 0, done.stderr
    for file in ("model.json", "weights.safetensors", "vae/model.json", "vae/weights.safetensors"):
        beside = clone / "data/models" / (file if file.startswith("vae") else f"jscgc/{file}")
        assert sha256(got / file) == sha256(beside), file
    assert store.load(got).architecture.kind == "jscgc" and (got / "MLmodel").exists()
    about = client.get_registered_model("jscgc.smoke.jscgc").description
    assert about and about.startswith("**JSCGC**") and "models:/jscgc.smoke.jscgc@best" in about
    version = client.get_model_version_by_alias("jscgc.smoke.jscgc", "best")
    assert version.tags["vae"] == "models:/jscgc.smoke.vae/1"
    assert version.tags["vae_sha256"] == sha256(clone / "data/models/vae")


def test_the_reproduction_has_its_headline_beside_its_parameters(clone: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{clone}/.jscgc/mlflow.db")
    experiment = client.get_experiment_by_name("jscgc")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`jscgc.reproduction` != ''")
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert float(parent.data.params["jscgc.train.learning_rate"]) == 0.0015
    for path in (clone / "reports/headline/awgn_10dB_8_768").iterdir():
        for metric, value in json.loads(path.read_text()).items():
            assert parent.data.metrics[f"{metric}/{path.stem}/awgn/8_768/10dB"] == value


def test_dvc_shows_few_metrics_and_all_curves(clone: Path) -> None:
    quiet = {"DVC_GLOBAL_CONFIG_DIR": str(no_scm(clone))}
    shown = python("-m", "dvc", "metrics", "show", "--json", cwd=clone, **quiet)
    assert shown.returncode == 0, shown.stderr
    (files,) = (revision["data"] for revision in json.loads(shown.stdout).values())
    separation = {"hevc_capacity", "hevc_ldpc"}
    assert {Path(path).stem for path in files} == {
        *("jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc", *OTHERS),
        *separation,
    }
    assert all(set(f["data"]) == {*HEADLINE, "feature_distance_efficientnet_lite0"} for f in files.values())
    table = pd.read_csv(clone / "reports/results.csv")
    here = table[(table["method"] == "jscgc") & (table["channel"] == "awgn") & (table["snr_db"] == 10)]
    found = files["reports/headline/awgn_10dB_8_768/jscgc.json"]["data"]["psnr"]
    assert found == pytest.approx(here[here["metric"] == "psnr"]["value"].mean())
    drawn = python("-m", "dvc", "plots", "show", "--json", "--split", cwd=clone, **quiet)
    assert drawn.returncode == 0, drawn.stderr
    plots = [plot for group in json.loads(drawn.stdout)["data"].values() for plot in group]
    titles = [plot["anchor_definitions"]["<DVC_METRIC_TITLE>"] for plot in plots]
    assert sorted(title.split(":")[0] for title in titles) == ["Results"] * len(HEADLINE) + ["Training"] * 8
    for plot in plots:
        points = plot["anchor_definitions"]["<DVC_METRIC_DATA>"]
        assert points
        if "Results" in plot["anchor_definitions"]["<DVC_METRIC_TITLE>"]:
            assert {(p["channel"], p["method"]) for p in points} >= {("awgn", "jscgc"), ("rayleigh_fast", "diffjscc")}


def test_evaluation_is_identical_with_another_number_of_workers(clone: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from jscgc.params import load_params; from jscgc.data.prepared import split_files;"
        "from jscgc.evaluation.run import evaluate; p = load_params();"
        "e = p.evaluate.model_copy(update={'workers': 1});"
        "evaluate(Path('data/models'), split_files(Path('data/photos'), 'test'), e, p.sample, seed=p.seed, device='cpu',"
        f" out=Path({str(tmp_path / 'again.csv')!r}), controls=True)"
    )
    again = python("-c", code, cwd=clone)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.csv").read_bytes() == (clone / "reports/results.csv").read_bytes()


TRAININGS = {
    "train_vae": ("vae", "train vae"),
    "pretrain_flow": ("flow", "train flow"),
    **{
        f"train_{name}": (name, f"train {name}")
        for name in ("mambajscc_psnr", "diffjscc", "mambajscc_feature", "deepjscc", "jscgc", "jscgc_fast")
    },
}
"""Name of a training's checkpoints -> its model, its module and argument."""


def started(folder: Path, name: str) -> subprocess.Popen[str]:
    """A training stage at work, with a checkpoint written."""
    command = [sys.executable, "-m", *f"pipeline.{TRAININGS[name][1]}".split()]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(folder.glob(f".jscgc/runs/{name}-*/step-*.safetensors")):
        assert time.monotonic() < deadline
        assert process.poll() is None, f"ended before it could be killed: {process.communicate()[1]}"
        time.sleep(0.01)
    return process


EVERY_TIME = ("train_vae", "train_mambajscc_psnr", "train_jscgc")
"""The others take the same path through the same loop and, together, minutes."""


@pytest.mark.parametrize(
    "name", [name if name in EVERY_TIME else pytest.param(name, marks=pytest.mark.slow) for name in TRAININGS]
)
def test_killed_training_goes_on_and_ends_bitwise_the_same(clone: Path, tmp_path: Path, name: str) -> None:
    folder, (model, command) = tmp_path / "killed", TRAININGS[name]
    shutil.copytree(clone, folder, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    weights = folder / "data/models" / model / "weights.safetensors"
    curve = folder / f"reports/curves/{name}.csv"
    expected, steps = weights.read_bytes(), pd.read_csv(curve)["step"].tolist()
    for longest in (0.3, 0.1, 0.03, 0.0):  # some of smoke's trainings are over that soon
        shutil.rmtree(weights.parent)
        process = started(folder, name)
        time.sleep(random.uniform(0, longest))  # at some step, or while a checkpoint is written
        process.kill()
        process.communicate()
        if not weights.exists():
            break
    assert process.returncode == -signal.SIGKILL and not weights.exists()
    resumed = python("-m", *f"pipeline.{command}".split(), cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on from step" in resumed.stderr
    assert weights.read_bytes() == expected
    assert pd.read_csv(curve)["step"].tolist() == steps
    assert not list(folder.glob(".jscgc/runs/*"))


def test_a_stage_goes_on_after_a_training_ahead_of_it_and_ends_bitwise_as_in_one_go(
    clone: Path, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    folder = tmp_path / "ahead"
    shutil.copytree(clone, folder, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    weights, metrics = folder / "data/models/jscgc/weights.safetensors", folder / "reports/metrics/train_jscgc.json"
    expected, precision = weights.read_bytes(), json.loads(metrics.read_text())["precision"]
    steps = pd.read_csv(folder / "reports/curves/train_jscgc.csv")["step"].tolist()
    shutil.rmtree(weights.parent)
    same = {"JSCGC_REPRODUCTION": "both"}
    command = [sys.executable, "-m", "pipeline.ahead", "1", precision, "jscgc"]
    process = subprocess.Popen(command, cwd=folder, env=environment() | same, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (there := list(folder.glob(".jscgc/runs/train_jscgc-*/step-*.safetensors"))):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.terminate()
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0 and "Traceback" not in said, said
    assert not weights.exists() and not (there[0].parent / "ahead").exists(), "it was over before it could be stopped"
    assert (there[0].parent / "threads").read_text() == "1\n"
    resumed = python("-m", "pipeline.train", "jscgc", cwd=folder, **same, JSCGC_AHEAD="0")
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on from step" in resumed.stderr
    assert weights.read_bytes() == expected
    assert pd.read_csv(folder / "reports/curves/train_jscgc.csv")["step"].tolist() == steps
    scalars = json.loads(metrics.read_text())
    assert scalars["training_seconds"] > 0 and scalars["key"]
    client = MlflowClient(f"sqlite:///{folder}/.jscgc/mlflow.db")
    experiment = client.get_experiment_by_name("jscgc")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`jscgc.reproduction` = 'both'")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert run.info.run_name == "train_jscgc" and run.info.status == parent.info.status == "FINISHED"
    assert "jscgc.error" not in run.data.tags
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == steps


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_training_says_so_and_leaves_no_output(clone: Path, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "stopped"
    shutil.copytree(clone, folder, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    model = folder / "data/models/jscgc"
    shutil.rmtree(model)
    process = started(folder, "train_jscgc")
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "train_jscgc: interrupted; `dvc repro` goes on" in told and "Traceback" not in told
    assert not model.exists() and not list(folder.glob("data/models/.*.tmp"))
    assert list(folder.glob(".jscgc/runs/train_jscgc-*/step-*.safetensors"))


def test_a_second_dvc_repro_names_the_first_and_a_third_goes_on_where_it_was_killed(
    clone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "twice"
    shutil.copytree(clone, folder, symlinks=True)
    weights, quiet = folder / "data/models/jscgc/weights.safetensors", {"DVC_GLOBAL_CONFIG_DIR": str(no_scm(folder))}
    expected = weights.read_bytes()
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "--no-run-cache", "train_jscgc"]
    first = subprocess.Popen(command, cwd=folder, env=environment() | quiet, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob(".jscgc/runs/train_jscgc-*/step-*.safetensors")):
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGSTOP)  # smoke's training is over in a second
        second = run(*command, cwd=folder, **quiet)
        alone = python("-m", "pipeline.train", "jscgc", cwd=folder)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert second.returncode != 0 and str(first.pid) in second.stderr and "Traceback" not in second.stderr
    assert alone.returncode == 1 and "Traceback" not in alone.stderr and "is training here" in alone.stderr
    assert not weights.exists()
    third = run(*command, cwd=folder, **quiet)
    assert third.returncode == 0 and "goes on from step" in third.stderr, third.stdout + third.stderr
    assert weights.read_bytes() == expected


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my photo.jpg"
    x = np.linspace(0, 255, 70 * 101 * 3).reshape(70, 101, 3)
    Image.fromarray(x.astype(np.uint8)).save(path)
    return path


def test_transmit(clone: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "received"
    arguments = ["transmit", str(photo), "--snr-db", "-3", "--cbr", "8/768", "--steps", "2", "--out", str(out)]
    shown = jscgc(*arguments, "--method", "all", cwd=clone)
    assert shown.returncode == 0, shown.stderr
    assert "psnr" in shown.stdout
    document = jscgc(*arguments, "--json", cwd=clone)
    result = json.loads(document.stdout)
    row = result["results"][0]
    assert row["k"] == 8 * 5 * 7  # 70x101 pixels are 5x7 positions
    assert row["n"] == 3 * 70 * 101
    assert row["nfe"] == 4
    assert Image.open(result["files"]["jscgc"]).size == (101, 70)
    # Methods, and all side by side; and those of the second, which is another transmission.
    assert len(list(out.glob("*8-768_[!2]*.png"))) == 4 + len(OTHERS) + 1
    assert len(list(out.glob("*_2_*.png"))) == 2
    again = jscgc(*arguments, "--json", cwd=clone)
    assert json.loads(again.stdout)["results"][0]["metrics"] == row["metrics"]
    other = jscgc(*arguments, "--json", "--seed", "1", cwd=clone)
    assert json.loads(other.stdout)["results"][0]["metrics"] != row["metrics"]


def test_evaluate_a_folder(clone: Path, photo: Path, tmp_path: Path) -> None:
    (photo.parent / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "scores.csv"
    done = jscgc(
        *("evaluate", "--images", str(photo.parent), "--methods", "jscgc", "mambajscc_psnr", "--snr-db", "-5", "10"),
        *("--cbr", "8/768", "--steps", "2", "--out", str(out), "--json"),
        cwd=clone,
    )
    assert done.returncode == 0, done.stderr
    assert "broken.png" in done.stderr
    table = pd.read_csv(out)
    assert set(table["method"]) == {"jscgc", "mambajscc_psnr"}
    assert set(table["snr_db"]) == {-5.0, 10.0}
    assert json.loads(done.stdout)["photos"] == 1


def test_info(clone: Path) -> None:
    document = json.loads(jscgc("info", "--json", cwd=clone).stdout)
    assert {m["name"] for m in document["models"]} == {
        "vae",
        "flow",
        "jscgc",
        "jscgc_fast",
        "mambajscc_psnr",
        "diffjscc",
        *OTHERS,
    }
    assert all(entry["why"] for entry in document["scan_kernels"])
    scans = {m["name"]: m["scans"] for m in document["models"]}
    assert scans["flow"] is None and all(stage["implementation"] for stage in scans["jscgc"])
    assert next(m for m in document["metrics"] if m["name"] == "lpips_alex")["available"]
    assert "psnr" in jscgc("info", cwd=clone).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cbr", "3/768"], "8/768"),
        (["--cbr", "nonsense"], "8/768"),
        (["--channel", "awgm"], "awgn"),
        (["--method", "jscg"], "jscgc"),
        (["--snr-db", "nan"], "finite"),
        (["--snr-db", "1e9"], "100"),
        (["--steps", "0"], "from 1"),
        (["--guidance", "-1"], "negative"),
        (["--models", "nowhere"], "nowhere"),
        (["--device", "gpu"], "cpu"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(
    clone: Path, photo: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    out = tmp_path / "out"
    done = jscgc("transmit", str(photo), "--out", str(out), *arguments, cwd=clone)
    assert done.returncode in (1, 2)
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_missing_photo_is_named(clone: Path, tmp_path: Path) -> None:
    done = jscgc("transmit", str(tmp_path / "none.jpg"), cwd=clone)
    assert done.returncode == 1
    assert "none.jpg" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_pretrained_vae_is_passed_through(clone: Path, tmp_path: Path) -> None:
    """A tiny AutoencoderKL as diffusers saves it; the stage leaves every output that the pipeline declares."""
    from diffusers import AutoencoderKL
    from ruamel.yaml import YAML

    folder = tmp_path / "pretrained"
    shutil.copytree(clone, folder, symlinks=True)
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    vae = AutoencoderKL(**blocks, block_out_channels=[8] * 4, norm_num_groups=4, latent_channels=4, scaling_factor=0.5)
    vae.save_pretrained(tmp_path / "vae")
    yaml = YAML()
    content = yaml.load((folder / "params.yaml").read_text())
    content["vae"] |= {"source": "pretrained", "pretrained_path": str(tmp_path / "vae")}
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(content, file)
    environment = {"DVC_GLOBAL_CONFIG_DIR": str(no_scm(folder))}
    done = python("-m", "dvc", "repro", "extract_latents", cwd=folder, **environment)
    assert done.returncode == 0, done.stderr
    assert ran(done.stdout) == ["train_vae", "extract_latents"]
    assert (folder / "reports/curves/train_vae.csv").read_text() == "step\n"
    assert not (folder / "data/models/vae/weights.safetensors").exists()


def test_profiles_go_and_come_back(clone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    for name in ("pipeline", "jscgc"):
        shutil.copytree(clone / name, folder / name)
    shutil.copy(ROOT / "params.yaml", folder)
    if (ROOT / ".jscgc/params.nano.yaml").exists():
        shutil.copy(ROOT / ".jscgc/params.nano.yaml", folder / "params.yaml")
    mine = (folder / "params.yaml").read_text().replace("seed: 0", "seed: 7  # mine")
    (folder / "params.yaml").write_text(mine)
    assert python("-m", "pipeline.profile", "smoke", cwd=folder).returncode == 0
    smoke = (folder / "params.yaml").read_text()
    assert "profile: smoke" in smoke
    assert "seed: 7" in smoke
    assert python("-m", "pipeline.profile", "nano", cwd=folder).returncode == 0
    assert (folder / "params.yaml").read_text() == mine
    wrong = python("-m", "pipeline.profile", "smok", cwd=folder)
    assert wrong.returncode == 1
    assert "smoke" in wrong.stderr


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("seed: 0", "seed: -1"), "seed"),
        (("guidance: 1.5", "guidence: 1.5"), "sample.guidence"),
        (("time_law: uniform", "time_law: unifrm"), "objective.time_law"),
    ],
)
def test_wrong_params_end_a_stage_with_one_line(clone: Path, tmp_path: Path, edit: tuple[str, str], said: str) -> None:
    folder = tmp_path / "wrong"
    folder.mkdir()
    for name in ("pipeline", "jscgc"):
        shutil.copytree(clone / name, folder / name)
    text = (clone / "params.yaml").read_text()
    assert edit[0] in text
    (folder / "params.yaml").write_text(text.replace(*edit))
    done = python("-m", "pipeline.prepare", cwd=folder)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "data").exists()
