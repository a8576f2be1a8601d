"""The space file of a sweep: which keys of params.yaml are searched, where, and how trials are scored.

Everything is checked against the typed parameters before anything starts: a key that params.yaml has not, a value of the wrong
type or out of range, a key that nothing depends on is one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from jscgc.channel.params import ChannelName
from jscgc.config import ParamsError, Positive, Rate, Section, complaints, overlay, read_yaml
from jscgc.params import Params
from jscgc.sweep.chain import acts_on, trained_names

METRIC = "feature_distance_efficientnet_lite0"
FIXED = {
    "data": "decides which photographs are scored",
    "evaluate": "decides how trials are scored; the space file has its own section evaluate",
    "seed": "is chance, not a choice",
    "profile": "is a name",
    "device": "is where it runs, not what",
}
"""Sections that no sweep may search, and why."""


class DoNotFit(ParamsError):
    """Each value is right by itself, but they do not work together."""


class Axis(Section):
    """Where one key is searched: exactly one of these. Both ends of a range belong to it."""

    uniform: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    log_uniform: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    integer: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    choice: Annotated[list[Any], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Axis:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("expected one of uniform, log_uniform, integer, choice")
        if given[0] != "choice":
            low, high = getattr(self, given[0])
            if low >= high:
                raise ValueError(f"{given[0]}: the first end must be below the second, got [{low}, {high}]")
            if given[0] == "log_uniform" and low <= 0:
                raise ValueError(f"log_uniform: the ends must be above 0, got {low}")
        elif any(value in self.extremes[:place] for place, value in enumerate(self.extremes)):
            raise ValueError("choice: a value is there twice")
        return self

    @property
    def extremes(self) -> list[Any]:
        """The values by which the whole axis is checked: both ends, or every choice."""
        return list(self.choice or self.uniform or self.log_uniform or self.integer or ())


class Halving(Section):
    """ASHA: at each rung, all but the best 1/reduction of the trials that came so far are stopped."""

    rungs: Annotated[int, Field(ge=1, le=8)] = 3
    """Times that a trial is scored, the last at the end of its training. 1: no trial is stopped early."""
    reduction: Annotated[int, Field(ge=2, le=8)] = 2
    """Training up to a rung takes so many times the steps of the rung before."""

    def steps(self, rung: int, total: int) -> int:
        """Training steps (of `total`) up to a rung, counted from 0."""
        return max(1, -(-total // int(self.reduction ** (self.rungs - 1 - rung))))


class Grid(Section):
    """The conditions under which a trial is scored, on validation photographs."""

    channels: list[ChannelName] = Field(default=["awgn"], min_length=1)
    snr_db: Annotated[list[float], Field(min_length=1)]
    rates: Annotated[list[Rate], Field(min_length=1)]
    seeds: Positive = 1
    photos: Positive = 8
    """So many of the validation photographs, evenly spread."""


def _system(name: str) -> str:
    if name not in trained_names():
        raise ValueError(f"nothing of {name!r} is trained; choose from {', '.join(trained_names())}")
    return name


class Space(Section):
    """A space file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]
    system: Annotated[str, AfterValidator(_system)] = "jscgc"
    metric: str = METRIC
    search: Literal["optuna", "random"] = "optuna"
    """optuna: its tree-structured Parzen estimator. random: the baseline."""
    trials: Positive
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    asha: Halving = Halving()
    evaluate: Grid
    fixed: dict[str, Any] = Field(default={})
    """Laid over params.yaml in every trial, such as a shorter training; not part of the result."""
    space: Annotated[dict[str, Axis], Field(min_length=1)]
    """Dotted key of params.yaml -> where it is searched."""


def read_space(path: Path) -> Space:
    """Read a space file.

    Raises:
        ParamsError: no such file, no YAML, unknown keys or wrong values; one line that names them.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected a mapping with name, trials, evaluate and space")
    try:
        return Space.model_validate(content)
    except ValidationError as error:
        raise ParamsError(f"{path}: {complaints(error)}") from None


def check(space: Space, params: Params, path: Path) -> Params:
    """The parameters that all trials have in common, after every axis was tried on them.

    Args:
        params: of params.yaml.
        path: of the space file, for errors.

    Raises:
        ParamsError: a system that params.yaml does not train, a key that it has not, a value of a wrong type or out of range, or
            a key without effect.
    """
    from jscgc import metrics

    try:
        metrics.info(space.metric)
        if missing := metrics.available()[space.metric]:
            raise ValueError(f"{space.metric} can't run here: {missing}")
        base = changed(params, space.fixed)
    except ValueError as error:
        raise ParamsError(f"{path}: {'fixed: ' if isinstance(error, ParamsError) else 'metric: '}{error}") from None
    if space.system not in base.trained:
        raise ParamsError(f"{path}: system: params.yaml does not train {space.system}; give its baselines that key")
    for key, axis in space.space.items():
        _check_key(key, space, base, path)
        for value in axis.extremes:
            try:
                changed(base, {key: value})
            except DoNotFit:
                continue  # it may with other values than params.yaml's; sets that do not are not proposed
            except ParamsError as error:
                raise ParamsError(f"{path}: space: {error}") from None
    return base


def _check_key(key: str, space: Space, base: Params, path: Path) -> None:
    known = sorted(keys(base.model_dump(mode="json")))
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        last = [name for name in known if name.split(".")[-1] == key.split(".")[-1]]
        hint = next((name for name in last if name.split(".")[0] == key.split(".")[0]), near[0] if near else "")
        raise ParamsError(f"{path}: space: params.yaml has no {key}{f'; did you mean {hint}?' if hint else ''}")
    section = key.split(".")[0]
    if why := FIXED.get(section):
        raise ParamsError(f"{path}: space: {key} can't be searched: {section} {why}")
    if not acts_on(space.system, key, base.init):
        raise ParamsError(
            f"{path}: space: {key} has no effect on {space.system} with init {base.init}; take it out, or sweep another system"
        )


def keys(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of all values and sections."""
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from keys(value, f"{prefix}{key}.")


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
        if isinstance(value, Mapping) and isinstance(place.get(last), dict):
            place[last] |= nested(value)
        else:
            place[last] = nested(value) if isinstance(value, Mapping) else value
    return result


def changed(params: Params, values: Mapping[str, Any]) -> Params:
    """The parameters with these changes: dotted keys, or nested sections.

    Raises:
        DoNotFit: the values do not work together.
        ParamsError: one of them is not valid; one line.
    """
    content = params.model_dump(mode="json")
    try:
        overlay(content, deepcopy(nested(values)))
        return Params.model_validate(content)
    except ValidationError as error:
        together = all(entry["type"] == "value_error" and isinstance(entry["input"], dict) for entry in error.errors())
        raise (DoNotFit if together else ParamsError)(complaints(error)) from None
    except ParamsError as error:
        raise ParamsError(str(error).removeprefix("profile: ")) from None
