"""Sections `objective` and `sample` of params.yaml."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from jscgc.config import Positive, Section
from jscgc.flow.solver import SOLVERS


def _shift(value: Any) -> float | str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if number and value > 0:
        return float(value)
    if value == SCHEDULER:
        return SCHEDULER
    raise ValueError(f"expected a positive number, or {SCHEDULER}: that of the pretrained generator's")


SCHEDULER = "scheduler"
TimeShift = Annotated[float | str, PlainValidator(_shift), PlainSerializer(lambda value: value)]
"""Above 1: more of the times at high noise. `scheduler`: as the scheduler beside a pretrained generator has it
(`generator.scheduler_shift`)."""


def known_shift(shift: float | str, read: float | None = None) -> float:
    """A shift as a number.

    Args:
        read: what the generator's scheduler says.

    Raises:
        ValueError: it is that of a scheduler which is not known.
    """
    if not isinstance(shift, str):
        return shift
    if read is None:
        raise ValueError("time_shift scheduler is for pretrained generators, and this one has none; state a number")
    return read


class ObjectiveParams(Section):
    """At which t the loss (4) looks and how much each t counts; t = 0 is data, t = 1 is noise (the paper's direction)."""

    time_law: Literal["uniform", "logit_normal", "shifted"]
    """Law of t in training: the paper gives none."""
    time_shift: TimeShift = 1.0
    """s of the law `shifted`, t = s u / (1 + (s - 1) u): above 1 more noise."""
    weight_power: Annotated[float, Field(ge=0, le=1)] = 0.0
    """a of the weight ((1 - t) / t)^a: 0 the paper's (4), 1 the likelihood weighting."""

    @model_validator(mode="after")
    def _shift_acts(self) -> ObjectiveParams:
        if self.time_shift != 1 and self.time_law != "shifted":
            raise ValueError(f"time_shift {self.time_shift} acts on time_law shifted only, which is {self.time_law}")
        return self


def _guidance(value: Any) -> float | list[tuple[float, float]]:
    """A weight, or points of distinct SNRs."""

    def number(x: Any) -> bool:
        return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)

    if number(value) and value >= 0:
        return float(value)
    if isinstance(value, list | tuple) and value and all(isinstance(p, list | tuple) and len(p) == 2 for p in value):
        points = [(snr_db, weight) for snr_db, weight in value]
        right = all(number(snr_db) and number(weight) and weight >= 0 for snr_db, weight in points)
        if right and len({snr_db for snr_db, _ in points}) == len(points):
            return [(float(snr_db), float(weight)) for snr_db, weight in points]
    raise ValueError(
        "expected a weight from 0, or points [snr_db, weight] of distinct SNRs, such as [[-5, 2], [10, 1.2]]"
    )


Guidance = Annotated[float | list[tuple[float, float]], PlainValidator(_guidance), PlainSerializer(lambda value: value)]
"""1: the conditional field; 0: unconditional; above 1: extrapolated. Or points [snr_db, weight], linear in between."""


class CalibratedParams(Section):
    """Settings that were chosen so that several samples differ about as much as they are wrong: few steps or guidance draw them
    together."""

    steps: Positive = 16
    guidance: Guidance = 1.0


class SampleParams(Section):
    """How the receiver samples."""

    steps: Positive
    guidance: Guidance
    """1: the conditional field; 0: unconditional; above 1: extrapolated. Or points [snr_db, weight], linear in between."""
    reconstruction_guidance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """diffjscc: how far every step's estimate of the image is pulled to its codec's reconstruction; 1: all the way."""
    solver: Annotated[str, AfterValidator(SOLVERS.check)] = "euler"
    time_shift: TimeShift = 1.0
    """Above 1: more of the steps at high noise."""
    calibrated: CalibratedParams = CalibratedParams()
    """Steps and guidance where several samples of one signal are drawn: for their mean and for what is made up."""

    def several(self) -> SampleParams:
        """As for several samples of one signal."""
        return self.model_copy(update=dict(self.calibrated))

    def named(self) -> tuple[str, ...]:
        return (SOLVERS.module(self.solver),)


def untold(samples: int = 1) -> SampleParams:
    """What the sampler does where nobody says otherwise, for so many samples of one signal."""
    params = SampleParams(steps=4, guidance=1.5)
    return params.several() if samples > 1 else params
