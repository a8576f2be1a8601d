"""MLflow, here and nowhere else: every stage is a run, every reproduction the parent of its stages' runs.

    stage --run.py--> .jscgc/spool/<stage>-<pid>-<time>.jsonl --delivery.py--> MLflow (SQLite, or a server)
                                                                   |--registry.py--> its registered models
                                                                           (versions.py, cards.py, flavor.py)

A stage only appends to its spool file, so that a dead, slow or dying server never stops or slows it. One process delivers for all
stages of a `dvc repro` (deliverer.py), a daemon thread of its own for any other. What could not be uploaded stays in the spool,
and the next stage (or `replay`) uploads it into the right run. Nothing is sent twice: a `.state.json` beside the spool keeps how
far the upload got, runs are found again by a tag, models by their checksum, and MLflow itself drops a point that it has got. A
spool is locked by the stage that writes it: an unlocked one belongs to the dead. A run that is taken up again (a sweep's trial, a
training ahead of its stage) has an identity of its own, by which each record goes on in the same run.
"""

from jscgc.tracking.cards import Card
from jscgc.tracking.deliverer import settled
from jscgc.tracking.processes import commit, dvc, reproduction
from jscgc.tracking.run import StageRun, replay, resumable_run, stage_run
from jscgc.tracking.spool import EXPERIMENT
from jscgc.tracking.store import client, ui_hint
from jscgc.tracking.versions import Score

__all__ = [
    "EXPERIMENT",
    "Card",
    "Score",
    "StageRun",
    "client",
    "commit",
    "dvc",
    "replay",
    "reproduction",
    "resumable_run",
    "settled",
    "stage_run",
    "ui_hint",
]
