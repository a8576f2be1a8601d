"""What was chosen on the page, what changed since, and the command that does the same. No torch, no Streamlit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from jscgc.channel.accounting import SOURCE_DIMENSIONS
from jscgc.channel.spec import canonical
from jscgc.demo.workplace import Workplace

if TYPE_CHECKING:
    from jscgc.transmission import Request

OFFERED = (1, 2, 4, 8, 16, 32, 60)
"""Symbols per position that are offered where any can be sent."""
_WORDS = {name: name for name in ("photo", "methods", "channel", "steps", "guidance", "samples", "seed")}
_WORDS |= {"snr_db": "SNR", "cbr": "CBR", "max_side": "longer side"}


@dataclass(frozen=True)
class Choice:
    """One press of Send.

    photo: file name, which names the photo in the channel's draw. place: where the file lies; of an upload its name. content:
    checksum of the file. max_side: pixels. snr_db: decibels. cbr: such as 8/768.
    """

    photo: str
    place: str
    content: str
    methods: tuple[str, ...]
    channel: str
    snr_db: float
    cbr: str
    max_side: int
    steps: int
    guidance: float
    samples: int
    seed: int

    @property
    def request(self) -> Request:
        """The same for `jscgc.transmission`."""
        from jscgc.flow.params import SampleParams
        from jscgc.transmission import Request

        sample = SampleParams(steps=self.steps, guidance=self.guidance)
        return Request(self.channel, self.snr_db, self.cbr, self.seed, self.samples, sample)

    def changes(self, now: Choice) -> list[str]:
        """What `now` differs in, for people: `SNR 5 → 0`."""
        changed = []
        for field in fields(self):
            before, after = getattr(self, field.name), getattr(now, field.name)
            if before == after or field.name not in _WORDS:
                continue
            word = _WORDS[field.name]
            long = field.name in ("photo", "methods")
            unit = " dB" if field.name == "snr_db" else ""
            changed.append(word if long else f"{word} {_short(before)} → {_short(after)}{unit}")
        if self.content != now.content and "photo" not in changed:
            changed.insert(0, "photo")
        return changed

    def command(self, at: Workplace) -> str:
        """The command line that receives the very same."""
        # A name that begins with a dash would be an option.
        place = f"./{self.place}" if self.place.startswith("-") else self.place
        words = ["jscgc", "transmit", place, "--models", str(at.models), "--method", *self.methods]
        words += ["--channel", self.channel, "--snr-db", f"{self.snr_db:g}", "--cbr", self.cbr]
        words += ["--max-side", str(self.max_side), "--samples", str(self.samples), "--steps", str(self.steps)]
        words += ["--guidance", f"{self.guidance:g}", "--seed", str(self.seed)]
        words += ["--device", at.device] if at.device != "auto" else []
        return shlex.join([*words, *(["--precision", at.precision] if at.precision != "auto" else [])])


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def channel_text(name: str, options: str) -> str:
    """The canonical text of a channel chosen by name with options written beside it, with or without the name before them.

    Raises:
        ValueError: as `channel.spec.parse_channel`, with the nearest that exists.
    """
    written = options.strip().removeprefix(f"{name}:")
    return canonical(f"{name}:{written}" if written else name)


def common_cbr(rates: Iterable[Sequence[int]]) -> list[str]:
    """The CBRs that all of several methods send, as `c/768`; of methods that send any, those of `OFFERED`."""
    every = [set(sent) for sent in rates]
    common = set.intersection(*every) if every else set()
    if common > set(OFFERED) and len(common) > 2 * len(OFFERED):
        common = set(OFFERED)
    return [f"{rate}/{SOURCE_DIMENSIONS}" for rate in sorted(common)]
