"""Sending: method by method, one photo at a time whoever looks at the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from jscgc.data.images import to_tensor
from jscgc.demo import markup, models
from jscgc.demo.shown import Refused, Shown, Transmission, shown
from jscgc.demo.workplace import BUSY, Workplace
from jscgc.device import resolve_device
from jscgc.errors import CannotOperate
from jscgc.report.reading import method_label
from jscgc.systems.load import sender
from jscgc.transmission import send


def work(transmission: Transmission, at: Workplace, changed: Callable[[], None]) -> None:
    """Do what is waiting; `changed` is called when there is something new to see.

    A widget that is moved meanwhile makes Streamlit draw the page anew, and end this at its next word to the browser. What is
    done stays done, and the new drawing goes on with the rest.
    """
    every = transmission.choice.methods
    bar = st.progress(0.0)
    said = st.empty()
    while waiting := transmission.waiting:
        name = waiting[0]
        bar.progress(
            (len(every) - len(waiting)) / len(every), f"{method_label(name)}, {len(waiting)} of {len(every)} to go"
        )
        with _turn(said):
            if name in transmission.waiting:
                transmission.done[name] = _receive(name, transmission, at)
        changed()
    bar.empty()
    said.empty()


def _receive(name: str, transmission: Transmission, at: Workplace) -> Shown | Refused:
    choice = transmission.choice
    try:
        asked = choice.request
        system = models.system(sender(name, at.models, asked.channel, asked.snr_db, asked.cbr), at)
        photo = to_tensor(transmission.photo)
        device = resolve_device(at.device)
        return shown(send(system, photo, choice.photo, asked, models.metrics(), device))
    except CannotOperate as error:
        return Refused(name, str(error), cannot_operate=True)
    except ValueError as error:
        return Refused(name, str(error), cannot_operate=False)


@contextmanager
def _turn(said: st.delta_generator.DeltaGenerator) -> Iterator[None]:
    """The right to use the models. Whoever is superseded while waiting ends at a word to the browser."""
    while not BUSY.acquire(timeout=0.3):
        said.html(markup.note("Another photo is being sent; yours is next.", "news"))
    try:
        said.empty()
        yield
    finally:
        BUSY.release()
