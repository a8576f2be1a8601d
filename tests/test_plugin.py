"""Another distribution's methods, channel and metric (tests/plugin), installed and used without an edit of ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from torch.nn.functional import interpolate

import jscgc
from jscgc.channel.channels import get_channel
from jscgc.channel.spec import KINDS, canonical, label
from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare
from jscgc.errors import CannotOperate
from jscgc.evaluation import identity
from jscgc.flow.params import SampleParams
from jscgc.method import METHODS
from jscgc.metrics import pair_metric
from jscgc.metrics.registry import METRICS
from jscgc.params import Params
from jscgc.systems import store
from jscgc.systems.base import Link
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit
from jscgc.training import make

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "tests" / "plugin"
TRAIN = {"steps": 6, "batch_size": 3, "checkpoint_every": 2, "log_every": 1}
BURST = "burst:probability=0.1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the distribution, as pip leaves it."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))  # pip builds in it
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    pip = [sys.executable, "-m", "pip", "install", *offline, "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trained method as a script of one file, under a name and label of its own, and with the look that is left."""
    path = tmp_path_factory.mktemp("script") / "my_method.py"
    text = (SOURCE / "jscgc_example" / "lapped.py").read_text(encoding="utf-8")
    text = re.sub(
        r"\n    look=.*", "", text.replace('"lapped"', '"mine"').replace("baselines.lapped", "baselines.mine")
    )
    path.write_text(text.replace("Lapped transform", "My transform"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    small = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    Image.fromarray(small).resize((140, 120), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this process, too, until the test ends."""
    registries = (METHODS, KINDS, METRICS)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    for registry in registries:
        registry.forget()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "jscgc_example"]:
        del sys.modules[name]
    monkeypatch.undo()
    for registry in registries:
        registry.forget()


@pytest.fixture
def own(installed: None, params: Params) -> Params:
    """Parameters that train the method."""
    baselines = {"lapped": {"train": TRAIN}}
    return Params.model_validate({**params.model_dump(mode="json"), "baselines": baselines})


def python(*arguments: str, cwd: Path, site: Path | None, **extra: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JSCGC_", "MLFLOW_", "RAY_", "DVC_", "PYTHON"))}
    path = os.pathsep.join(map(str, filter(None, (site, ROOT))))
    environment = {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **extra}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def command(*arguments: str, cwd: Path, site: Path | None, **extra: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "jscgc.cli", *arguments, cwd=cwd, site=site, **extra)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def named(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in entries}


def test_info_lists_what_is_installed_and_a_broken_entry_point_is_a_warning(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site" / "broken-1.0.dist-info"
    broken.mkdir(parents=True)
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[jscgc.methods]\nbad = no_such_module_of_ours:METHOD\n")
    both = os.pathsep.join(map(str, (site, broken.parent, ROOT)))
    done = command("info", "--json", cwd=tmp_path, site=None, PYTHONPATH=both)
    found = document(done)
    assert done.stderr.splitlines() == [
        "jscgc: method bad (no_such_module_of_ours:METHOD) can't be loaded: No module named 'no_such_module_of_ours'"
    ]
    methods = named(found["methods"])
    assert methods["repetition"]["missing"] is None and methods["lapped"]["missing"] == "not trained here"
    assert "probability=0.05 (0..1)" in named(found["channels"])["burst"]["options"]
    assert found["channel_options"]["strength_db"] == "noise of a burst over the other noise (dB)"
    assert named(found["metrics"])["mean_absolute_error"]["available"]


def test_the_repetition_code_is_sent_over_bursts_by_the_command(site: Path, photo: Path, tmp_path: Path) -> None:
    sent = ("transmit", str(photo), "--method", "repetition", "--channel", BURST, "--snr-db", "5", "--json")
    found = document(command(*sent, cwd=tmp_path, site=site))
    (row,) = found["results"]
    assert found["channel"] == BURST and (row["k"], row["overhead"]) == (8 * 8 * 9, 0)  # 120x140 are 8x9 positions
    assert row["metrics"]["mean_absolute_error"] > 0 and row["format"]["code_rate"] == pytest.approx(1 / 3)
    assert Image.open(tmp_path / found["files"]["repetition"]).size == (140, 120)


def test_a_script_is_a_plugin_of_one_run(script: Path, photo: Path, tmp_path: Path) -> None:
    found = document(command("--plugin", str(script), "info", "--json", cwd=tmp_path, site=None))
    assert named(found["methods"])["mine"]["missing"] == "not trained here"
    assert "lapped" not in named(found["methods"])
    untrained = command("transmit", str(photo), "--method", "mine", f"--plugin={script}", cwd=tmp_path, site=None)
    assert untrained.returncode == 1 and "mine: no trained model here" in untrained.stderr
    without = command("transmit", str(photo), "--method", "mine", cwd=tmp_path, site=None)
    assert without.returncode == 2 and "unknown method 'mine'" in without.stderr


def test_a_name_that_is_taken_is_one_line_with_both(site: Path, tmp_path: Path) -> None:
    shutil.copy(SOURCE / "jscgc_example" / "lapped.py", tmp_path / "copied.py")
    done = command("info", "--plugin", "copied.py", cwd=tmp_path, site=site)
    assert done.returncode == 1
    assert done.stderr == "jscgc: duplicate method 'lapped': declared by jscgc_example.lapped and by copied\n"


def test_what_is_sent_without_noise_is_the_reduced_photograph(installed: None) -> None:
    system = load_system("repetition")
    photo = torch.rand(3, 48, 80, generator=torch.Generator().manual_seed(0))
    link = Link("awgn", 40.0, 8)
    arrived = transmit(system, photo, link, sample=SampleParams(steps=1, guidance=1.0), seed=0)
    assert arrived.bandwidth.k == 8 * 3 * 5
    small = (interpolate(photo[None], (2, 3), mode="area") * 15).round() / 15  # 240 bits, three times: 6 pixels of 12
    assert torch.equal(arrived.photo, interpolate(small, (48, 80), mode="bilinear")[0].clamp(0, 1))
    with pytest.raises(CannotOperate, match="raise the CBR"):
        transmit(system, photo, Link("awgn", 40.0, 1), sample=SampleParams(steps=1, guidance=1.0), seed=0)


def test_bursts_have_their_power_and_are_the_same_for_every_receiver(installed: None) -> None:
    symbols = torch.ones(4, 1, 1, 50_000, dtype=torch.complex64)
    snr_db = torch.full((4,), 10.0)

    def over(text: str) -> Any:
        return get_channel(text)(symbols, snr_db, torch.Generator().manual_seed(0))

    seen, unseen = over("burst:probability=0.25"), over("burst:probability=0.25,bursts=unseen,snr=+3")
    assert torch.equal(seen.received, unseen.received) and not unseen.gain_var.any()
    assert (seen.received - symbols).abs().square().mean().item() == pytest.approx(0.1 * (1 + 0.25 * 100), rel=0.03)
    assert seen.gain_var.mean().item() == pytest.approx(0.1 * 0.25 * 100, rel=0.03)
    runs = seen.gain_var.reshape(4, -1, 8)
    assert torch.equal(runs, runs[..., :1].expand_as(runs))
    assert canonical("burst:strength_db=20,probability=0.10") == BURST
    assert label(BURST) == "Bursts of noise, 10% hit"


def test_the_metric_is_its_formula(installed: None) -> None:
    a = torch.zeros(2, 3, 4, 5)
    b = a.clone()
    b[1, :, 0, 0] = 1.0
    assert pair_metric("mean_absolute_error")(a, b).tolist() == pytest.approx([0.0, 255 / 20])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs") / "photos"
    prepare(DataParams(source="builtin", max_photos=2), 0, folder)
    return folder


def ignore(step: int, metrics: Any) -> None:
    pass


def test_the_method_is_trained_resumed_saved_and_loaded_bit_for_bit(own: Params, photos: Path, tmp_path: Path) -> None:
    inputs = {"photos": photos}
    whole = make.train("lapped", own, inputs, tmp_path / "whole", ignore).state_dict()
    make.train("lapped", own, inputs, tmp_path / "broken", ignore, until=3)
    net = make.train("lapped", own, inputs, tmp_path / "broken", ignore)
    assert same(net.state_dict(), whole)
    make.save("lapped", own, inputs, net, tmp_path / "models" / "lapped")
    found = store.load(tmp_path / "models" / "lapped")
    assert same(found.net.state_dict(), whole) and found.architecture.rates == sorted(own.link.rates)
    array = np.zeros((40, 70, 3), dtype=np.uint8)
    sent = jscgc.load("lapped", tmp_path / "models").transmit(array, snr_db=5, cbr="2/768", channel=BURST)
    assert sent.received.shape == array.shape and sent.reception.bandwidth.k == 2 * 3 * 5


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_model_whose_plugin_is_not_there_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "lapped"
    folder.mkdir()
    content = {"kind": "lapped", "rates": [2], "max_rate": 2, "network": {"window": 32}}
    latents = {"mean": [0.5] * 3, "std": [0.5] * 3, "factor": 1, "vae_sha256": ""}
    (folder / "model.json").write_text(json.dumps({"format": 2, "architecture": content, "latents": latents}))
    with pytest.raises(
        ValueError, match="no method 'lapped' here; if a plugin declares it, install that, or "
    ) as error:
        store.load(folder)
    assert "\n" not in str(error.value)


def test_an_edit_of_a_plugin_makes_other_jobs_of_those_that_use_it(installed: None, site: Path, tmp_path: Path) -> None:
    def digests() -> dict[tuple[str, str], str]:
        sample = SampleParams(steps=1, guidance=1.0)
        kinds = [("repetition", BURST), ("repetition", "awgn"), ("hevc_capacity", BURST), ("hevc_capacity", "awgn")]
        entries = {kind: identity.entries(*kind, ["psnr"], tmp_path / kind[0], sample) for kind in kinds}
        return {kind: identity.code_digest.__wrapped__(found) for kind, found in entries.items()}

    def changed(name: str, old: str, new: str) -> set[tuple[str, str]]:
        path = site / "jscgc_example" / name
        text, before = path.read_text(encoding="utf-8"), digests()
        assert old in text
        try:
            path.write_text(text.replace(old, new), encoding="utf-8")
            return {kind for kind, value in digests().items() if value != before[kind]}
        finally:
            path.write_text(text, encoding="utf-8")

    assert changed("repetition.py", "3, 4, 4", "5, 4, 4") == {("repetition", BURST), ("repetition", "awgn")}
    assert changed("repetition.py", "# what is left over", "# the rest") == set()
    assert changed("burst.py", "LENGTH = 8", "LENGTH = 4") == {("repetition", BURST), ("hevc_capacity", BURST)}
    assert changed("lapped.py", "600", "601") == set()


@pytest.fixture(scope="module")
def project(site: Path, script: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A checkout without git that trains the distribution's method and the script's, by `dvc repro` of their two stages."""
    root = tmp_path_factory.mktemp("clone") / "jscgc"
    for name in ("jscgc", "pipeline", ".dvc"):
        leave = shutil.ignore_patterns("__pycache__", "pretrained", "cache", "tmp")
        shutil.copytree(ROOT / name, root / name, ignore=leave)
    (root / "jscgc" / "pretrained").symlink_to(ROOT / "jscgc" / "pretrained")
    shutil.copy(ROOT / ".dvcignore", root)
    shutil.copy(script, root)
    kept = ROOT / ".jscgc" / "params.nano.yaml"
    yaml = YAML()
    content = yaml.load(kept if kept.exists() else ROOT / "params.yaml")
    content |= {"profile": "plugin", "init": "scratch", "plugins": [script.name]}
    content["data"]["test_max_side"] = 96
    content["link"] |= {"channels": ["awgn", BURST], "rates": [2, 8]}
    content["baselines"] = {name: {"train": TRAIN} for name in ("lapped", "mine")}
    content["evaluate"]["methods"] = ["lapped", "mine", "repetition"]
    yaml.dump(content, root / "params.yaml")
    (root / "config" / "dvc").mkdir(parents=True)
    (root / "config" / "dvc" / "config").write_text("[core]\n    no_scm = true\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        extra = {"DVC_GLOBAL_CONFIG_DIR": str(root / "config" / "dvc"), "PYTHONPATH": str(site)}
        return python(*arguments, cwd=root, site=None, **extra)

    made = run("-m", "pipeline.graph")
    assert made.returncode == 0, made.stderr
    done = run("-m", "dvc", "repro", "train_lapped", "train_mine")
    assert done.returncode == 0, done.stdout + done.stderr
    stages = [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")]
    assert sorted(stages) == ["prepare", "train_lapped", "train_mine"]
    run.root = root  # type: ignore[attr-defined]
    return run


@pytest.mark.pipeline
@pytest.mark.timeout(600)
def test_dvc_trains_again_what_a_plugin_s_edit_touches(project: Any, site: Path) -> None:
    graph = YAML(typ="safe").load(project.root / "dvc.yaml")["stages"]
    theirs = {name: str(site / "jscgc_example" / f"{name}.py") for name in ("lapped", "burst", "repetition")}
    deps = set(graph["train_lapped"]["deps"])
    assert {theirs["lapped"], theirs["burst"], "data/photos"} <= deps  # link.channels names the bursts
    assert theirs["repetition"] not in deps
    assert "my_method.py" in graph["train_mine"]["deps"] and theirs["lapped"] not in graph["train_mine"]["deps"]
    assert set(theirs.values()) <= set(graph["evaluate"]["deps"])
    assert all(Path(project.root / dep).exists() for dep in deps)
    path = Path(theirs["lapped"])
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text.replace("crop=64", "crop=48"), encoding="utf-8")
        status = document(project("-m", "dvc", "status", "--json", "train_lapped", "train_mine"))
    finally:
        path.write_text(text, encoding="utf-8")
    assert status == {"train_lapped": [{"changed deps": {str(path): "modified"}}]}
    assert document(project("-m", "dvc", "status", "--json", "train_lapped", "train_mine")) == {}


@pytest.mark.pipeline
@pytest.mark.timeout(600)
def test_the_report_shows_them_by_their_labels_and_looks(project: Any) -> None:
    grid = ("--channel", BURST, "--snr-db", "0", "10", "--cbr", "8/768", "--draws", "1", "--workers", "1")
    scored = ("--methods", "lapped", "mine", "repetition", "--metrics", "psnr", "mean_absolute_error")
    where = ("--images", "data/photos/test", "--report", "shown", "--plugin", "my_method.py")
    found = document(project("-m", "jscgc.cli", "evaluate", *where, *grid, *scored, "--json"))
    rows = [row for row in found["summary"] if row["metric"] == "mean_absolute_error"]
    assert {(row["method"], row["snr_db"]) for row in rows} == {
        (method, snr_db) for method in ("lapped", "mine", "repetition") for snr_db in (0.0, 10.0)
    }
    assert all(0 < row["mean"] < 128 and row["channel"] == BURST for row in rows)
    page = (project.root / "shown" / "index.html").read_text(encoding="utf-8")
    for text in (
        "Lapped transform",
        "My transform",
        "Repetition code",
        "Mean absolute error (levels)",
        "Bursts of noise, 10% hit",
    ):
        assert text in page
    for colour, marker in (("#1a93ad", "hexagon"), ("#7d8590", "triangle-right")):
        assert f'"marker": {{"color": "{colour}", "size": 8, "symbol": "{marker}"}}' in page


@pytest.mark.pipeline
@pytest.mark.timeout(600)
def test_a_sweep_searches_the_script_s_settings(project: Any) -> None:
    key = "baselines.mine.train.learning_rate"
    space = {
        "name": "rates",
        "system": "mine",
        "metric": "mean_absolute_error",
        "search": "random",
        "trials": 2,
        "asha": {"rungs": 1},
        "evaluate": {"channels": [BURST], "snr_db": [5], "rates": [8], "photos": 1},
        "space": {key: {"log_uniform": [0.001, 0.01]}},
    }
    (project.root / "space.yaml").write_text(json.dumps(space))
    done = project("-m", "jscgc.cli", "sweep", "space.yaml", "--json", "--workers", "1")
    found = document(done)
    assert found["trials"] == {"finished": 2} and 0.001 <= found["best"]["values"][key] <= 0.01
    # A codec on pixels needs no VAE, and none was trained on the way.
    assert [path.name.split("-")[0] for path in (project.root / ".jscgc/sweeps/rates/trained").iterdir()] == ["mine"]
