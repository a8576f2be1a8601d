"""Who wins, by how much, and whether that is more than chance: the words of the page's first lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from jscgc.evaluation.pairing import trainings
from jscgc.evaluation.statistics import Interval
from jscgc.report.checks import ENOUGH, advantage
from jscgc.report.headline import Headline, HeadlineRow
from jscgc.report.reading import OURS, Condition, metric_info, preferred
from jscgc.report.scope import Subject, scope, subject

TWO_STAGE = "diffjscc"
"""The opponent of the paper's claim: the same generator behind a codec that was trained for reconstruction."""


@dataclass(frozen=True)
class Duel:
    """JSCGC against one method on one metric, on the same trainings, photographs and draws; positive is better for JSCGC."""

    metric: str
    other: str
    gain: Interval
    share: tuple[float, float, float] | None
    """The gain and its interval as a share of the other's mean; None where that is zero."""
    p: float | None
    """Of the paired comparisons (`comparison.paired`); None for a set metric."""

    @property
    def photographs(self) -> int:
        """On which both have a value."""
        return self.gain.images

    @property
    def word(self) -> str:
        """`better`, `worse` or `unclear`: clear only if the interval of the paired difference (over trainings too, where one has
        several) excludes zero, p is below 0.05 where there is one, and the photographs are so many that it could be.
        """
        if self.photographs < ENOUGH or (self.p is not None and self.p >= 0.05):
            return "unclear"
        return "better" if self.gain.low > 0 else "worse" if self.gain.high < 0 else "unclear"

    @property
    def text(self) -> str:
        """`3.1 % better [+1.0, +5.2]`, in the metric's own unit where a share means nothing."""
        mean, low, high = self.share or (self.gain.mean, self.gain.low, self.gain.high)
        if self.share is None:
            return f"{mean:+.3g} [{low:+.3g}, {high:+.3g}]"
        return f"{100 * mean:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]".replace("-", "−")


@dataclass(frozen=True)
class Score:
    """On how many metrics JSCGC is clearly better, undecided, clearly worse than one method."""

    other: str
    better: list[str]
    unclear: list[str]
    worse: list[str]


@dataclass(frozen=True)
class Line:
    """One question of the headline: its metric, who has the best mean, and JSCGC beside the two that matter."""

    question: str
    row: HeadlineRow
    best: str
    best_text: str
    ours_text: str
    against_two_stage: Duel | None
    against_best: Duel | None


@dataclass(frozen=True)
class Verdict:
    """The page's first lines; `lines` and `scores` are empty where JSCGC was not evaluated."""

    sentence: str
    leader: str
    """Who has the best mean on the most metrics."""
    lines: list[Line]
    scores: list[Score]
    scope: str
    """What the intervals cover: these weights, or other trainings too."""


_QUESTIONS = {
    "perception": "Does it look like the original?",
    "realism": "Does the set look like photographs?",
    "semantics": "Is the same thing recognised?",
    "pixels": "How large is the pixel error?",
}
"""By `MetricInfo.axis`."""


def verdict(
    headline: Headline | None, cells: Mapping[Condition, pd.DataFrame], paired: Sequence[Mapping[str, Any]]
) -> Verdict | None:
    """Who wins at the headline's condition; None without one. `paired` are the summary's comparisons, for their p."""
    if headline is None:
        return None
    chances = {
        (r["metric"], r["other"]): r["p"]
        for r in sorted(paired, key=lambda r: (r["steps"], r["other_steps"]))
        if (r["method"], r["channel"], r["snr_db"], r["cbr"]) == (OURS, headline.channel, headline.snr_db, headline.cbr)
    }
    here = _here(headline, cells)
    duels = _duels(headline, here, chances)
    scores = [
        Score(other, *([d.metric for d in against if d.word == word] for word in ("better", "unclear", "worse")))
        for other in headline.methods
        if (against := [d for d in duels.values() if d.other == other])
    ]
    lines = [_line(headline, question, metric, duels) for question, metric in _key_metrics(headline).items()]
    few = min((d.photographs for d in duels.values()), default=ENOUGH) < ENOUGH
    methods = sorted(headline.methods, key=lambda method: method != OURS)
    counts = {m: min((trainings(cell) for key, cell in here.items() if key[0] == m), default=1) for m in methods}
    who = {method: subject(method, count) for method, count in counts.items()}
    sentence = _too_few(list(duels.values()), who) if few else _sentence(headline, scores, who)
    return Verdict(sentence, _leader(headline, who), [line for line in lines if line], scores, scope(counts))


def _too_few(duels: Sequence[Duel], who: Mapping[str, Subject]) -> str:
    """What can be said with fewer photographs than ENOUGH: whose means are the better ones."""
    photographs = min(d.photographs for d in duels)
    other = TWO_STAGE if any(d.other == TWO_STAGE for d in duels) else duels[0].other
    gains = [d.gain.mean for d in duels if d.other == other]
    count = "One photograph is" if photographs == 1 else f"{photographs} photographs are"
    ahead = f"{who[OURS].text} {who[OURS].verb('is', 'are')} ahead of {who[other].text}"
    ahead += f" on {sum(g > 0 for g in gains)} of {len(gains)} metrics"
    return f"{count} too few to tell who wins; by their means {ahead}."


def _key_metrics(headline: Headline) -> dict[str, str]:
    """Question -> the metric that answers it: one each, of those in the headline."""
    measured = [row.metric for row in headline.rows]
    answers = {question: preferred(measured, axis) for axis, question in _QUESTIONS.items()}
    return {question: metrics[0] for question, metrics in answers.items() if metrics}


def _here(headline: Headline, cells: Mapping[Condition, pd.DataFrame]) -> dict[tuple[str, str], pd.DataFrame]:
    """(method, metric) -> values at the headline's condition, of the headline's metrics."""
    place, metrics = (headline.channel, headline.snr_db, headline.cbr), {row.metric for row in headline.rows}
    here: dict[tuple[str, str], pd.DataFrame] = {}
    for c, cell in sorted(cells.items(), key=lambda item: item[0].steps):
        if (c.channel, c.snr_db, c.cbr) == place and c.metric in metrics:
            here[c.method, c.metric] = cell  # with several numbers of steps the most, as in the table
    return here


def _duels(
    headline: Headline,
    here: Mapping[tuple[str, str], pd.DataFrame],
    chances: Mapping[tuple[str, str], float | None],
) -> dict[tuple[str, str], Duel]:
    """(metric, other) -> duel, for every metric and method that have values at the headline's condition."""
    duels = {}
    for row in headline.rows:
        info = metric_info(row.metric)
        assert info is not None
        means = {cell.method: cell.mean for cell in row.cells}
        for method, mean in means.items():
            if method == OURS or mean is None or means.get(OURS) is None:
                continue
            gain = advantage(here[OURS, row.metric], here[method, row.metric], info)
            if gain.count:
                share = (gain.mean / abs(mean), gain.low / abs(mean), gain.high / abs(mean)) if mean else None
                duels[row.metric, method] = Duel(row.metric, method, gain, share, chances.get((row.metric, method)))
    return duels


def _line(headline: Headline, question: str, metric: str, duels: Mapping[tuple[str, str], Duel]) -> Line | None:
    row = next(row for row in headline.rows if row.metric == metric)
    best = next((cell for cell in row.cells if cell.best), None)
    ours = next((cell for cell in row.cells if cell.method == OURS), None)
    if best is None:
        return None
    against = duels.get((metric, best.method))
    ours_text = ours.text if ours is not None else "–"
    return Line(question, row, best.method, best.text, ours_text, duels.get((metric, TWO_STAGE)), against)


def _leader(headline: Headline, who: Mapping[str, Subject]) -> str:
    wins = dict.fromkeys(headline.methods, 0)
    for row in headline.rows:
        for cell in row.cells:
            wins[cell.method] += cell.best
    most = max(wins.values(), default=0)
    if not most:
        return ""
    names = " and ".join(who[method].text for method, count in wins.items() if count == most)
    return f"Of all {len(wins)} methods the best mean on most metrics: {names} ({most} of {len(headline.rows)})."


def _sentence(headline: Headline, scores: list[Score], who: Mapping[str, Subject]) -> str:
    """The answer in one sentence, about the two-stage system where it is there, else about all others."""
    if not scores:
        return f"{headline.condition}: JSCGC was not compared with anything here."
    ours = who[OURS]
    score = next((s for s in scores if s.other == TWO_STAGE), None)
    if score is None:
        better = sum(len(s.better) for s in scores)
        worse = sum(len(s.worse) for s in scores)
        total = sum(len(s.better + s.unclear + s.worse) for s in scores)
        return (
            f"{ours.start} {ours.verb('is', 'are')} clearly better in {better} and clearly worse in {worse} of {total} "
            f"comparisons with {len(scores)} method{'s' * (len(scores) > 1)}; the rest may be chance."
        )
    other, total = who[score.other].text, len(score.better + score.unclear + score.worse)
    if not score.better and not score.worse:
        return f"No clear winner: none of {total} metrics shows a clear difference between {ours.text} and {other}."
    if score.better and not score.worse:
        start = f"{ours.start} {ours.verb('wins', 'win')} against {other}"
    elif score.worse and not score.better:
        start = f"{ours.start} {ours.verb('loses', 'lose')} against {other}"
    else:
        start = f"{ours.start} and {other} each win on some metrics"
    return (
        f"{start}: clearly better on {len(score.better)} of {total} metrics, clearly worse on {len(score.worse)}, "
        f"no clear difference on {len(score.unclear)}."
    )
