"""Versions of one registered model: which holds what, whether its files are still there, and which is the best.

A version is `there` while its run is neither deleted nor purged (`mlflow gc`) and has its files. One that is not keeps none of
our aliases: `best` and `best-PROTOCOL` go to the best that is there, by the rule that they were given by.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jscgc.tracking.spool import say

if TYPE_CHECKING:
    from jscgc.tracking.store import Store

ARTIFACTS = "models"
"""Folder of a run with the models that its stage trained."""
BEST = "best"
GONE = "gone"
"""Tag of a version that is not there."""


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


def of_model(client: Any, name: str) -> list[Any]:
    """The versions of a registered model that are ours, oldest first."""
    found = [version for version in client.search_model_versions(f"name = '{name}'") if "sha256" in version.tags]
    return sorted(found, key=lambda version: int(version.version))


def place_of(name: str) -> str:
    """Where in a run's artifacts the files of a registered model's version are."""
    return f"{ARTIFACTS}/{name.rsplit('.', 1)[-1]}"


def there(store: Store, version: Any) -> bool:
    """Whether a version's run and files are; of a registry that other stores write to, too, nothing is known: True."""
    from mlflow.exceptions import MlflowException

    if os.environ.get("MLFLOW_REGISTRY_URI", store.client.tracking_uri) != store.client.tracking_uri:
        return True
    try:
        run = store.client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return run.info.lifecycle_stage == "active" and "model.json" in store.files(version.run_id, place_of(version.name))


def with_content(store: Store, name: str, sha256: str) -> str | None:
    """The number of the version with this content that is there, if any; later ones (a slow server obeyed a retried request) are
    deleted. It takes the place of earlier ones that are gone: has their scores and aliases, and is what other models' tags name.
    """
    client = store.client
    same = [version for version in of_model(client, name) if version.tags["sha256"] == sha256]
    kept, *twins = [version for version in same if there(store, version)] or [None]
    if kept is None:
        return None
    for twin in twins:
        client.delete_model_version(name, twin.version)
    for gone in (version for version in same if version not in (kept, *twins)):
        _succeed(client, name, gone, kept)
    return str(kept.version)


def _succeed(client: Any, name: str, gone: Any, successor: Any) -> None:
    say(f"{name} {gone.version}, whose run or files are gone, was trained again: it is version {successor.version} now")
    for key in gone.tags.keys() - successor.tags.keys() - {GONE}:
        client.set_model_version_tag(name, successor.version, key, gone.tags[key])
    aliases = client.get_registered_model(name).aliases
    for alias in [alias for alias, number in aliases.items() if str(number) == str(gone.version)]:
        client.set_registered_model_alias(name, alias, successor.version)
    before, now = (f"models:/{name}/{version.version}" for version in (gone, successor))
    for version in client.search_model_versions(f"tags.vae = '{before}'"):
        client.set_model_version_tag(version.name, version.version, "vae", now)
    client.delete_model_version(name, gone.version)


def rank(store: Store, name: str, version: str, score: Score) -> None:
    """Note the score on the version, and set the aliases to the best version by this protocol."""
    client, decides = store.client, f"{score.protocol}/{score.ranked_by}"
    metrics = {key: f"{value:.6g}" for key, value in score.metrics.items() if math.isfinite(value)}
    if score.ranked_by not in metrics:
        return
    exact = {decides: repr(float(score.metrics[score.ranked_by]))}
    for key, value in {**metrics, **exact, "protocol": score.protocol}.items():
        client.set_model_version_tag(name, version, key, value)
    rule = f"{decides}, {score.better} is better"
    best = _best(store, name, rule) or version
    for alias in (f"{BEST}-{score.protocol}", BEST):
        client.set_registered_model_alias(name, alias, best)
        client.set_registered_model_tag(name, _rule_of(alias), rule)


def mend(store: Store, name: str) -> None:
    """Mark the versions that are gone (and unmark what was restored), say so once, and take the aliases from them."""
    client, gone = store.client, set()
    for version in of_model(client, name):
        if there(store, version):
            if GONE in version.tags:
                client.delete_model_version_tag(name, version.version, GONE)
            continue
        gone.add(str(version.version))
        if GONE not in version.tags:
            say(f"{name} {version.version}: its run or its files are gone; the same training makes it anew")
            client.set_model_version_tag(name, version.version, GONE, "its run or its files")
    model = client.get_registered_model(name)
    for alias, number in model.aliases.items():
        if str(number) not in gone or alias.split("-")[0] != BEST:
            continue
        protocol = alias.removeprefix(BEST).removeprefix("-")
        last = model.tags.get(_rule_of(BEST), "")  # of registries from before each protocol's rule was kept
        rule = model.tags.get(_rule_of(alias), last if last.startswith(f"{protocol}/") else "")
        if best := _best(store, name, rule):
            client.set_registered_model_alias(name, alias, best)
        else:
            client.delete_registered_model_alias(name, alias)
        say(
            f"{name}@{alias} was version {number}, which is gone; it is {f'version {best}' if best else 'no version'} now"
        )


def _rule_of(alias: str) -> str:
    """The tag of a registered model that says what an alias was decided by."""
    return alias.replace(BEST, "best_by", 1)


def _best(store: Store, name: str, rule: str) -> str | None:
    """The best version that is there, by `PROTOCOL/METRIC, lower (or higher) is better`. Of equal ones the alias stays where it
    is, or goes to the older."""
    decides, _, better = rule.partition(", ")
    scored = [version for version in of_model(store.client, name) if decides in version.tags]
    sign = -1 if better.startswith("higher") else 1
    holder = str(store.client.get_registered_model(name).aliases.get(f"{BEST}-{decides.partition('/')[0]}", ""))
    order = sorted(scored, key=lambda v: (sign * float(v.tags[decides]), str(v.version) != holder, int(v.version)))
    return next((str(version.version) for version in order if there(store, version)), None)
