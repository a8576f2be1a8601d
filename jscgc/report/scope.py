"""Whom a sentence is about: a method, where several trainings of it were measured; else *these weights* of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jscgc.method import METHODS
from jscgc.report.reading import method_label


@dataclass(frozen=True)
class Subject:
    """`these weights of JSCGC`, `JSCGC (3 trainings)`, or the bare name of what is not trained."""

    text: str
    plural: bool

    @property
    def start(self) -> str:
        """At the start of a sentence."""
        return self.text[:1].upper() + self.text[1:]

    @property
    def its(self) -> str:
        """The possessive."""
        return "their" if self.plural else "its"

    def verb(self, one: str, many: str) -> str:
        """The form that agrees with it: `wins`, `win`."""
        return many if self.plural else one


def subject(method: str, trainings: int, label: str = "") -> Subject:
    """Of a method of which so many trainings are compared; `label` in place of its name."""
    label = label or method_label(method)
    if trainings > 1:
        return Subject(f"{label} ({trainings} trainings)", False)
    return Subject(f"these weights of {label}", True) if is_trained(method) else Subject(label, False)


def is_trained(method: str) -> bool:
    """Whether another training could change it; a stranger's may be."""
    return method not in METHODS or METHODS[method].network is not None


def scope(trainings: Mapping[str, int]) -> str:
    """What intervals cover that compare these methods: method -> trainings, ours first."""
    several = [f"{count} of {method_label(method)}" for method, count in trainings.items() if count > 1]
    single = [method_label(m) for m, count in trainings.items() if count == 1 and is_trained(m)]
    if not several:
        given = " of these weights; another training is not in them" if single else ""
        return f"Intervals are over photographs and channel draws{given}."
    text = f"Intervals are over trainings ({_list(several)}), photographs and channel draws together."
    if single:
        text += (
            f" Of {_list(single)} there are these weights only: another training of {'them' if single[1:] else 'it'} "
        )
        text += "is not in these intervals."
    return text


def _list(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
