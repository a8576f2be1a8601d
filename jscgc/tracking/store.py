"""The connected MLflow store: a local SQLite database, or the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from jscgc.files import atomic
from jscgc.tracking.processes import alive
from jscgc.tracking.spool import EXPERIMENT, locked, redact

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class Store:
    """The store and its experiment.

    registry_away: the registry of models has failed once, and is not asked again.
    """

    def __init__(self, root: Path) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # one warning is enough, and it is ours
        self.root, self.host, self.registry_away = root, socket.gethostname(), False
        server = os.environ.get("MLFLOW_TRACKING_URI")
        uri = server or _local_uri(root)
        self.identity = hashlib.sha256(uri.encode()).hexdigest()[:12]
        location = None if server else (root / ".jscgc" / "mlartifacts").as_uri()
        self.lock = root / ".jscgc" / "mlflow.lock"
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.lock):
            if not server:
                _create_database(root / ".jscgc" / "mlflow.db")
            self.client = MlflowClient(uri)
            known = self.client.get_experiment_by_name(EXPERIMENT)
            if known and known.lifecycle_stage == "deleted":
                self.client.restore_experiment(known.experiment_id)
            self.experiment: str = known.experiment_id if known else self.client.create_experiment(EXPERIMENT, location)

    def find(self, condition: str) -> list[Any]:
        """Runs, oldest first."""
        runs = self.client.search_runs([self.experiment], condition)
        return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))

    def upload(self, run: str, path: Path, place: str) -> None:
        """Upload a file into folder `place` of a run's artifacts ("" is their root), or a folder as `place`.

        Raises:
            one of `failures()`.
        """
        send = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        with _artifacts():
            send(run, str(path), place or None)

    def files(self, run: str, place: str) -> dict[str, int]:
        """Name -> bytes of the files in folder `place` of a run's artifacts.

        Raises:
            one of `failures()`.
        """
        with _artifacts():
            found = self.client.list_artifacts(run, place)
        return {Path(file.path).name: file.file_size or 0 for file in found if not file.is_dir}

    def sweep(self) -> None:
        """End the runs whose process on this host died without a word (kill -9, power)."""
        for run in self.find(f"attributes.status = 'RUNNING' and tags.`jscgc.host` = '{self.host}'"):
            if not alive(run.data.tags):
                self.client.set_terminated(run.info.run_id, "KILLED")


@contextmanager
def _artifacts() -> Iterator[None]:
    """What the library of the artifacts' own store (S3's boto3, ...) raises is none of MLflow's errors: made an OSError."""
    try:
        yield
    except failures():
        raise
    except Exception as error:
        raise OSError(f"the artifacts' store: {error}") from error


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when the store is away, full, locked or not MLflow at all."""
    ours = (OSError, ValueError, ImportError, sqlite3.Error)
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return ours
    return (*ours, MlflowException, SQLAlchemyError)


def ui_hint(root: Path) -> str:
    """How to look at the runs, in one line."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return f"MLflow: {redact(uri)} (experiment {EXPERIMENT})"
    return f"MLflow: make dashboard (or: mlflow ui --host 127.0.0.1 --backend-store-uri '{_local_uri(root.resolve())}')"


def _create_database(database: Path) -> None:
    """Create the local store once, whole or not at all: MLflow's migrations take seconds and must not run twice."""
    from mlflow import MlflowClient

    if not database.exists():
        with atomic(database) as temporary:
            MlflowClient(f"sqlite:///{temporary}").get_experiment_by_name(EXPERIMENT)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


def _local_uri(root: Path) -> str:
    return f"sqlite:///{root / '.jscgc' / 'mlflow.db'}"
