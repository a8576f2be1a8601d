"""A running stage's record: appended to its spool, and uploaded by a daemon thread that nothing waits for, or, below dvc, by the
process that delivers for all stages (`deliverer`)."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from jscgc.files import sha256
from jscgc.project import main_checkout
from jscgc.tracking import deliverer, delivery
from jscgc.tracking.cards import Card
from jscgc.tracking.deliverer import FINISH_S, UPLOAD_EVERY_S
from jscgc.tracking.processes import dvc, process_tags, source_tags
from jscgc.tracking.processes import reproduction as current_reproduction
from jscgc.tracking.registry import RegistryAway, registered_name
from jscgc.tracking.spool import flat, keep, kept_files, new_record, now_ms, reason, say, spool_folder, stamp
from jscgc.tracking.store import Store, failures
from jscgc.tracking.versions import Score


class StageRun:
    """A running stage's record. No method waits for MLflow, and none fails because of it.

    identity: by which it is taken up again.
    """

    def __init__(self, spool: Path, header: dict[str, Any], root: Path) -> None:
        self._spool, self._root, self._tags, self.identity = spool, root, header["tags"], str(header["id"])
        self._artifacts: list[tuple[Path, str]] = []
        self._models: list[dict[str, Any]] = []
        self._headline: dict[str, float] = {}
        self._tables: list[str] = []
        self._description = ""
        self._late: dict[str, str] = {}
        self._uploads: dict[str, Path] = {}
        self._kept: dict[Path, Path] = {}
        self._warned, self._torn = False, False
        self._store: Store | None = None
        self._closing = threading.Event()
        self._stream: IO[bytes] | None = None
        try:
            spool.parent.mkdir(parents=True, exist_ok=True)
            self._stream = spool.open("ab", buffering=0)
            fcntl.flock(self._stream, fcntl.LOCK_EX)
        except OSError as error:
            self.warn(error)
        self._append(header)
        self._uploader = threading.Thread(target=self._work, name="mlflow", daemon=True)
        if not header.get("left"):
            self._uploader.start()

    def log(self, step: int, metrics: Mapping[str, float], time_ms: int | None = None) -> None:
        """Record metrics at a step. NaN and infinities stay in the spool, as strings: MLflow cannot hold them.

        Args:
            time_ms: when it was, milliseconds since 1970; None: now. A point that is recorded again with its time is there once.
        """
        values = {name: float(value) for name, value in metrics.items()}
        plain = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
        self._append({"step": int(step), "time_ms": now_ms() if time_ms is None else time_ms, "metrics": plain})

    def headline(self, metrics: Mapping[str, float]) -> None:
        """Record what the whole reproduction comes to: on this run, and when it ends on the reproduction's run too."""
        self.log(0, metrics)
        self._headline |= {name: float(value) for name, value in metrics.items() if math.isfinite(value)}

    def artifact(self, path: Path, folder: str = "") -> None:
        """Have a file or folder uploaded (into `folder` of the run) when the stage ends; it must exist then."""
        self._artifacts.append((path.absolute(), folder))

    def upload(self, path: Path, folder: str = "") -> None:
        """Have a file or folder uploaded as it is now, while the stage runs on."""
        try:
            kept = keep(path.absolute(), kept_files(self._spool) / uuid.uuid4().hex)
        except OSError as error:
            self.warn(error)
            return
        self._append({"upload": [str(kept), folder, stamp(kept)]})
        self._uploads[f"{folder}/{path.name}"] = kept

    def remove(self, place: str) -> None:
        """Have a folder that was uploaded removed from the run's artifacts."""
        if place in self._uploads:  # it need not be sent if it is not yet
            shutil.rmtree(self._uploads.pop(place).parent, ignore_errors=True)
        self._append({"remove": place})

    def tag(self, name: str, value: str) -> None:
        """Have a tag of the run set when it ends; `resumed_from` takes another run's identity."""
        self._late[name] = value

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table of results, NAME.json, that MLflow shows and compares between runs."""
        path = kept_files(self._spool) / "tables" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"columns": list(columns), "data": _plain(rows)}), encoding="utf-8")
        except OSError as error:
            self.warn(error)
            return
        self._kept[path] = path
        self.artifact(path)
        self._tables.append(name)

    def describe(self, text: str) -> None:
        """What is read first of the run, and of its reproduction's: Markdown. `{artifacts}` becomes the address of this run's
        artifacts on MLflow's page, so that `![grid]({artifacts}grid.png)` shows one."""
        self._description = text

    def model(
        self, folder: Path, tags: Mapping[str, str] | None = None, score: Score | None = None, card: Card | None = None
    ) -> None:
        """Have a trained model registered when the stage ends well, once for the same content, and its score noted.

        Args:
            folder: model.json and its weights, complete. Its name and the tag `profile` make the registered model's.
            tags: of the version, beside the stage's.
            score: what an evaluation found; the alias `best` follows it.
            card: what else is known of it.
        """
        weights, about = folder / "weights.safetensors", card or Card()
        sums = {"sha256": sha256(folder)} | ({"weights_sha256": sha256(weights)} if weights.exists() else {})
        self._models.append(
            {
                "name": registered_name(self._tags.get("profile", ""), folder.name),
                "folder": str(self._keep(folder.absolute())),
                "stamp": stamp(folder),
                "tags": {**self._tags, **(tags or {}), **sums},
                "score": asdict(score) if score else None,
                "card": asdict(about)
                | {"companions": [(str(self._keep(path.absolute())), stamp(path)) for path in about.companions]},
            }
        )

    def end(self, status: str, error: str = "", tags: Mapping[str, str] | None = None) -> None:
        """Record the end (FINISHED, FAILED or KILLED) and tags that were known only now; `close` waits for the last upload."""
        if self._closing.is_set():
            return
        stamped = [(str(self._keep(path)), folder, stamp(path)) for path, folder in self._artifacts]
        end = {"end": status, "time_ms": now_ms(), "error": error, "artifacts": stamped, "headline": self._headline}
        end |= {"tables": self._tables, "description": self._description}
        self._append(
            end | {"models": self._models if status == "FINISHED" else [], "tags": self._late | dict(tags or {})}
        )
        self._closing.set()

    def close(self, status: str, error: str = "") -> None:
        """Record the end, if it is not yet, and wait, at most FINISH_S, for the last upload."""
        self.end(status, error)
        if self._uploader.ident:
            self._uploader.join(FINISH_S)
        if self._uploader.is_alive():
            self.warn(TimeoutError(f"not done after {FINISH_S:.0f} s"))
        elif self._stream:
            self._stream.close()

    def _keep(self, path: Path) -> Path:
        """Where it is found when it is uploaded: a copy in the spool, since a later stage, or DVC, may have replaced it
        by then; the path itself if none can be made."""
        if path not in self._kept:
            try:
                place = kept_files(self._spool) / str(len(self._kept))
                self._kept[path] = keep(path, place)
            except OSError as error:
                if path.exists():
                    self.warn(error)
                return path
        return self._kept[path]

    def _append(self, entry: dict[str, Any]) -> None:
        if not self._stream:
            return
        line = (b"\n" if self._torn else b"") + json.dumps(entry, default=str).encode() + b"\n"
        try:
            self._torn = self._stream.write(line) != len(line)
        except OSError as error:  # a full disk: the training's own files will say so, more clearly
            self._torn = True
            self.warn(error)

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
                store = Store(self._root)
                store.sweep()
                delivery.replay(store)
                self._store = store
            delivery.deliver(self._store, self._spool, live=True)
        except RegistryAway:  # it has said so; the run itself is delivered
            return False
        except failures() as error:
            self._store = None
            self.warn(error)
            return False
        return True

    def warn(self, error: Exception) -> None:
        """Say, once, that what was recorded is not delivered yet."""
        if not self._warned:
            say(f"{reason(error)}; the run is kept in {self._spool.parent} and uploaded by a later stage")
        self._warned = True


@contextmanager
def stage_run(
    stage: str,
    *,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    root: Path,
    identity: str = "",
    reproduction: str | None = None,
    name: str = "",
    datasets: Sequence[Mapping[str, str]] = (),
) -> Iterator[StageRun]:
    """Track a stage: FINISHED if the block succeeds, FAILED on an exception, KILLED when interrupted or terminated. Below dvc
    another process delivers it, while it runs and later.

    Args:
        stage: name of the stage and of its run.
        params: JSON-like, nested as you please; flattened with dots. They also go to the parent run.
        tags: `commit`, `profile`, `params_hash` and `dataset_hash` also go to the parent run.
        root: the project's root; everything lies in the `.jscgc` of its main checkout.
        identity: as of `resumable_run`, if the stage's run is taken up again; "": a run of its own.
        reproduction: that the stage belongs to; None: `current_reproduction()`.
        name: of the reproduction's run; "": its profile and the time.
        datasets: what the stage reads: `name`, `digest`, `source`, `profile` (JSON) and `context` of each, as MLflow's datasets.
    """
    root, start_ms = main_checkout(root), now_ms()
    above = dvc()
    header = {
        "id": identity or uuid.uuid4().hex, "stage": stage, "params": flat(params), "tags": dict(tags),
        "start_ms": start_ms, "owner": process_tags(), "reproduction": reproduction or current_reproduction(),
        "again": bool(identity), "left": above is not None, "name": name,
        "source": source_tags(tags.get("commit", "unknown"), above), "datasets": list(datasets),
    }  # fmt: skip
    stem = identity or f"{re.sub(r'[^A-Za-z0-9_.@]', '_', stage)}-{os.getpid()}"
    run = StageRun(new_record(root, stem), header, root)
    if above:
        try:
            deliverer.start(root, above)
        except OSError as error:
            run.warn(error)
    status, error_text = "FINISHED", ""
    try:
        yield run
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        error_text = f"{type(error).__name__}: {error}"
        raise
    finally:
        run.close(status, error_text)


def resumable_run(
    identity: str, name: str, *, params: Mapping[str, Any], tags: Mapping[str, str], root: Path, under: str = ""
) -> StageRun:
    """A record that goes on in the same run of MLflow when it is opened again, after whatever interrupted it; the caller ends it.

    Args:
        identity: letters, digits, `_` and `-`; the same identity is the same run. One process may have it open at a time.
        name: of the run.
        under: identity of the run that it is a child of; "": of none.
    """
    root, start_ms = main_checkout(root), now_ms()
    header = {
        "id": identity, "stage": name, "params": flat(params), "tags": dict(tags), "start_ms": start_ms,
        "owner": process_tags(), "reproduction": None, "under": under, "again": True,
        "source": source_tags(tags.get("commit", "unknown"), None),
    }  # fmt: skip
    return StageRun(new_record(root, identity), header, root)


def replay(root: Path) -> int:
    """Upload what earlier stages could not, and return how many spools that were. Does nothing twice."""
    root = main_checkout(root)
    if not any(spool_folder(root).glob("*.jsonl")):
        return 0
    try:
        return delivery.replay(Store(root))
    except failures() as error:
        say(f"{reason(error)}; what is in {spool_folder(root)} is uploaded by a later stage")
        return 0


def _plain(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """As JSON has them: what is not finite is nothing."""
    return [[None if isinstance(v, float) and not math.isfinite(v) else v for v in row] for row in rows]
