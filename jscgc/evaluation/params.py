"""Section `evaluate` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

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
    reference_steps: Annotated[int, Field(ge=0)] = 0
    """At that same condition, all seeds: jscgc with so many steps, which few steps are compared with; 0 leaves it out."""
    metrics: Annotated[list[str], AfterValidator(each_once)] = Field(default=[])
    """Metrics to score with, by their registered names; empty: all that can run here."""
    metric_weights: Literal["real", "random"] = "real"
    """random: in the place of metrics on large pretrained networks, small random ones of the same class, whose numbers mean
    nothing and are called NAME_random everywhere: a rehearsal without downloads."""
    headline_metrics: Annotated[list[str], AfterValidator(each_once)] = Field(default=[])
    """Of these, what is scored at the headline's condition (first channel, middle SNR, middle rate) and first draw only: metrics
    that take seconds a picture."""

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
