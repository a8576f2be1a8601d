"""Registered models: a version for each content, `best` by one protocol and one profile, and no outage loses or doubles any."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jscgc import files, tracking
from jscgc.tracking import delivery
from jscgc.tracking.registry import registered_name
from jscgc.tracking.spool import flat

DEAD_SERVER = "http://127.0.0.1:9"
DISTANCE = "feature_distance_efficientnet_lite0"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One project for all tests (a new database costs seconds); each test has a profile of its own."""
    return tmp_path_factory.mktemp("a project")


@pytest.fixture
def profile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JSCGC_REPRODUCTION", request.node.name)
    return re.sub(r"\W+", "-", request.node.name).strip("-")


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    address = f"sqlite:///{root / '.jscgc' / 'mlflow.db'}"
    return MlflowClient(address, registry_uri=address)


def versions(root: Path, profile: str, model: str = "jscgc") -> list[Any]:
    found = client(root).search_model_versions(f"name = '{registered_name(profile, model)}'")
    return sorted(found, key=lambda v: int(v.version))


def holder(root: Path, profile: str, alias: str = "best", model: str = "jscgc") -> int:
    return int(client(root).get_model_version_by_alias(registered_name(profile, model), alias).version)


def write(root: Path, content: str, model: str = "jscgc") -> Path:
    """A trained model with this content."""
    folder = root / "data" / "models" / model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text("{}")
    (folder / "weights.safetensors").write_text(content)
    return folder


def train(root: Path, profile: str, content: str, model: str = "jscgc", **tags: str) -> None:
    folder = write(root, content, model)
    with tracking.stage_run(f"train_{model}", params={}, tags={"profile": profile, "commit": "c"}, root=root) as run:
        run.artifact(folder, "models")
        run.model(folder, tags)


def evaluate(root: Path, profile: str, content: str, value: float, protocol: str = "p1") -> None:
    folder = write(root, content)
    with tracking.stage_run("evaluate", params={}, tags={"profile": profile}, root=root) as run:
        run.model(
            folder, score=tracking.Score(protocol, {DISTANCE: value, "psnr": 20.0}, ranked_by=DISTANCE, better="lower")
        )


def spools(root: Path) -> list[Path]:
    return list((root / ".jscgc" / "spool").glob("*.jsonl"))


def test_the_same_content_is_one_version(
    root: Path, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.artifacts import download_artifacts

    for content in ("first", "second", "first", "second"):
        train(root, profile, content)
    one, two = versions(root, profile)
    assert holder(root, profile, "latest") == 2
    assert one.tags["sha256"] != two.tags["sha256"] == files.sha256(root / "data" / "models" / "jscgc")
    assert two.tags["weights_sha256"] == files.sha256(root / "data" / "models" / "jscgc" / "weights.safetensors")
    assert (two.tags["profile"], two.tags["commit"]) == (profile, "c")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / '.jscgc' / 'mlflow.db'}")
    for version, content in ((one, "first"), (two, "second")):
        uri = f"models:/{registered_name(profile, 'jscgc')}/{version.version}"
        got = download_artifacts(artifact_uri=uri, dst_path=str(tmp_path / content))
        assert (Path(got) / "weights.safetensors").read_text() == content


def test_profiles_do_not_meet(root: Path, profile: str) -> None:
    for other, value in ((profile, 5.0), (f"{profile}-large", 1.0)):
        train(root, other, other)
        evaluate(root, other, other, value)
    assert len(versions(root, profile)) == len(versions(root, f"{profile}-large")) == 1
    assert holder(root, profile) == holder(root, f"{profile}-large") == 1
    assert versions(root, profile)[0].tags[DISTANCE] == "5"


def test_best_moves_only_to_a_better_one_of_the_same_protocol(root: Path, profile: str) -> None:
    for content in "abc":
        train(root, profile, content)
    expected = [("a", 5.0, 1), ("b", 6.0, 1), ("c", 5.0, 1), ("b", 4.0, 2), ("b", float("nan"), 2), ("b", 7.0, 1)]
    for content, value, best in expected:
        evaluate(root, profile, content, value)
        assert holder(root, profile) == holder(root, profile, "best-p1") == best, (content, value)
    evaluate(root, profile, "c", 9.0, protocol="p2")
    assert holder(root, profile) == holder(root, profile, "best-p2") == 3  # nothing else has a score by p2
    assert holder(root, profile, "best-p1") == 1
    evaluate(root, profile, "b", 9.5, protocol="p2")
    assert holder(root, profile) == 3
    last = versions(root, profile)[1].tags
    assert (last["protocol"], last[DISTANCE], last["psnr"]) == ("p2", "9.5", "20")
    assert (last[f"p1/{DISTANCE}"], last[f"p2/{DISTANCE}"]) == ("7.0", "9.5")
    about = client(root).get_registered_model(registered_name(profile, "jscgc")).tags
    assert about["best_by"] == f"p2/{DISTANCE}, lower is better"


def test_higher_can_be_better(root: Path, profile: str) -> None:
    for content, value in (("a", 20.0), ("b", 21.0), ("c", 19.0)):
        train(root, profile, content)
        with tracking.stage_run("evaluate", params={}, tags={"profile": profile}, root=root) as run:
            score = tracking.Score("p", {"psnr": value}, ranked_by="psnr", better="higher")
            run.model(root / "data" / "models" / "jscgc", score=score)
    assert holder(root, profile) == 2


def test_an_evaluated_model_that_was_trained_elsewhere_is_registered(root: Path, profile: str) -> None:
    train(root, profile, "of a vae", model="vae")
    with tracking.stage_run("evaluate", params={}, tags={"profile": profile}, root=root) as run:
        score = tracking.Score("p", {"psnr": 20.0}, ranked_by="psnr", better="higher")
        vae = files.sha256(root / "data" / "models" / "vae")
        run.model(write(root, "pulled"), {"vae_sha256": vae}, score)
    (version,) = versions(root, profile)
    assert holder(root, profile) == 1
    assert version.tags["vae"] == f"models:/{registered_name(profile, 'vae')}/1"
    paths = [file.path for file in client(root).list_artifacts(version.run_id, "models/jscgc")]
    assert paths == ["models/jscgc/model.json", "models/jscgc/weights.safetensors"]


def test_a_failed_stage_registers_nothing(root: Path, profile: str) -> None:
    folder = write(root, "half trained")
    with (
        pytest.raises(ValueError),
        tracking.stage_run("train", params={}, tags={"profile": profile}, root=root) as run,
    ):
        run.model(folder)
        raise ValueError
    assert versions(root, profile) == []


def test_an_outage_loses_and_doubles_nothing(root: Path, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    train(root, profile, "offline")
    evaluate(root, profile, "offline", 3.0)
    assert len(spools(root)) == 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.replay(root) == 2
    assert tracking.replay(root) == 0
    (version,) = versions(root, profile)
    assert version.tags[DISTANCE] == "3"
    assert holder(root, profile) == 1


@pytest.mark.parametrize("call", range(1, 4))
def test_registering_that_breaks_anywhere_is_resumed(
    root: Path, profile: str, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls = iter(range(1, 100))

    def breaks(path: Path, content: Any) -> None:
        if next(calls) == call:
            raise OSError("disk full")
        files.write_json(path, content)

    profile = f"{profile}-{call}"
    monkeypatch.setattr(delivery, "write_json", breaks)
    train(root, profile, "broken")
    assert len(spools(root)) == 1
    evaluate(root, profile, "broken", 3.0)
    assert spools(root) == []
    assert len(versions(root, profile)) == 1
    assert holder(root, profile) == 1


def test_a_registry_that_dies_in_the_middle_is_made_up_for(
    root: Path, profile: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each request fails once, after the server has obeyed it."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    requests = (
        "create_registered_model",
        "create_model_version",
        "set_model_version_tag",
        "set_registered_model_alias",
    )
    for name in requests:
        obeyed = getattr(MlflowClient, name)

        def dies(self: Any, *arguments: Any, obeyed: Any = obeyed, name: str = name, **more: Any) -> Any:
            obeyed(self, *arguments, **more)
            monkeypatch.setattr(MlflowClient, name, obeyed)
            raise MlflowException("connection lost")

        monkeypatch.setattr(MlflowClient, name, dies)
    evaluate(root, profile, "unlucky", 3.0)
    for left in range(len(requests), 0, -1):
        assert capfd.readouterr().err.count("registered by a later stage") == 1
        assert len(spools(root)) == 1, left
        tracking.replay(root)
    assert spools(root) == []
    (version,) = versions(root, profile)
    assert version.tags[DISTANCE] == "3"
    assert holder(root, profile) == 1


def test_a_request_that_a_slow_server_obeyed_twice_leaves_one_version(root: Path, profile: str) -> None:
    train(root, profile, "twice")
    (first,) = versions(root, profile)
    client(root).create_model_version(first.name, first.source, first.run_id, tags=first.tags)
    evaluate(root, profile, "twice", 3.0)
    assert [v.version for v in versions(root, profile)] == [first.version]


def test_a_model_that_another_run_rewrote_arrives_as_it_was(
    root: Path, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    train(root, profile, "mine")
    expected = files.sha256(root / "data/models/jscgc")
    write(root, "of another run")
    assert files.sha256(root / "data/models/jscgc") != expected
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.replay(root) == 1
    (version,) = versions(root, profile)
    assert version.tags["sha256"] == expected


def delete_run(root: Path, version: Any, *, purge: bool) -> None:
    """As a user does it in MLflow, and `mlflow gc` after it."""
    client(root).delete_run(version.run_id)
    if purge:
        address = f"sqlite:///{root / '.jscgc' / 'mlflow.db'}"
        command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", address, "--run-ids", version.run_id]
        subprocess.run(command, check=True, env=os.environ | {"MLFLOW_TRACKING_URI": address}, capture_output=True)


def loadable(profile: str) -> str:
    """The weights that `best` leads to; they can be had."""
    from mlflow.artifacts import download_artifacts

    got = download_artifacts(artifact_uri=f"models:/{registered_name(profile, 'jscgc')}@best")
    return (Path(got) / "weights.safetensors").read_text()


@pytest.fixture
def three(root: Path, profile: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Versions a, b, c, of which b is the best, then a."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / '.jscgc' / 'mlflow.db'}")
    for content, value in (("a", 5.0), ("b", 4.0), ("c", 6.0)):
        train(root, profile, content)
        evaluate(root, profile, content, value)
    assert holder(root, profile) == 2
    return versions(root, profile)


@pytest.mark.parametrize("purge", [True, False], ids=["purged", "in the bin"])
def test_what_is_gone_and_trained_again_has_a_source_that_exists(
    root: Path, profile: str, three: list[Any], capfd: pytest.CaptureFixture[str], purge: bool
) -> None:
    from mlflow.exceptions import MlflowException

    client(root).set_registered_model_alias(registered_name(profile, "jscgc"), "mine", "2")
    delete_run(root, three[1], purge=purge)
    if purge:
        with pytest.raises(MlflowException):
            loadable(profile)
    train(root, profile, "b")
    assert [int(version.version) for version in versions(root, profile)] == [1, 3, 4]
    assert {holder(root, profile, alias) for alias in ("best", "best-p1", "mine")} == {4}
    assert loadable(profile) == "b"
    new = versions(root, profile)[-1]
    assert client(root).get_run(new.run_id).info.lifecycle_stage == "active"
    assert (new.tags[f"p1/{DISTANCE}"], new.tags["protocol"]) == ("4.0", "p1")
    assert capfd.readouterr().err.count("it is version 4 now") == 1


@pytest.mark.parametrize("how", ["purged", "in the bin", "files removed"])
def test_best_leaves_what_is_gone_for_the_best_that_is_there(
    root: Path, profile: str, three: list[Any], capfd: pytest.CaptureFixture[str], how: str
) -> None:
    if how == "files removed":
        shutil.rmtree(root / ".jscgc" / "mlartifacts" / three[1].run_id)
    else:
        delete_run(root, three[1], purge=how == "purged")
    train(root, profile, "d")
    assert holder(root, profile) == holder(root, profile, "best-p1") == 1
    assert loadable(profile) == "a"
    assert "gone" in versions(root, profile)[1].tags
    said = capfd.readouterr().err
    assert said.count("version 2, which is gone; it is version 1 now") == 2 and said.count("jscgc 2: its run") == 1
    train(root, profile, "e")
    assert capfd.readouterr().err.count("gone") == 0  # once
    evaluate(root, profile, "e", 4.5)
    assert holder(root, profile) == 5
    if how == "in the bin":
        client(root).restore_run(three[1].run_id)
        evaluate(root, profile, "d", 9.0)
        assert holder(root, profile) == 2 and "gone" not in versions(root, profile)[1].tags


def test_nothing_is_best_where_nothing_is_left(
    root: Path, profile: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train(root, profile, "a")
    evaluate(root, profile, "a", 5.0)
    delete_run(root, versions(root, profile)[0], purge=False)
    train(root, profile, "b")
    assert client(root).get_registered_model(registered_name(profile, "jscgc")).aliases == {}
    assert "it is no version now" in capfd.readouterr().err
    evaluate(root, profile, "b", 9.0)
    assert holder(root, profile) == 2


def test_models_follow_a_vae_that_was_gone(root: Path, profile: str) -> None:
    train(root, profile, "a vae", model="vae")
    vae = versions(root, profile, "vae")[0]
    train(root, profile, "a", vae_sha256=vae.tags["sha256"])
    delete_run(root, vae, purge=False)
    train(root, profile, "a vae", model="vae")
    assert versions(root, profile)[0].tags["vae"] == f"models:/{registered_name(profile, 'vae')}/2"
    train(root, profile, "b", vae_sha256=vae.tags["sha256"])
    assert versions(root, profile)[1].tags["vae"] == f"models:/{registered_name(profile, 'vae')}/2"


def test_another_stores_versions_are_not_taken_for_gone(
    root: Path, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that several tracking stores share."""
    train(root, profile, "a")
    evaluate(root, profile, "a", 5.0)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{root / '.jscgc' / 'mlflow.db'}")
    train(tmp_path, profile, "b")
    assert [sorted(version.tags.keys() & {"gone"}) for version in versions(root, profile)] == [[], []]
    assert holder(root, profile) == 1


def test_a_model_has_its_card_and_a_version_says_what_differs(root: Path, profile: str) -> None:
    name = registered_name(profile, "jscgc")

    def trained(content: str, text: str, commit: str = "1" * 40, photographs: str = "p", **params: Any) -> str:
        tags = {"profile": profile, "commit": commit, "dataset_hash": photographs}
        with tracking.stage_run("train_jscgc", params=params, tags=tags, root=root) as run:
            run.model(write(root, content), card=tracking.Card(text, settings=("jscgc", "seed")))
        assert client(root).get_registered_model(name).description == text
        return str(versions(root, profile)[-1].description)

    assert trained("a", "# A card", seed=1, jscgc={"width": 3}, evaluate=1) == "The first; commit 1111111."
    two = trained("b", "# Another", seed=1, jscgc={"width": 4}, evaluate=2)
    assert two == "Beside version 1: jscgc.width 4 (was 3)."
    same = trained("c", "# Another", seed=1, jscgc={"width": 4}, evaluate=3)
    assert same == "Beside version 2: the same settings, photographs and commit."
    new = trained("d", "# Another", "2" * 40, "q", seed=2, jscgc={"depth": 1})
    assert new == (
        "Beside version 3: jscgc.depth 1 (was absent); jscgc.width absent (was 4); seed 2 (was 1); other photographs; "
        "commit 2222222."
    )
    many = trained("e", "# Another", "2" * 40, "q", seed=2, jscgc={"depth": 1, **{f"p{i}": i for i in range(9)}})
    assert many.endswith("; 4 more parameters.")
    client(root).update_registered_model(name, "What I think of it.")
    with pytest.raises(AssertionError, match="What I think"):
        trained("f", "# Newer")


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """MLflow's own server, which goes on with what an earlier one in this folder has."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(command, cwd=folder, env=os.environ | quiet, start_new_session=True)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=1):
                    break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.3)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.slow
def test_a_real_server_that_dies_and_comes_back_has_everything_once(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    (tmp_path / "server").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    train(tmp_path, profile, "before it is up")
    with mlflow_server(tmp_path / "server", port):
        evaluate(tmp_path, profile, "before it is up", 5.0)
        assert spools(tmp_path) == []
        train(tmp_path, profile, "better")
    evaluate(tmp_path, profile, "better", 4.0)
    assert len(spools(tmp_path)) == 1
    with mlflow_server(tmp_path / "server", port) as address:
        assert tracking.replay(tmp_path) == 1
        c = MlflowClient(address, registry_uri=address)
        name = registered_name(profile, "jscgc")
        assert sorted(int(v.version) for v in c.search_model_versions(f"name = '{name}'")) == [1, 2]
        assert [int(c.get_model_version_by_alias(name, alias).version) for alias in ("best", "best-p1", "latest")] == [
            2
        ] * 3
        got = download_artifacts(artifact_uri=f"models:/{name}@best", dst_path=str(tmp_path / "got"))
        assert (Path(got) / "weights.safetensors").read_text() == "better"
    assert not (tmp_path / ".jscgc" / "mlflow.db").exists()


@pytest.fixture
def old_server() -> Iterator[str]:
    """A server that answers every request with 404, as one without a registry does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_error(404)

        do_GET = do_POST

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("registry", ["old server", "file:///nowhere", "ftp://nowhere"])
def test_without_a_registry_there_is_one_line_and_no_failure(
    root: Path,
    profile: str,
    registry: str,
    old_server: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", old_server if registry == "old server" else registry)
    with tracking.stage_run(f"old-{registry}", params={}, tags={"profile": profile}, root=root) as run:
        run.log(0, {"loss": 1.0})
        run.model(write(root, "a", "one"))
        run.model(write(root, "b", "two"))
    assert capfd.readouterr().err.count("tracking: ") == 1
    assert spools(root) == []
    c = client(root)
    (found,) = c.search_runs(
        [c.get_experiment_by_name("jscgc").experiment_id], f"tags.`jscgc.stage` = 'old-{registry}'"
    )
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"loss": 1.0})


def test_a_registry_that_is_away_keeps_no_run_waiting(
    root: Path, profile: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", DEAD_SERVER)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    train(root, profile, "waits", model="a")
    train(root, profile, "waits", model="b")
    assert capfd.readouterr().err.count("tracking: ") == 2  # one a stage
    assert len(spools(root)) == 2
    c = client(root)
    condition = f"tags.profile = '{profile}' and tags.`jscgc.stage` LIKE 'train%'"
    found = c.search_runs([c.get_experiment_by_name("jscgc").experiment_id], condition)
    assert [run.info.status for run in found] == ["FINISHED"] * 2
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    assert tracking.replay(root) == 2
    assert [len(versions(root, profile, model)) for model in "ab"] == [1, 1]


def test_the_parent_has_parameters_and_headline(root: Path, profile: str, request: pytest.FixtureRequest) -> None:
    params = {"train": {"learning_rate": 5e-5, "steps": 700}, "tuning": "full", "normalise": True}
    tags = {"profile": profile, "params_hash": "1"}
    with tracking.stage_run("train", params=params, tags=tags, root=root):
        pass
    with tracking.stage_run("evaluate", params=params, tags=tags, root=root) as run:
        run.headline({"psnr/jscgc/awgn/8_768/5dB": 19.0, "fid/jscgc/awgn/8_768/5dB": float("nan")})
    c = client(root)
    place = [c.get_experiment_by_name("jscgc").experiment_id]
    (parent,) = c.search_runs(place, f"tags.`jscgc.reproduction` = '{request.node.name}'")
    assert parent.data.params == {
        "train.learning_rate": "5e-05", "train.steps": "700", "tuning": "full", "normalise": "true",
    }  # fmt: skip
    assert parent.data.metrics == {"psnr/jscgc/awgn/8_768/5dB": 19.0}
    assert "jscgc.mixed" not in parent.data.tags
    with tracking.stage_run("again", params={"tuning": "lora"}, tags={**tags, "params_hash": "2"}, root=root):
        pass
    (parent,) = c.search_runs(place, f"tags.`jscgc.reproduction` = '{request.node.name}'")
    assert parent.data.params["tuning"] == "full"
    assert "jscgc.mixed" in parent.data.tags


def test_numbers_are_plain_numbers_for_parallel_coordinates() -> None:
    """Of all profiles: a number of params.yaml is one in MLflow, and no value hides a mapping."""
    from jscgc.params import load_params

    project = Path(__file__).parents[1]
    for path in (None, *sorted((project / "pipeline" / "profiles").glob("*.yaml"))):
        content = load_params(project / "params.yaml", path).model_dump(mode="json")
        values = flat(content)
        for names in ("jscgc.train.learning_rate", "sample.steps", "objective.weight_power", "link.rates"):
            expected: Any = content
            for name in names.split("."):
                expected = expected[name]
            assert json.loads(values[names]) == expected
        assert not [name for name, value in values.items() if "{" in value and value != "{}"]
