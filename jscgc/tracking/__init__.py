"""MLflow, here and nowhere else: every stage is a run, every reproduction the parent of its stages' runs.

    stage --run.py--> .jscgc/spool/<stage>-<pid>-<time>.jsonl --delivery.py, in a daemon thread--> MLflow (SQLite, or a server)
                                                                      |--registry.py--> its registered models

A stage only appends to its spool file, so that a dead, slow or dying server never stops or slows it. What could not
be uploaded stays in the spool, and the next stage (or `replay`) uploads it into the right run. Nothing is sent twice:
a `.state.json` beside the spool keeps how far the upload got, runs are found again by a tag, models by their checksum, and
MLflow itself drops a point that it has already got. A spool is locked by the stage that writes it: an unlocked one belongs to
the dead. A run that is resumed (a trial of a sweep) has an identity of its own, by which each record goes on in the same run.
"""

from jscgc.tracking.processes import commit
from jscgc.tracking.registry import Score
from jscgc.tracking.run import StageRun, replay, resumable_run, stage_run
from jscgc.tracking.spool import EXPERIMENT
from jscgc.tracking.store import ui_hint

__all__ = ["EXPERIMENT", "Score", "StageRun", "commit", "replay", "resumable_run", "stage_run", "ui_hint"]
