"""Registered models: a version for each content that was trained, and the alias `best` on the one that scored best.

A name is jscgc.PROFILE.MODEL, so that profiles never meet. A version is its content: the same model.json and weights again are
the same version. `best` follows one number, the `Score` of an evaluation, among the versions that were evaluated by the protocol
that was used last; `best-PROTOCOL` keeps the best by any other. `latest` is MLflow's own name for the newest. A version of what
sends photographs holds all that it needs, and MLflow can load and serve it (`flavor`).
"""

from __future__ import annotations

import filecmp
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc.files import sha256
from jscgc.tracking import cards, flavor
from jscgc.tracking.spool import EXPERIMENT, locked, reason, say, stamp
from jscgc.tracking.versions import Score, mend, place_of, rank, with_content

if TYPE_CHECKING:
    from jscgc.tracking.store import Store

NO_REGISTRY = (
    *("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED", "PERMISSION_DENIED"),
    *("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"),
)
"""Errors of a store that has no registry, or does not take this model: trying again would not help."""


class RegistryAway(Exception):
    """The registry can't be reached now; what was to be registered is still in the spool."""


def registered_name(profile: str, model: str) -> str:
    """jscgc.PROFILE.MODEL, without what MLflow or its filters do not take."""
    return re.sub(r"[^\w\-.]", "_", ".".join(filter(None, (EXPERIMENT, profile, model))))


def register(store: Store, models: list[dict[str, Any]], run_id: str) -> None:
    """Register the models of a run that has ended, as `StageRun.model` noted them. Does nothing twice.

    Raises:
        RegistryAway: the registry, or the place of the artifacts, can't be reached.
    """
    from jscgc.tracking.store import failures

    if models and store.registry_away:
        raise RegistryAway
    said = False
    for model in models:
        try:
            with locked(store.lock):
                version = _version(store, model, run_id)
                if version:
                    if model["score"]:
                        rank(store, model["name"], version, Score(**model["score"]))
                    cards.describe(store, model["name"], model.get("card", {}).get("text", ""))
                    mend(store, model["name"])
        except failures() as error:
            if getattr(error, "error_code", None) in NO_REGISTRY:
                if not said:
                    say(f"{model['name']} is not registered: {reason(error)}")
                said = True
                continue
            store.registry_away = True
            say(f"{reason(error)}; models are registered by a later stage")
            raise RegistryAway from error


def _version(store: Store, model: dict[str, Any], run_id: str) -> str | None:
    """The number of the version with this content; made, with the run's artifacts as its source, if there is none."""
    from mlflow.exceptions import MlflowException

    name, folder, place = model["name"], Path(model["folder"]), place_of(model["name"])
    client: Any = store.client
    if version := with_content(store, name, model["tags"]["sha256"]):
        _callable(store, model, client.get_model_version(name, version).run_id)
        return version
    if model["stamp"] is None or stamp(folder) != model["stamp"]:
        say(f"{folder} is missing or has changed since its stage ended; it is not registered")
        return None
    has = [size for file, size in store.files(run_id, place).items() if file not in flavor.FILES]
    if [len(has), sum(has)] != model["stamp"][:2]:  # an evaluated model whose training this store knows nothing of
        store.upload(run_id, folder, place)
    _callable(store, model, run_id)
    try:
        client.create_registered_model(name, tags={"profile": model["tags"].get("profile", "")})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = dict(model["tags"])
    if vae := tags.get("vae_sha256"):
        vae_name = _beside(name, "vae")
        number = with_content(store, vae_name, vae)
        tags |= {"vae": f"models:/{vae_name}/{number}"} if number else {}
    about = cards.line(store, name, run_id, tags, model.get("card", {}).get("settings", ()))
    source = f"runs:/{run_id}/{place}"
    client.create_model_version(name, source, run_id, tags=tags, description=about, await_creation_for=0)
    return with_content(store, name, model["tags"]["sha256"])


def _callable(store: Store, model: dict[str, Any], run_id: str) -> None:
    """Put beside a version's files what MLflow calls it by, and within them the models that it can't receive without."""
    card, place = model.get("card", {}), place_of(model["name"])
    if not card.get("cbr") or flavor.MLMODEL in store.files(run_id, place):
        return
    for name, expected in card["companions"]:
        companion = Path(name)
        if expected is None or stamp(companion) != expected:
            say(f"{companion} has changed since; MLflow can call {model['name']} after its next evaluation")
            return
        store.upload(run_id, companion, f"{place}/{companion.name}")
        _once(store, model["name"], companion, run_id)
    with tempfile.TemporaryDirectory() as temporary:
        flavor.write(Path(temporary), card["cbr"])
        for file in flavor.FILES:
            store.upload(run_id, Path(temporary) / file, place)


def _once(store: Store, name: str, companion: Path, run_id: str) -> None:
    """Where artifacts are files on this machine, a companion's weights lie there once, for however many versions."""
    other = _beside(name, companion.name)
    client: Any = store.client
    if not (number := with_content(store, other, sha256(companion))):
        return
    owner = _local(client, client.get_model_version(other, number).run_id)
    mine = _local(client, run_id)
    if owner is None or mine is None:
        return
    first, copy = owner / place_of(other), mine / place_of(name) / companion.name
    for file in copy.iterdir():
        if (first / file.name).is_file() and filecmp.cmp(first / file.name, file, shallow=False):
            link = file.with_name(f".{file.name}.link")
            try:
                os.link(first / file.name, link)
            except OSError:  # none on this file system
                return
            link.replace(file)


def _local(client: Any, run_id: str) -> Path | None:
    """Where a run's artifacts are, if on this machine."""
    from mlflow.utils import file_utils

    uri = str(client.get_run(run_id).info.artifact_uri)
    files: Any = file_utils
    return Path(files.local_file_uri_to_path(uri)) if uri.startswith(("file:", "/")) else None


def _beside(name: str, model: str) -> str:
    """Another registered model of the same profile."""
    return f"{name.rsplit('.', 1)[0]}.{model}"
