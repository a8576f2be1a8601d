"""One statement of the theory beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """check: the statement. expected, measured: numbers. tolerance: largest difference; with `bound`, measured may be anything
    up to expected (+ tolerance)."""

    check: str
    expected: float
    measured: float
    tolerance: float
    source: str
    bound: bool = False

    @property
    def ok(self) -> bool:
        difference = self.measured - self.expected
        return difference <= self.tolerance if self.bound else abs(difference) <= self.tolerance

    def row(self) -> dict[str, Any]:
        """For tables and JSON."""
        return {
            "check": self.check,
            "expected": float(self.expected),
            "measured": float(self.measured),
            "tolerance": float(self.tolerance),
            "ok": bool(self.ok),
            "kind": "at most" if self.bound else "equal",
            "source": self.source,
        }


def stated(check: str, expected: float, measured: float, share: float, source: str) -> Check:
    """Equal within a share of what is expected."""
    return Check(check, expected, measured, abs(expected) * share, source)
