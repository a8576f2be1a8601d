"""The page, as a Streamlit script: it runs from top to bottom whenever something is touched."""

from __future__ import annotations

import streamlit as st

from jscgc.demo import markup, received
from jscgc.demo.settings import Settings, settings
from jscgc.demo.shown import Transmission
from jscgc.demo.work import work
from jscgc.demo.workplace import Workplace, workplace

SENT = "transmission"
"""Of the session's state: the last Transmission, done or not."""


def page(at: Workplace) -> None:
    """Draw all of it."""
    st.set_page_config("JSCGC demo", layout="wide", initial_sidebar_state="collapsed")
    st.html(markup.style())
    st.title("JSCGC", anchor=False)
    st.caption("One photo, one noisy channel, one bandwidth: what does each receiver make of it?")
    left, right = st.columns([1, 2.5], gap="large")
    with left, st.container(key="settings"):
        now = settings(at)
        _button(now)
        if SENT in st.session_state:
            st.html(markup.below())
    with right, st.container(key="results"):
        _results(now, at)


def _button(now: Settings) -> None:
    sent: Transmission | None = st.session_state.get(SENT)
    if sent is not None and sent.waiting:
        st.button("Stop", key="stop", on_click=_stop, args=(sent,), width="stretch")
        return
    off = now.choice is None
    st.button("Send", key="send", type="primary", on_click=_send, args=(now,), disabled=off, width="stretch")


def _send(now: Settings) -> None:
    assert now.choice is not None and now.photo is not None
    st.session_state[SENT] = Transmission(now.choice, now.photo)


def _stop(sent: Transmission) -> None:
    sent.stopped = True


def _results(now: Settings, at: Workplace) -> None:
    sent: Transmission | None = st.session_state.get(SENT)
    if sent is None:
        if now.photo is not None:
            st.html(markup.pictures(now.photo, now.choice.methods if now.choice else (), None))
        return
    st.html(markup.facts(sent))
    if now.choice is not None and not sent.waiting and (changes := sent.choice.changes(now.choice)):
        st.html(markup.note(f"Changed since: {', '.join(changes)}. Press Send.", "news"))
    seen = st.empty()

    def show() -> None:
        seen.html(markup.pictures(sent.photo, sent.choice.methods, sent))

    show()
    if sent.waiting:
        try:
            work(sent, at, show)
        except Exception:
            # Not again at the next touch.
            del st.session_state[SENT]
            raise
        st.rerun()
    received.numbers(sent, at)


page(workplace())
