"""The connected MLflow store: a local SQLite database, or the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from jscgc.files import atomic
from jscgc.project import home, in_uris, main_checkout
from jscgc.tracking.processes import alive
from jscgc.tracking.spool import EXPERIMENT, locked, redact

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
SQLITE = "sqlite:///"
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Where a database of MLflow says where artifacts lie."""


class Store:
    """The store and its experiment.

    registry_away: the registry of models has failed once, and is not asked again.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.host, self.registry_away = root, socket.gethostname(), False
        self.lock = home(root) / "mlflow.lock"
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        uri, location = address(root), None
        # The project's own database moves with the project.
        self.identity = hashlib.sha256(uri.encode()).hexdigest()[:12] if uri != _local_uri(root) else "local"
        with locked(self.lock):
            if (database := _database_of(uri)) is not None:
                location = (database.parent / "mlartifacts").as_uri()
                _create_database(database)
                _follow(database, location)
            self.client = _connected(uri)
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

    def remove(self, run: str, place: str) -> None:
        """Remove a folder of a run's artifacts, if it is there and their store removes.

        Raises:
            one of `failures()`.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with _artifacts():
            if self.client.list_artifacts(run, place):
                with suppress(NotImplementedError):
                    get_artifact_repository(self.client.get_run(run).info.artifact_uri).delete_artifacts(place)  # type: ignore[no-untyped-call]

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


def address(root: Path) -> str:
    """The store's: that of MLFLOW_TRACKING_URI, else the project's own database. One in a file is named by its absolute path."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _local_uri(root)
    path = uri.removeprefix(SQLITE)
    if path in (uri, "", ":memory:") or path.startswith("/"):
        return uri
    return _sqlite(main_checkout(root) / path)


def client(root: Path) -> Any:
    """MLflow's client of the project's store, for what only reads."""
    return _connected(settle(root))


def _connected(uri: str) -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # one warning is enough, and it is ours
    return MlflowClient(uri)


def settle(root: Path) -> str:
    """The store's address, for another program; a database that was moved is told where it is now."""
    uri = address(root)
    if (database := _database_of(uri)) is not None and database.exists():
        with locked(home(root) / "mlflow.lock"):
            _follow(database, (database.parent / "mlartifacts").as_uri())
    return uri


def ui_hint(root: Path) -> str:
    """How to look at the runs, in one line."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return f"MLflow: {redact(uri)} (experiment {EXPERIMENT})"
    return f"MLflow: make dashboard (or: mlflow ui --host 127.0.0.1 --backend-store-uri '{_local_uri(root)}')"


def _database_of(uri: str) -> Path | None:
    """The file of an address; None of a server's."""
    path = uri.removeprefix(SQLITE)
    return Path(path) if path != uri and path.startswith("/") else None


def _create_database(database: Path) -> None:
    """Create the local store once, whole or not at all: MLflow's migrations take seconds and must not run twice."""
    if not database.exists():
        with atomic(database) as temporary:
            _connected(f"{SQLITE}{temporary}").get_experiment_by_name(EXPERIMENT)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


def _follow(database: Path, location: str) -> None:
    """Have a database that was moved with its folder find and write artifacts where it is now: it holds absolute paths."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        known = "SELECT artifact_location FROM experiments WHERE name = ?"
        before = next((row[0] for row in connection.execute(known, (EXPERIMENT,))), location)
        # An artifacts' store that somebody chose (s3://, another folder) stays.
        if before == location or not before.startswith("file:") or not before.endswith("/mlartifacts"):
            return
        for table, column in PLACES:
            if column in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
                moved = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
                connection.execute(moved, (location, len(before) + 1, len(before) + 1, f"{before}/"))
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (location, before)
        )


def _local_uri(root: Path) -> str:
    return _sqlite(home(root) / "mlflow.db")


def _sqlite(database: Path) -> str:
    return f"{SQLITE}{in_uris(database.parent) / database.name}"
