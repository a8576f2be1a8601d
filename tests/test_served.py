"""A registered model as MLflow loads and serves it: what arrives is what `jscgc transmit` saves, bit for bit, anywhere."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jscgc import tracking
from jscgc.cli import main
from jscgc.data.images import save_png
from jscgc.method import network
from jscgc.params import Params
from pipeline import cards

PROJECT = Path(__file__).parents[1]
METHODS = ["jscgc", "mambajscc_psnr", "deepjscc", "diffcom"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "a photo.png"
    rows, columns = np.mgrid[:40, :56]
    save_png(np.stack([rows * 6, columns * 4, (rows * columns) % 256], -1).astype(np.uint8), path)
    return path


@pytest.fixture(scope="module")
def root(models: Path, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a VAE and several methods registered, as stages do it."""
    root = tmp_path_factory.mktemp("a project")
    with tracking.stage_run("train", params={}, tags={"profile": "test"}, root=root) as run:
        for name in ("vae", *METHODS):
            vae = cards.vae_of(models / name)
            run.artifact(models / name, "models")
            run.model(models / name, {"vae_sha256": vae} if vae else {}, card=cards.card(models / name, params))
    return root


@pytest.fixture
def store(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"sqlite:///{root / '.jscgc' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def table(path: Path, **columns: Any) -> Any:
    import pandas

    row = {"photo": path.read_bytes(), "snr_db": 5.0, "cbr": "4/768", "name": path.name} | columns
    return pandas.DataFrame([row])


def transmitted(photo: Path, models: Path, method: str, out: Path, *more: str) -> bytes:
    """The file that the command line saves."""
    arguments = [str(photo), "--models", str(models), "--method", method, "--cbr", "4/768", "--out", str(out), *more]
    main(["transmit", *arguments])
    (saved,) = (path for path in out.glob(f"*_{method}.png"))
    return saved.read_bytes()


def downloaded(method: str, to: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=f"models:/jscgc.test.{method}/1", dst_path=str(to)))


@pytest.mark.parametrize("method", METHODS)
def test_what_mlflow_receives_is_what_the_command_line_saves(
    store: str, models: Path, photo: Path, tmp_path: Path, method: str
) -> None:
    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/jscgc.test.{method}/1")
    answer = model.predict(table(photo))
    assert answer["received"][0] == transmitted(photo, models, method, tmp_path / "a")
    assert answer["cbr"][0] >= 4 / 768
    other = {"seed": 3, "channel": "rayleigh_block"}
    more = ("--seed", "3", "--channel", "rayleigh_block")
    assert model.predict(table(photo), params=other)["received"][0] == transmitted(
        photo, models, method, tmp_path / "b", *more
    )


def test_a_download_works_alone(
    store: str, models: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the registry, the project or any other model; the command line takes it, too."""
    import mlflow

    got = downloaded("jscgc", tmp_path / "elsewhere" / "jscgc")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    received = mlflow.pyfunc.load_model(str(got)).predict(table(photo))["received"][0]
    assert received == transmitted(photo, models, "jscgc", tmp_path / "a")
    assert received == transmitted(photo, tmp_path / "elsewhere", "jscgc", tmp_path / "b")
    from jscgc.evaluation.identity import weights_digest

    assert weights_digest(tmp_path / "elsewhere" / "jscgc", "jscgc")
    assert not [path for path in got.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_a_vae_lies_once_on_this_disk(root: Path, store: str) -> None:
    from mlflow import MlflowClient

    (run,) = {v.run_id for v in MlflowClient().search_model_versions("name = 'jscgc.test.jscgc'")}
    artifacts = root / ".jscgc" / "mlartifacts" / run / "artifacts" / "models"
    copies = sorted(artifacts.rglob("vae/weights.safetensors"))
    assert [path.relative_to(artifacts).parts[0] for path in copies] == ["diffcom", "jscgc", "mambajscc_psnr", "vae"]
    assert len({path.stat().st_ino for path in copies}) == 1


@pytest.mark.parametrize(
    ("columns", "settings", "said"),
    [
        ({"cbr": "7/768"}, {}, "7/768"),
        ({"photo": b"no photograph"}, {}, "a photo.png: not an image"),
        ({"snr_db": float("inf")}, {}, "snr_db"),
        ({}, {"channel": "no_such"}, "no_such"),
    ],
)
def test_what_cannot_be_sent_is_one_line(
    store: str, photo: Path, columns: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    model = mlflow.pyfunc.load_model("models:/jscgc.test.deepjscc/1")
    with pytest.raises(MlflowException, match="row 0: ") as error:
        model.predict(table(photo, **columns), params=settings)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_photographs_name_is_no_must_and_the_example_is_one(store: str) -> None:
    import mlflow

    uri = "models:/jscgc.test.mambajscc_psnr/1"
    model = mlflow.pyfunc.load_model(uri)
    names = [column.name for column in model.metadata.signature.inputs]
    assert names == ["photo", "snr_db", "cbr", "name"]
    assert model.predict(model.input_example)["received"][0].startswith(b"\x89PNG")


def test_what_sends_nothing_has_nothing_to_call(store: str) -> None:
    from mlflow import MlflowClient

    (version,) = MlflowClient().search_model_versions("name = 'jscgc.test.vae'")
    names = {Path(file.path).name for file in MlflowClient().list_artifacts(version.run_id, "models/vae")}
    assert names == {"model.json", "weights.safetensors"}


def test_a_version_from_before_can_be_called_after_its_next_evaluation(
    root: Path, store: str, models: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    folder = shutil.copytree(models / "swinjscc", tmp_path / "swinjscc")
    with tracking.stage_run("train_swinjscc", params={}, tags={"profile": "test"}, root=root) as run:
        run.artifact(folder, "models")
        run.model(folder)
    with tracking.stage_run("evaluate", params={}, tags={"profile": "test"}, root=root) as run:
        run.model(folder, card=cards.card(folder, params))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert mlflow.pyfunc.load_model("models:/jscgc.test.swinjscc/1").metadata.signature is not None


@pytest.mark.slow
def test_models_serve_answers(store: str, models: Path, photo: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/jscgc.test.jscgc/1"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts `uvicorn` by its name
    )
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not answers(f"http://127.0.0.1:{port}/ping"):
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.3)
        row = [base64.b64encode(photo.read_bytes()).decode(), 5.0, "4/768", photo.name]
        question = {
            "dataframe_split": {"columns": ["photo", "snr_db", "cbr", "name"], "data": [row]},
            "params": {"seed": 3},
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            (received,) = json.load(answer)["predictions"]
        assert base64.b64decode(received["received"]).startswith(b"\x89PNG")
        command_line = [sys.executable, "-m", "jscgc.cli", "transmit", str(photo), "--models", str(models)]
        command_line += ["--cbr", "4/768", "--seed", "3", "--out", str(tmp_path / "out")]
        subprocess.run(command_line, check=True, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
        (saved,) = (tmp_path / "out").glob("*_jscgc.png")
        assert base64.b64decode(received["received"]) == saved.read_bytes()
        row[2] = "7/768"
        request.data = json.dumps(question).encode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == 400 and "7/768" in json.load(refused.value)["message"]
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("name", ["vae", "flow", *METHODS])
def test_a_card_says_what_it_is_and_how_it_is_called(models: Path, params: Params, name: str) -> None:
    card = cards.card(models / name, params)
    assert len(card.text) < 5000 and "profile `test`" in card.text and "million parameters" in card.text
    if name == "vae" or name == "flow":
        assert not card.cbr and "nothing to call" in card.text
    else:
        assert network(name).about in card.text and f"models:/jscgc.test.{name}@best" in card.text
        assert "evidence" in card.text or "blurred" in card.text
        assert [path.name for path in card.companions] == ([] if network(name).pixels else ["vae"])
    assert "vae.channels" in card.settings or "vae" in card.settings or name == "deepjscc"
