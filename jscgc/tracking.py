"""MLflow, here and nowhere else: every stage is a run, every reproduction the parent of its stages' runs.

    stage --log--> .jscgc/spool/<stage>-<pid>-<time>.jsonl --daemon thread--> MLflow (SQLite, or a server)

A stage only appends to its spool file, so that a dead, slow or dying server never stops or slows it. What could not
be uploaded stays in the spool, and the next stage (or `replay`) uploads it into the right run. Nothing is sent twice:
a `.state.json` beside the spool keeps how far the upload got, runs are found again by a tag, and MLflow itself drops
a point that it has already got. A spool is locked by the stage that writes it: an unlocked one belongs to the dead.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from jscgc.files import atomic, read_json, write_json

EXPERIMENT = "jscgc"
UPLOAD_EVERY_S = 30.0
"""Time between uploads of a running stage; a shorter stage uploads once, at its end."""
FINISH_S = 60.0
"""Longest wait for the last upload; what is missing then is uploaded by a later stage."""
REFUSALS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")
"""Errors that lie in what was sent (or in a run that somebody deleted); any other is the store's."""
PARENT_TAGS = ("commit", "profile", "params_hash", "dataset_hash")
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class StageRun:
    """A running stage's record. Neither method waits for MLflow, and neither fails because of it."""

    def __init__(self, spool: Path, header: dict[str, Any], root: Path) -> None:
        self._spool, self._root = spool, root
        self._artifacts: list[tuple[Path, str]] = []
        self._warned, self._torn = False, False
        self._store: _Store | None = None
        self._closing = threading.Event()
        self._stream: IO[bytes] | None = None
        try:
            spool.parent.mkdir(parents=True, exist_ok=True)
            self._stream = spool.open("ab", buffering=0)
            fcntl.flock(self._stream, fcntl.LOCK_EX)
        except OSError as error:
            self._warn(error)
        self._append(header)
        self._uploader = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._uploader.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics at a step. NaN and infinities stay in the spool, as strings: MLflow cannot hold them."""
        values = {name: float(value) for name, value in metrics.items()}
        plain = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
        self._append({"step": int(step), "time_ms": _now_ms(), "metrics": plain})

    def artifact(self, path: Path, folder: str = "") -> None:
        """Have a file or folder uploaded (into `folder` of the run) when the stage ends; it must exist then."""
        self._artifacts.append((path.absolute(), folder))

    def close(self, status: str, error: str = "") -> None:
        """Record the end and wait, at most FINISH_S, for the last upload."""
        stamped = [(str(path), folder, _stamp(path)) for path, folder in self._artifacts]
        self._append({"end": status, "time_ms": _now_ms(), "error": error, "artifacts": stamped})
        self._closing.set()
        self._uploader.join(FINISH_S)
        if self._uploader.is_alive():
            self._warn(TimeoutError(f"not done after {FINISH_S:.0f} s"))
        elif self._stream:
            self._stream.close()

    def _append(self, entry: dict[str, Any]) -> None:
        if not self._stream:
            return
        line = (b"\n" if self._torn else b"") + json.dumps(entry, default=str).encode() + b"\n"
        try:
            self._torn = self._stream.write(line) != len(line)
        except OSError as error:  # a full disk: the training's own files will say so, more clearly
            self._torn = True
            self._warn(error)

    def _work(self) -> None:
        """The uploading thread: after the first failure nothing is tried again until the stage ends."""
        healthy = self._stream is not None
        while not self._closing.wait(UPLOAD_EVERY_S):
            healthy = healthy and self._upload()
        if self._stream:
            self._upload()

    def _upload(self) -> bool:
        try:
            if self._store is None:
                store = _Store(self._root)
                store.sweep()
                store.replay()
                self._store = store
            self._store.deliver(self._spool, live=True)
        except _failures() as error:
            self._store = None
            self._warn(error)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            _say(f"{_reason(error)}; the run is kept in {self._spool.parent} and uploaded by a later stage")
        self._warned = True


@contextmanager
def stage_run(stage: str, *, params: Mapping[str, Any], tags: Mapping[str, str], root: Path) -> Iterator[StageRun]:
    """Track a stage: FINISHED if the block succeeds, FAILED on an exception, KILLED when interrupted or terminated.

    Args:
        stage: name of the stage and of its run.
        params: JSON-like, nested as you please; flattened with dots.
        tags: `commit`, `profile`, `params_hash` and `dataset_hash` also go to the parent run.
        root: the project's root; everything lies in its `.jscgc`.
    """
    root, start_ms = root.resolve(), _now_ms()
    header = {
        "id": uuid.uuid4().hex, "stage": stage, "params": _flat(params), "tags": dict(tags), "start_ms": start_ms,
        "owner": _process_tags(), "reproduction": _reproduction(),
    }  # fmt: skip
    name = f"{re.sub(r'[^A-Za-z0-9_.@]', '_', stage)}-{os.getpid()}-{start_ms}.jsonl"
    run = StageRun(_spool_folder(root) / name, header, root)
    status, reason = "FINISHED", ""
    try:
        yield run
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        reason = f"{type(error).__name__}: {error}"
        raise
    finally:
        run.close(status, reason)


def replay(root: Path) -> int:
    """Upload what earlier stages could not, and return how many spools that were. Does nothing twice."""
    root = root.resolve()
    if not any(_spool_folder(root).glob("*.jsonl")):
        return 0
    try:
        return _Store(root).replay()
    except _failures() as error:
        _say(f"{_reason(error)}; what is in {_spool_folder(root)} is uploaded by a later stage")
        return 0


def commit(root: Path) -> str:
    """The commit, with '-dirty' if tracked files other than results (dvc.lock, reports) differ; 'unknown' without git."""

    def git(*arguments: str) -> list[str]:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()

    try:
        top, head = git("rev-parse", "--show-toplevel", "HEAD")
        if Path(top).resolve() != root.resolve():  # a tar ball unpacked inside some other repository
            return "unknown"
        results = (":(exclude)dvc.lock", ":(exclude)reports")
        return head + ("-dirty" if git("status", "--porcelain", "--untracked-files=no", "--", ".", *results) else "")
    except (OSError, ValueError, subprocess.SubprocessError):
        return "unknown"


def ui_hint(root: Path) -> str:
    """How to look at the runs, in one line."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return f"MLflow: {_redact(uri)} (experiment {EXPERIMENT})"
    return f"MLflow: make dashboard (or: mlflow ui --host 127.0.0.1 --backend-store-uri '{_local_uri(root.resolve())}')"


class _Store:
    """The connected MLflow store and its experiment."""

    def __init__(self, root: Path) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # one warning is enough, and it is ours
        self.root, self.host = root, socket.gethostname()
        server = os.environ.get("MLFLOW_TRACKING_URI")
        uri = server or _local_uri(root)
        self.identity = hashlib.sha256(uri.encode()).hexdigest()[:12]
        location = None if server else (root / ".jscgc" / "mlartifacts").as_uri()
        self.lock = root / ".jscgc" / "mlflow.lock"
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.lock):
            if not server:
                _create_database(root / ".jscgc" / "mlflow.db")
            self.client = MlflowClient(uri)
            found = self.client.get_experiment_by_name(EXPERIMENT)
            if found and found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            self.experiment: str = found.experiment_id if found else self.client.create_experiment(EXPERIMENT, location)

    def find(self, condition: str) -> list[Any]:
        """Runs, oldest first."""
        runs = self.client.search_runs([self.experiment], condition)
        return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))

    def sweep(self) -> None:
        """End the runs whose process on this host died without a word (kill -9, power)."""
        for run in self.find(f"attributes.status = 'RUNNING' and tags.`jscgc.host` = '{self.host}'"):
            if not _alive(run.data.tags):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def replay(self) -> int:
        """Deliver every spool that no living stage holds. One that the store refuses is set aside, not tried for ever."""
        from mlflow.exceptions import MlflowException

        delivered = 0
        for spool in sorted(_spool_folder(self.root).glob("*.jsonl"), key=lambda path: path.stem.rsplit("-", 1)[-1]):
            with _locked(spool, wait=False) as free:
                try:
                    if free:
                        self.deliver(spool, live=False)
                        delivered += 1
                except MlflowException as error:
                    if error.error_code not in REFUSALS:
                        raise
                    _say(f"{spool} was refused and set aside as .rejected: {_reason(error)}")
                    spool.rename(spool.with_suffix(".rejected"))
        return delivered

    def deliver(self, spool: Path, *, live: bool) -> None:
        """Send what this store has not got yet; when the run has ended, end it here too and remove the spool."""
        state_file = spool.with_suffix(".state.json")
        with spool.open("rb") as stream:
            header = _parse(stream.readline())
            if header is None:  # its stage died in the very first line
                spool.unlink()
                return
            state: dict[str, Any] = read_json(state_file) if state_file.exists() else {}
            if state.get("store") != self.identity:
                parent, run_id = self._create(header, live=live)
                state = {"store": self.identity, "parent": parent, "run": run_id, "offset": stream.tell(), "files": 0}
                write_json(state_file, state)
            stream.seek(state["offset"])
            end = self._send_metrics(stream, state, state_file)
        if end is None and not live:
            end = {"end": "KILLED", "time_ms": int(spool.stat().st_mtime * 1000), "error": "", "artifacts": []}
        if end is not None:
            self._finish(header, end, state, state_file)
            spool.unlink()
            state_file.unlink()

    def _create(self, header: dict[str, Any], *, live: bool) -> tuple[str | None, str]:
        """Find or create the reproduction's run and, below it, the stage's."""
        from mlflow.entities import RunTag
        from mlflow.exceptions import MlflowException

        tags, key, parent = header["tags"], header["reproduction"], None
        known = {name: tags[name] for name in PARENT_TAGS if name in tags}
        owner = header["owner"] if live else {}
        with _locked(self.lock):
            if key and not (runs := self.find(f"tags.`jscgc.reproduction` = '{key}'")):
                when = time.strftime("%Y%m%d-%H%M%S", time.localtime(header["start_ms"] / 1000))
                every = {**known, **header["owner"], "jscgc.reproduction": key}
                name = f"{tags.get('profile', EXPERIMENT)}-{when}"
                parent = self.client.create_run(self.experiment, header["start_ms"], every, name).info.run_id
            elif key:
                parent = runs[0].info.run_id
                new = {name: value for name, value in known.items() if name not in runs[0].data.tags} | owner
                self.client.log_batch(parent, tags=[RunTag(name, value) for name, value in new.items()])
                if live:
                    self.client.update_run(parent, "RUNNING")
        if runs := self.find(f"tags.`jscgc.id` = '{header['id']}'"):
            run_id: str = runs[0].info.run_id
        else:
            every = {**tags, **header["owner"], "jscgc.id": header["id"], "jscgc.stage": header["stage"]}
            every |= {"mlflow.parentRunId": parent} if parent else {}
            run_id = self.client.create_run(self.experiment, header["start_ms"], every, header["stage"]).info.run_id
        try:
            self._send_params(run_id, header["params"], 6000)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            self._send_params(run_id, header["params"], 500)  # the limit of old servers
        return parent, run_id

    def _send_params(self, run_id: str, params: dict[str, str], longest: int) -> None:
        from mlflow.entities import Param

        entries = [Param(_clean(name), value[:longest]) for name, value in params.items()]
        for start in range(0, len(entries), 100):
            self.client.log_batch(run_id, params=entries[start : start + 100])

    def _send_metrics(self, stream: IO[bytes], state: dict[str, Any], state_file: Path) -> dict[str, Any] | None:
        """Send all complete lines in batches of at most 1000 points; return the line of the end, if it is there."""
        from mlflow.entities import Metric

        def send() -> None:
            for start in range(0, len(points), 1000):
                self.client.log_batch(state["run"], metrics=points[start : start + 1000])
            state["offset"] = offset
            write_json(state_file, state)
            points.clear()

        points: list[Any] = []
        offset = state["offset"]
        end = None
        while end is None and (line := stream.readline()).endswith(b"\n"):
            entry = _parse(line) or {}
            end = entry if "end" in entry else None
            values = {_clean(k): v for k, v in entry.get("metrics", {}).items() if not isinstance(v, str)}
            if points and len(points) + len(values) > 1000:
                send()
            points += [Metric(name, value, entry["time_ms"], entry["step"]) for name, value in values.items()]
            offset = offset + len(line) if end is None else offset  # the end is read again if finishing fails
        if points:
            send()
        return end

    def _finish(self, header: dict[str, Any], end: dict[str, Any], state: dict[str, Any], state_file: Path) -> None:
        run_id, parent, status, stage = state["run"], state["parent"], end["end"], header["stage"]
        for position, (name, folder, stamp) in enumerate(end["artifacts"]):
            if position < state["files"]:
                continue
            path = Path(name)
            if stamp is None or _stamp(path) != stamp:  # a later run's file must not pass for this one's
                _say(f"{path} is missing or has changed since stage {stage} ended; it is not uploaded")
            elif path.is_dir():
                self.client.log_artifacts(run_id, name, "/".join(filter(None, (folder, path.name))))
            else:
                self.client.log_artifact(run_id, name, folder or None)
            state["files"] = position + 1
            write_json(state_file, state)
        if end["error"]:
            self.client.set_tag(run_id, "jscgc.error", end["error"][:500])
        for twin in self.find(f"tags.`jscgc.id` = '{header['id']}'"):  # a slow server may have obeyed a retried request
            if twin.info.run_id != run_id:
                self.client.delete_run(twin.info.run_id)
        self.client.set_terminated(run_id, status, end["time_ms"])
        if parent is None:
            return
        mark, tags = f"jscgc.failed.{_clean(stage)}", self.client.get_run(parent).data.tags
        if status != "FINISHED":
            self.client.set_tag(parent, mark, status)
        elif mark in tags:
            self.client.delete_tag(parent, mark)
        others = [tags[name] for name in tags if name.startswith("jscgc.failed.") and name != mark]
        self.client.set_terminated(parent, others[0] if others and status == "FINISHED" else status, end["time_ms"])


def _create_database(database: Path) -> None:
    """Create the local store once, whole or not at all: MLflow's migrations take seconds and must not run twice."""
    from mlflow import MlflowClient

    if not database.exists():
        with atomic(database) as temporary:
            MlflowClient(f"sqlite:///{temporary}").get_experiment_by_name(EXPERIMENT)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock on a file; without waiting, yield whether it was free (and is still there)."""
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield path.exists()


def _failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when the store is away, full, locked or not MLflow at all."""
    ours = (OSError, ValueError, ImportError, sqlite3.Error)
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return ours
    return (*ours, MlflowException, SQLAlchemyError)


def _reproduction() -> str | None:
    """What the stages of one reproduction have in common: JSCGC_REPRODUCTION, else the dvc process above us."""
    if key := os.environ.get("JSCGC_REPRODUCTION"):
        return _clean(key)
    try:
        for process in psutil.Process().parents():
            if _is_dvc(process.cmdline()):
                return _clean(f"{socket.gethostname()}-{process.pid}-{process.create_time():.0f}")
    except psutil.Error:
        pass
    return None


def _is_dvc(command: list[str]) -> bool:
    words = [Path(word).name for word in command]
    if words and words[0].startswith("python"):
        script = next((i for i, word in enumerate(words) if i and (word == "-m" or not word.startswith("-"))), 0)
        return words[script] == "dvc" or words[script : script + 2] == ["-m", "dvc"]
    return words[:1] == ["dvc"]


def _process_tags() -> dict[str, str]:
    me = psutil.Process()
    return {
        "jscgc.host": socket.gethostname(), "jscgc.pid": str(me.pid), "jscgc.pid_created": f"{me.create_time():.2f}",
    }  # fmt: skip


def _alive(tags: Mapping[str, str]) -> bool:
    try:
        created: float = psutil.Process(int(tags["jscgc.pid"])).create_time()
        return abs(created - float(tags["jscgc.pid_created"])) < 2  # a corrected clock shifts it a little
    except (psutil.Error, KeyError, ValueError):
        return False


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    result: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return result


def _clean(name: str) -> str:
    """A name that MLflow takes: no '@', and normal as a path."""
    parts = [part for part in re.sub(r"[^\w\-. :/]", "_", name).split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:250].rstrip("/") or "_"


def _stamp(path: Path) -> list[int] | None:
    """Number, bytes and latest change of the file(s): enough to notice that another run has rewritten them."""
    if not path.exists():
        return None
    stats = [p.stat() for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file()]
    return [len(stats), sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:  # torn by a full disk or a kill
        return None
    return entry if isinstance(entry, dict) else None


def _spool_folder(root: Path) -> Path:
    return root / ".jscgc" / "spool"


def _local_uri(root: Path) -> str:
    return f"sqlite:///{root / '.jscgc' / 'mlflow.db'}"


def _redact(text: str) -> str:
    return re.sub(r"://[^/\s@]*@", "://", text)


def _reason(error: Exception) -> str:
    return _redact(" ".join(str(error).split()) or type(error).__name__)[:160]


def _say(message: str) -> None:
    print(f"tracking: {message}", file=sys.stderr, flush=True)


def _now_ms() -> int:
    return int(time.time() * 1000)
