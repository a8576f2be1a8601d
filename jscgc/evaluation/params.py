"""Section `evaluate` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from jscgc.channel.params import ChannelName
from jscgc.config import Positive, Rate, Section, UserPath, each_once
from jscgc.method import METHODS
from jscgc.metrics.registry import check_available, randomly

MethodName = Annotated[str, AfterValidator(METHODS.check)]


def _distinct(channels: list[str]) -> list[str]:
    if twice := [channel for channel in channels if channels.count(channel) > 1]:
        raise ValueError(f"{twice[0]} is there twice; options at their default value make no other channel")
    return channels


def snr_step(snr_db: float) -> int:
    """The step of MLflow that stands for an SNR: hundredths of a dB."""
    return round(100 * snr_db)


def _apart(snrs_db: list[float]) -> list[float]:
    different = sorted(set(snrs_db))
    steps = [snr_step(snr_db) for snr_db in different]
    if twice := [snr_db for snr_db, step in zip(different, steps, strict=True) if steps.count(step) > 1]:
        raise ValueError(f"{' and '.join(f'{snr_db:g}' for snr_db in twice)} dB are nearer than a hundredth of a dB")
    return snrs_db


def _several(steps: Any) -> Any:
    """A single number is a list of one; 0 of none."""
    if isinstance(steps, int) and not isinstance(steps, bool) and steps >= 0:
        return [steps] if steps else []
    if not isinstance(steps, list):
        raise ValueError("expected a number of steps, 0 for none, or a list such as [10, 20, 50]")
    return steps


def _as_written(steps: list[int]) -> int | list[int]:
    """One number as it has always been written: protocols with it keep their hash."""
    return steps if len(steps) > 1 else sum(steps)


Steps = Annotated[
    list[Positive],
    BeforeValidator(_several),
    AfterValidator(lambda steps: sorted(set(steps))),
    PlainSerializer(_as_written),
]
"""Numbers of sampling steps, rising; 0: none."""


class LinkPlace(Section):
    """A condition of the grid."""

    snr_db: float
    rate: Rate


class GridParams(Section):
    """What methods are measured at, channel x snr_db x rate x image x seed, and by what."""

    channels: Annotated[list[ChannelName], Field(min_length=1), AfterValidator(_distinct)]
    snr_db: Annotated[list[float], Field(min_length=1), AfterValidator(_apart)]
    rates: Annotated[list[Rate], Field(min_length=1)]
    seeds: Positive
    """Independent channel (and sampler) draws per condition."""
    patch: Literal[64, 128, 256]
    """Patch side in pixels for FID and KID; the second grid is shifted by half of it. 256 is the literature's for Kodak."""
    information_points: Annotated[int, Field(ge=0)] = 0
    """Points of the estimate of I(X; Y_hat), three network calls each, first seed only; 0 leaves it out."""
    dial: list[Positive] = Field(default=[])
    """Numbers N of samples (drawn as `sample.calibrated` says) whose mean is scored too, at the middle SNR, first channel,
    highest rate and first seed."""
    reference_steps: Steps = Field(default=[])
    """One number or several: jscgc with so many steps each, all seeds, over the first channel; few steps are compared with the
    most, and quality and time are drawn over all. 0 leaves it out."""
    reference_at: LinkPlace | None = None
    """Where, of the grid; none: the middle SNR and the highest rate, as of `dial`."""
    metrics: Annotated[list[str], AfterValidator(each_once)] = Field(default=[])
    """Metrics to score with, by their registered names; empty: all that can run here."""
    metric_weights: Literal["real", "random"] = "real"
    """random: in the place of metrics on large pretrained networks, small random ones of the same class, whose numbers mean
    nothing and are called NAME_random everywhere: a rehearsal without downloads."""
    headline_metrics: Annotated[list[str], AfterValidator(each_once)] = Field(default=[])
    """Of these, what is scored at the headline's condition (first channel, middle SNR, middle rate) and first draw only: metrics
    that take seconds a picture."""

    @model_validator(mode="after")
    def _within(self) -> Self:
        if (at := self.reference_at) and (at.snr_db not in self.snr_db or at.rate not in self.rates):
            raise ValueError(
                f"reference_at: {at.snr_db:g} dB at rate {at.rate} is not of the grid, snr_db {self.snr_db} and rates "
                f"{self.rates}; name one that is"
            )
        return self

    def scored(self, names: list[str]) -> list[str]:
        """What stands for these metrics, by `metric_weights`."""
        return [randomly(name) for name in names] if self.metric_weights == "random" else names

    def check_metrics(self) -> None:
        """Whether every metric that is named can run here.

        Raises:
            ValueError: one is unknown or can't; says all that is missing.
        """
        check_available(self.scored([*self.metrics, *self.headline_metrics]), "evaluate.metrics")


class EvaluateParams(GridParams):
    """The methods, the grid that they are measured at, and on what."""

    methods: Annotated[list[MethodName], Field(min_length=1)]
    conditions: Literal["all", "finetuned"] = "all"
    """Of channels x snr_db x rates what is measured: all, or those that a link of section `finetune` is for."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Ray workers, 0 for as many as there is room for: without a GPU one per `cpus_per_worker` cores."""
    cpus_per_worker: Positive = 1
    """Cores, and threads of torch, of a worker. More threads add up in another order: the last digits may move."""
    gpus_per_worker: Annotated[float, Field(gt=0, le=1)] = 1.0
    """GPUs of a worker where there are any: 0.5 lets two share one."""
    store: UserPath = ".jscgc/results"
    """Folder where finished jobs are kept and looked up; empty: every job is run every time."""
