"""The right column: what was received."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from jscgc.channel.spec import file_name
from jscgc.demo import markup
from jscgc.demo.figures import constellation
from jscgc.demo.shown import Shown, Transmission
from jscgc.demo.workplace import Workplace
from jscgc.report.reading import method_label


def numbers(transmission: Transmission, at: Workplace) -> None:
    """Everything below the pictures."""
    arrived = transmission.arrived
    if arrived:
        st.html(markup.metrics_table(arrived))
        if chosen := markup.formats(arrived):
            st.html(chosen)
        _downloads(transmission)
        if any(shown.samples > 1 for shown in arrived):
            st.subheader("What was made up", anchor=False)
            st.caption(
                "What the samples of one received signal share was sent; where they differ, the generator made it up."
            )
            st.html(markup.uncertainty(arrived))
        _symbols(arrived)
    st.subheader("The same on the command line", anchor=False)
    st.code(transmission.choice.command(at), language="bash", wrap_lines=True)


def _downloads(transmission: Transmission) -> None:
    choice = transmission.choice
    stem = choice.photo.rpartition(".")[0] or choice.photo
    tag = f"{stem}_{file_name(choice.channel)}_{choice.snr_db:g}dB_{choice.cbr.replace('/', '-')}"
    # Made when they are asked for: the page is drawn anew at every touch.
    files = {
        "Side by side (PNG)": (transmission.side_by_side, "png", "image/png"),
        "All pictures (ZIP)": (transmission.archive, "zip", "application/zip"),
        "Metrics (JSON)": (transmission.metrics, "json", "application/json"),
    }
    with st.container(horizontal=True, key="downloads"):
        for label, (make, suffix, kind) in files.items():
            st.download_button(label, make, f"{tag}.{suffix}", kind, on_click="ignore")


def _symbols(arrived: Sequence[Shown]) -> None:
    """The constellation of one method at a time."""
    st.subheader("Received symbols", anchor=False)
    drawn = {shown.method: shown.symbols for shown in arrived if shown.symbols is not None}
    others = [method_label(shown.method) for shown in arrived if shown.symbols is None]
    if drawn:
        names = list(drawn)
        name = names[0]
        if len(names) > 1:
            picked = st.segmented_control(
                "Method", names, default=name, format_func=method_label, key="drawn", label_visibility="collapsed"
            )
            name = picked if picked in drawn else name
        points = drawn[name]
        part = f"{len(points.sent)} of {points.total}" if len(points.sent) < points.total else f"{points.total}"
        st.caption(
            f"{part} complex symbols, coloured by the phase they were sent with: noise mixes the colours, fading turns them, "
            f"equalisation turns them back. Error of the equalised symbols: {points.error_db:.1f} dB of the sent power."
        )
        st.plotly_chart(constellation(points), key="constellation", config={"displayModeBar": False})
    if others:
        st.caption(f"{', '.join(others)}: a separate code sends a file's bits; no image symbols to draw.")
