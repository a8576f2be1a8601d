"""Registered models: a version for each content that was trained, and the alias `best` on the one that scored best.

A name is jscgc.PROFILE.MODEL, so that profiles never meet. A version is its content: the same model.json and weights again are
the same version. `best` follows one number, the `Score` of an evaluation, among the versions that were evaluated by the protocol
that was used last; `best-PROTOCOL` keeps the best by any other. `latest` is MLflow's own name for the newest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jscgc.tracking.spool import EXPERIMENT, locked, reason, say, stamp

if TYPE_CHECKING:
    from jscgc.tracking.store import Store

ARTIFACTS = "models"
"""Folder of a run with the models that its stage trained."""
NO_REGISTRY = (
    *("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED", "PERMISSION_DENIED"),
    *("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"),
)
"""Errors of a store that has no registry, or does not take this model: trying again would not help."""


class RegistryAway(Exception):
    """The registry can't be reached now; what was to be registered is still in the spool."""


@dataclass(frozen=True)
class Score:
    """What an evaluation found.

    protocol: hash of how it was measured; only scores of one protocol are compared.
    metrics: values for the version's tags. ranked_by: the one of them that decides, where `better` values are better.
    """

    protocol: str
    metrics: Mapping[str, float]
    ranked_by: str
    better: Literal["lower", "higher"]


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
                if version and model["score"]:
                    _rank(store.client, model["name"], version, Score(**model["score"]))
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

    client, name, folder = store.client, model["name"], Path(model["folder"])
    if version := _with_content(client, name, model["tags"]["sha256"]):
        return version
    if model["stamp"] is None or stamp(folder) != model["stamp"]:
        say(f"{folder} is missing or has changed since its stage ended; it is not registered")
        return None
    place = f"{ARTIFACTS}/{folder.name}"
    there = store.uploaded(run_id, place)
    if [len(there), sum(there)] != model["stamp"][:2]:  # an evaluated model whose training this store knows nothing of
        store.upload(run_id, folder, place)
    try:
        client.create_registered_model(name, tags={"profile": model["tags"].get("profile", "")})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = dict(model["tags"])
    if vae := tags.get("vae_sha256"):
        vae_name = f"{name.rsplit('.', 1)[0]}.vae"
        number = _with_content(client, vae_name, vae)
        tags |= {"vae": f"models:/{vae_name}/{number}"} if number else {}
    client.create_model_version(name, f"runs:/{run_id}/{place}", run_id, tags=tags, await_creation_for=0)
    return _with_content(client, name, model["tags"]["sha256"])


def _with_content(client: Any, name: str, sha256: str) -> str | None:
    """The number of the version with this content; later ones (a slow server obeyed a retried request) are deleted."""
    versions = [v for v in client.search_model_versions(f"name = '{name}'") if v.tags.get("sha256") == sha256]
    numbers = sorted(int(v.version) for v in versions)
    for twin in numbers[1:]:
        client.delete_model_version(name, str(twin))
    return str(numbers[0]) if numbers else None


def _rank(client: Any, name: str, version: str, score: Score) -> None:
    """Note the score on the version, and set the aliases to the best version by this protocol."""
    decides = f"{score.protocol}/{score.ranked_by}"
    metrics = {key: f"{value:.6g}" for key, value in score.metrics.items() if math.isfinite(value)}
    if score.ranked_by not in metrics:
        return
    exact = {decides: repr(float(score.metrics[score.ranked_by]))}
    for key, value in {**metrics, **exact, "protocol": score.protocol}.items():
        client.set_model_version_tag(name, version, key, value)
    values = {v.version: v.tags[decides] for v in client.search_model_versions(f"name = '{name}'") if decides in v.tags}
    sign = 1 if score.better == "lower" else -1
    holder = str(client.get_registered_model(name).aliases.get(f"best-{score.protocol}", ""))
    # Of equal ones that which has the alias keeps it, else the older gets it.
    best = min(values, key=lambda v: (sign * float(values[v]), str(v) != holder, int(v)))
    for alias in (f"best-{score.protocol}", "best"):
        client.set_registered_model_alias(name, alias, str(best))
    client.set_registered_model_tag(name, "best_by", f"{decides}, {score.better} is better")
