"""What several jobs share, computed once: the symbols that a photograph becomes."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import Tensor

from jscgc.memory import Memory, content
from jscgc.systems.base import Link, System
from jscgc.systems.transmit import Sent, encode

SYMBOLS_BYTES = 2**26
"""Of one system: a thousand photographs of 768x512 at CBR 8/768."""


class Encoder:
    """As `systems.transmit.encode`, but every photo, SNR and rate of a system once: channels and seeds share them."""

    def __init__(self, limit: int = SYMBOLS_BYTES) -> None:
        self._limit = limit
        self._sent: WeakKeyDictionary[System, Memory[Sent]] = WeakKeyDictionary()

    def __call__(self, system: System, photo: Tensor, link: Link) -> Sent:
        """The symbols, with the time that they took when they were encoded."""
        if system not in self._sent:
            self._sent[system] = Memory(self._limit, lambda sent: sent.symbols.nbytes)
        key = content(photo), link.snr_db, link.rate
        return self._sent[system].get(key, lambda: encode(system, photo, link))
