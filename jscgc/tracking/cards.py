"""What the registry says in words: a registered model's card, and in one line what a version differs by from the one before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc.tracking.versions import of_model, there

if TYPE_CHECKING:
    from jscgc.tracking.store import Store

LONGEST = 5000
"""Characters of a description in MLflow's database."""
SHOWN = 5
"""Parameters that a line names."""


@dataclass(frozen=True)
class Card:
    """What a stage knows of a model and its registered version shall say, or bring.

    text: the registered model's description, in Markdown.
    settings: dotted names of the parameters, or of sections of them, that its training depends on.
    companions: folders of the models that it can't receive without.
    cbr: one that it sends, such as `8/768`; "": it sends nothing by itself, and MLflow can't call it.
    """

    text: str = ""
    settings: Sequence[str] = ()
    companions: Sequence[Path] = ()
    cbr: str = ""


def describe(store: Store, name: str, text: str) -> None:
    """Make the card the registered model's description, unless somebody has written another."""
    client, text = store.client, text[:LONGEST]
    model = store.client.get_registered_model(name)
    if text and (not model.description or _sum(model.description) == model.tags.get("card")):
        if model.description != text:
            client.update_registered_model(name, text)
        client.set_registered_model_tag(name, "card", _sum(text))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def line(store: Store, name: str, run_id: str, tags: Mapping[str, str], settings: Sequence[str]) -> str:
    """What a version that is about to be made differs by from the newest that is there.

    Args:
        tags: the new version's. settings: as of `Card`.
    """
    earlier = [version for version in of_model(store.client, name) if there(store, version)]
    commit = tags.get("commit", "unknown")
    if not earlier:
        return f"The first; commit {commit[:7]}."
    before, params = earlier[-1], _params(store, run_id, settings)
    had = _params(store, before.run_id, settings) or params
    changed = [
        f"{key} {params.get(key, 'absent')} (was {had.get(key, 'absent')})"
        for key in sorted(params.keys() | had.keys())
        if params.get(key) != had.get(key)
    ]
    changed = changed[:SHOWN] + ([f"{len(changed) - SHOWN} more parameters"] if len(changed) > SHOWN else [])
    words = {"dataset_hash": "other photographs", "vae": f"on {tags.get('vae', '')}", "commit": f"commit {commit[:7]}"}
    changed += [said for tag, said in words.items() if tag in tags and tags[tag] != before.tags.get(tag)]
    return f"Beside version {before.version}: {'; '.join(changed) or 'the same settings, photographs and commit'}."[
        :LONGEST
    ]


def _params(store: Store, run_id: str, settings: Sequence[str]) -> dict[str, Any]:
    """Of a run, those that count; none of a run that another store has."""
    from mlflow.exceptions import MlflowException

    try:
        every = store.client.get_run(run_id).data.params
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return {
        key: value for key, value in every.items() if any(key == one or key.startswith(f"{one}.") for one in settings)
    }
