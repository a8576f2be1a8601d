"""Section `tracking` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jscgc.config import Section


class TrackingParams(Section):
    """What MLflow keeps of a training, beside its curve and the model."""

    checkpoints: Annotated[int, Field(ge=0)] = 1
    """Newest checkpoints of each training that are kept as artifacts, and the best one; one can be resumed from on another
    machine (`make resume`). Each is four times the size of what is trained. 0: none."""
