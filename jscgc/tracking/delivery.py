"""From the spool to MLflow: each run once, each point once, whatever broke in between."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import IO, Any

from jscgc.files import read_json, write_json
from jscgc.tracking.registry import RegistryAway, register
from jscgc.tracking.spool import (
    EXPERIMENT,
    alone,
    clean,
    kept_files,
    locked,
    parse,
    reason,
    records_of,
    say,
    spool_folder,
    stamp,
)
from jscgc.tracking.store import Store

REFUSALS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")
"""Errors that lie in what was sent (or in a run that somebody deleted); any other is the store's."""
PARENT_TAGS = ("commit", "profile", "params_hash", "dataset_hash", "changed")


def replay(store: Store, *, live: bool = False) -> int:
    """Deliver every spool that no living stage holds, and return how many that were; one process at a time does it.

    One that the store refuses is set aside, not tried for ever.

    Args:
        live: deliver, too, what living stages that leave it to another process have written so far.
    """
    folder, delivered = spool_folder(store.root), 0
    with alone(folder):
        for spool in sorted(folder.glob("*.jsonl"), key=lambda path: path.stem.rsplit("-", 1)[-1]):
            with locked(spool, wait=False) as free:
                if free or (live and _left_to_us(spool)):
                    delivered += _delivered(store, spool, live=not free)
    return delivered


def _delivered(store: Store, spool: Path, *, live: bool) -> bool:
    """Whether all of a spool is there now."""
    from mlflow.exceptions import MlflowException

    try:
        deliver(store, spool, live=live)
    except RegistryAway:  # the run is there; its models come with a later stage, and keep no other run waiting
        return False
    except MlflowException as error:
        if error.error_code not in REFUSALS:
            raise
        say(f"{spool} was refused and set aside as .rejected: {reason(error)}")
        spool.rename(spool.with_suffix(".rejected"))
        return False
    return not live


def _left_to_us(spool: Path) -> bool:
    with spool.open("rb") as stream:
        header = parse(stream.readline())
    return bool(header and header.get("left"))


def deliver(store: Store, spool: Path, *, live: bool) -> None:
    """Send what this store has not got yet; when the run has ended, end it here too and remove the spool.

    Raises:
        RegistryAway: the run is delivered, its models are not registered yet; the spool stays for them.
    """
    state_file = spool.with_suffix(".state.json")
    with spool.open("rb") as stream:
        header = parse(stream.readline())
        if header is None:  # its stage died in the very first line
            _remove(spool)
            return
        if header.get("again"):
            _deliver_before(store, spool)
        state: dict[str, Any] = read_json(state_file) if state_file.exists() else {}
        if state.get("store") != store.identity:
            parent, run_id = _create(store, header, live=live)
            state = {"store": store.identity, "parent": parent, "run": run_id, "offset": stream.tell(), "files": 0}
            write_json(state_file, state)
        stream.seek(state["offset"])
        end = _send_metrics(store, stream, state, state_file)
    if end is None and not live:
        end = {"end": "KILLED", "time_ms": int(spool.stat().st_mtime * 1000), "error": "", "artifacts": []}
    if end is not None:
        if not state.get("finished"):
            _send_artifacts(store, header["stage"], end, state, state_file)
            _finish(store, header, end, state)
            state["finished"] = True
            write_json(state_file, state)
        register(store, end.get("models", []), state["run"])
        _remove(spool)


def _remove(spool: Path) -> None:
    """A record that is delivered, with all that was kept for it; its state last, which says that nothing is to be sent again."""
    shutil.rmtree(kept_files(spool), ignore_errors=True)
    spool.unlink()
    spool.with_suffix(".state.json").unlink(missing_ok=True)


def _deliver_before(store: Store, spool: Path) -> None:
    """Deliver what the same run recorded before it was interrupted, so that its last word is the last."""
    same, _, started = spool.stem.rpartition("-")
    for when, earlier in records_of(spool.parent, same).items():
        if when < int(started):
            with locked(earlier) as there:
                if there:
                    deliver(store, earlier, live=False)


def _create(store: Store, header: dict[str, Any], *, live: bool) -> tuple[str | None, str]:
    """Find or create the reproduction's run and, below it, the stage's."""
    parent = _parent(store, header, live=live) if header["reproduction"] else None
    with locked(store.lock):  # a child may have created its parent's run before the parent's own record is delivered
        above = _run_of(store, header["under"], header) if header.get("under") else parent
        tags = {**header["tags"], **header["owner"], **header["source"], "jscgc.stage": header["stage"]}
        tags |= {"mlflow.parentRunId": above} if above else {}
        run_id = _run_of(store, header["id"], header, tags, live=live)
    _send_params(store, run_id, header["params"])
    for run in filter(None, (parent, run_id)):
        _send_datasets(store, run, header.get("datasets", []))
    return parent, run_id


def _run_of(
    store: Store, identity: str, header: dict[str, Any], tags: dict[str, str] | None = None, *, live: bool = False
) -> str:
    """Find or create the run of an identity; with `tags` it is the header's own, and `live` takes it up again."""
    from mlflow.entities import RunTag

    wanted = header["owner"] if tags is None else tags
    if not (runs := store.find(f"tags.`jscgc.id` = '{identity}'")):
        name = header["stage"] if tags is not None else identity
        every = {**wanted, "jscgc.id": identity}
        created: str = store.client.create_run(store.experiment, header["start_ms"], every, name).info.run_id
        return created
    run_id: str = runs[0].info.run_id
    if tags is not None and header.get("again"):
        store.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in wanted.items()])
        store.client.update_run(run_id, name=header["stage"])  # a child that came first did not know it
        for name in {"jscgc.error", "jscgc.ended"} & runs[0].data.tags.keys():  # of its last interruption
            store.client.delete_tag(run_id, name)
        if live:
            store.client.update_run(run_id, "RUNNING")
    return run_id


def _parent(store: Store, header: dict[str, Any], *, live: bool) -> str:
    """Find or create the reproduction's run. Its parameters are those of the first stage; a tag tells if another had others."""
    from mlflow.entities import RunTag

    tags, key = header["tags"], header["reproduction"]
    new = {name: tags[name] for name in PARENT_TAGS if name in tags} | header["source"]
    new["mlflow.source.name"] = new.pop("jscgc.command", new["mlflow.source.name"])
    with locked(store.lock):
        if runs := store.find(f"tags.`jscgc.reproduction` = '{key}'"):
            parent: str = runs[0].info.run_id
            had, has_params = runs[0].data.tags, bool(runs[0].data.params)
            mixed = {"jscgc.mixed": "its stages had different parameters"}
            changed = "params_hash" in had and had["params_hash"] != new.get("params_hash", had["params_hash"])
            new = {name: value for name, value in new.items() if name not in had} | (mixed if changed else {})
            new |= header["owner"] if live else {}
            store.client.log_batch(parent, tags=[RunTag(name, value) for name, value in new.items()])
            if live:
                store.client.update_run(parent, "RUNNING")
        else:
            every = {**new, **header["owner"], "jscgc.reproduction": key}
            when = time.strftime("%Y%m%d-%H%M%S", time.localtime(header["start_ms"] / 1000))
            name = header.get("name") or f"{tags.get('profile', EXPERIMENT)}-{when}"
            parent = store.client.create_run(store.experiment, header["start_ms"], every, name).info.run_id
            has_params = False
        if not has_params:
            _send_params(store, parent, header["params"])
    return parent


def _send_params(store: Store, run_id: str, params: dict[str, str]) -> None:
    from mlflow.entities import Param
    from mlflow.exceptions import MlflowException

    def send(longest: int) -> None:
        entries = [Param(clean(name), value[:longest]) for name, value in params.items()]
        for start in range(0, len(entries), 100):
            store.client.log_batch(run_id, params=entries[start : start + 100])

    try:
        send(6000)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        send(500)  # the limit of old servers


def _send_datasets(store: Store, run_id: str, datasets: list[dict[str, str]]) -> None:
    """MLflow's datasets of a run; none twice. A server that knows none goes without."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException

    inputs = [
        DatasetInput(
            Dataset(
                name=one["name"],
                digest=one["digest"],
                source_type="code",
                source=json.dumps({"tags": {"origin": one["source"]}}),
                profile=one["profile"],
            ),
            [InputTag("mlflow.data.context", one["context"])],
        )
        for one in datasets
    ]
    try:
        if inputs:
            store.client.log_inputs(run_id, inputs)
    except MlflowException as error:
        if error.error_code not in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"):
            raise


def _send_metrics(store: Store, stream: IO[bytes], state: dict[str, Any], state_file: Path) -> dict[str, Any] | None:
    """Send all complete lines in batches of at most 1000 points; return the line of the end, if it is there."""
    from mlflow.entities import Metric

    def send() -> None:
        for start in range(0, len(points), 1000):
            store.client.log_batch(state["run"], metrics=points[start : start + 1000])
        state["offset"] = offset
        write_json(state_file, state)
        points.clear()

    points: list[Any] = []
    offset = state["offset"]
    end = None
    while end is None and (line := stream.readline()).endswith(b"\n"):
        entry = parse(line) or {}
        end = entry if "end" in entry else None
        values = {clean(k): v for k, v in entry.get("metrics", {}).items() if not isinstance(v, str)}
        if points and len(points) + len(values) > 1000:
            send()
        points += [Metric(name, value, entry["time_ms"], entry["step"]) for name, value in values.items()]
        if "upload" in entry:
            path, folder, expected = entry["upload"]
            if _upload(store, state["run"], Path(path), folder, expected):  # else it was removed before it was sent
                shutil.rmtree(Path(path).parent, ignore_errors=True)
        if "remove" in entry:
            store.remove(state["run"], entry["remove"])
        offset = offset + len(line) if end is None else offset  # the end is read again if finishing fails
    if points:
        send()
    return end


def _send_artifacts(store: Store, stage: str, end: dict[str, Any], state: dict[str, Any], state_file: Path) -> None:
    for position, (name, folder, expected) in enumerate(end["artifacts"]):
        if position < state["files"]:
            continue
        if not _upload(store, state["run"], Path(name), folder, expected):
            say(f"{name} is missing or has changed since stage {stage} ended; it is not uploaded")
        state["files"] = position + 1
        write_json(state_file, state)


def _upload(store: Store, run_id: str, path: Path, folder: str, expected: list[int | str] | None) -> bool:
    """Whether it was as recorded, and is uploaded: a later run's file must not pass for this one's."""
    if expected is None or stamp(path) != expected:
        return False
    store.upload(run_id, path, "/".join(filter(None, (folder, path.name if path.is_dir() else ""))))
    return True


def _finish(store: Store, header: dict[str, Any], end: dict[str, Any], state: dict[str, Any]) -> None:
    """Give the run its status, and the reproduction's run the headline and what follows for its status."""
    from mlflow.entities import Metric

    client, run_id, parent, status = store.client, state["run"], state["parent"], end["end"]
    for name, value in (end.get("tags") or {}).items():
        if name == "resumed_from" and (others := store.find(f"tags.`jscgc.id` = '{value}'")):
            value = others[0].info.run_id
        client.set_tag(run_id, name, value)
    if tables := end.get("tables"):
        client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps([{"path": n, "type": "table"} for n in tables]))
    if description := end.get("description"):
        text = description.replace("{artifacts}", f"get-artifact?run_uuid={run_id}&path=")
        for run in filter(None, (run_id, parent)):
            client.set_tag(run, "mlflow.note.content", text)
    if end["error"]:
        client.set_tag(run_id, "jscgc.error", end["error"][:500])
    for twin in store.find(f"tags.`jscgc.id` = '{header['id']}'"):  # a slow server may have obeyed a retried request
        if twin.info.run_id != run_id:
            client.delete_run(twin.info.run_id)
    client.set_terminated(run_id, status, end["time_ms"])
    if parent is None:
        return
    if headline := end.get("headline"):
        points = [Metric(clean(name), value, end["time_ms"], 0) for name, value in headline.items()]
        for start in range(0, len(points), 1000):
            client.log_batch(parent, metrics=points[start : start + 1000])
    mark, tags = f"jscgc.failed.{clean(header['stage'])}", client.get_run(parent).data.tags
    if status != "FINISHED":
        client.set_tag(parent, mark, status)
    elif mark in tags:
        client.delete_tag(parent, mark)
    others = [tags[name] for name in tags if name.startswith("jscgc.failed.") and name != mark]
    client.set_terminated(parent, others[0] if others and status == "FINISHED" else status, end["time_ms"])
