"""Which values to try next: Optuna, asked one trial at a time.

A proposal follows from the sweep's seed, its own index and what has ended before it, and from nothing that a killed driver would
take along: random ones, and the first ones of Optuna's estimator, are the same whatever happened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jscgc.config import ParamsError, digest
from jscgc.sweep.journal import Trial
from jscgc.sweep.space import Axis, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

STARTUP = 8
"""Trials before Optuna's estimator models anything; until then it draws at random."""
PATIENCE = 100
"""Draws until a set of values is accepted; beyond that the space has none to speak of."""


class Proposer:
    """Proposes values, and learns from the trials that have ended.

    Args:
        works: raises ParamsError for values that do not work together; others are drawn then.
        better: whether lower or higher scores are better.
    """

    def __init__(self, space: Space, works: Callable[[Mapping[str, Any]], object], better: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._works = space, works
        self._axes = {key: _distribution(axis) for key, axis in space.space.items()}
        self._study = optuna.create_study(direction="minimize" if better == "lower" else "maximize")

    def learn(self, trials: Iterable[Trial], rungs: int) -> None:
        """Take ended trials into account, each once. Of those that were stopped early Optuna knows how far they came."""
        from optuna.trial import TrialState, create_trial

        states = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
        known = {trial.user_attrs["name"] for trial in self._study.get_trials(deepcopy=False)}
        for trial in trials:
            if trial.state is None or trial.name in known:
                continue
            scores = {rung: metrics["score"] for rung, metrics in trial.scores.items() if rung < rungs}
            self._study.add_trial(
                create_trial(
                    params={key: _plain(self._space.space[key], value) for key, value in trial.values.items()},
                    distributions=self._axes,
                    intermediate_values=scores,
                    value=trial.score if trial.state == "finished" else None,
                    state=states[trial.state],
                    user_attrs={"name": trial.name},
                )
            )

    def propose(self, index: int, pending: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Values for trial `index`.

        Args:
            pending: values of trials that run now; the same ones are not proposed again where others are left.

        Raises:
            ParamsError: no values were found that work together.
        """
        taken = [dict(values) for values in pending]
        why, last = "", None
        for attempt in range(PATIENCE):
            values = self._draw(index, attempt)
            try:
                self._works(values)
            except ParamsError as error:
                why = str(error)
                continue
            last = values
            if values not in taken:
                return values
        if last is not None:
            return last
        raise ParamsError(f"space: {PATIENCE} draws gave no values that work together: {why}")

    def rejected(self, draws: int) -> tuple[int, str]:
        """Of so many random draws, how many do not work together; and why one of them does not."""
        why: list[str] = []
        for attempt in range(draws):
            try:
                self._works(self._draw(0, attempt))
            except ParamsError as error:
                why.append(str(error))
        return len(why), why[0] if why else ""

    def _draw(self, index: int, attempt: int) -> dict[str, Any]:
        from optuna.samplers import RandomSampler, TPESampler
        from optuna.trial import TrialState

        seed = int(digest(self._space.seed, index, attempt), 16) % 2**32
        random = RandomSampler(seed=seed)
        # The estimator would count what is proposed now; it is told of a trial only when that has ended.
        ended = sum(t.state != TrialState.FAIL for t in self._study.get_trials(deepcopy=False))
        modelled = self._space.search == "optuna" and index >= STARTUP and ended >= STARTUP // 2
        sampler = TPESampler(n_startup_trials=0, seed=seed) if modelled else random
        study = _copy(self._study, sampler)
        drawn = study.ask(self._axes).params
        return {key: _value(self._space.space[key], drawn[key]) for key in self._space.space}


def _copy(study: Any, sampler: Any) -> Any:
    """The study with another sampler, so that asking leaves no trace in it."""
    import optuna

    other = optuna.create_study(direction=study.direction, sampler=sampler)
    other.add_trials(study.get_trials(deepcopy=False))
    return other


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.choice is not None:
        return CategoricalDistribution([json.dumps(value) for value in axis.choice])  # of text: lists are no choices
    if axis.integer is not None:
        return IntDistribution(low=axis.integer[0], high=axis.integer[1])
    if axis.log_uniform is not None:
        return FloatDistribution(low=axis.log_uniform[0], high=axis.log_uniform[1], log=True)
    assert axis.uniform is not None
    return FloatDistribution(low=axis.uniform[0], high=axis.uniform[1])


def _plain(axis: Axis, value: Any) -> Any:
    return json.dumps(value) if axis.choice is not None else value


def _value(axis: Axis, drawn: Any) -> Any:
    """As a parameter: five digits are enough of a number between two ends, and are what a person would write."""
    if axis.choice is not None:
        return json.loads(drawn)
    if axis.integer is not None:
        return int(drawn)
    low, high = axis.log_uniform or axis.uniform or (drawn, drawn)
    return min(max(float(f"{drawn:.5g}"), low), high)
