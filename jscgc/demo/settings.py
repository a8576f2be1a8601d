"""The left column: everything that can be chosen. What is wrong with it is said where it stands."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from jscgc.channel.spec import describe, names
from jscgc.data.images import PhotoError, Pixels
from jscgc.demo import markup, models
from jscgc.demo.choice import Choice, channel_text, common_cbr
from jscgc.demo.workplace import Workplace
from jscgc.flow.params import untold
from jscgc.report.reading import method_label

SIDES = (192, 256, 384, 512, 768, 1024)
_PREFERRED = ("jscgc", "diffjscc", "mambajscc_psnr")
_CBR = "8/768"
_SIDE = 384


@dataclass(frozen=True)
class Settings:
    """What is chosen now; None where it is not to be sent."""

    choice: Choice | None
    photo: Pixels | None


def settings(at: Workplace) -> Settings:
    """Draw the column and read it."""
    photo, name, place, content = _photo()
    chosen = _methods(at)
    snr_db = st.slider("SNR", -10.0, 30.0, 5.0, 0.5, format="%g dB", key="snr_db", help="Average, per complex symbol.")
    cbr = _cbr(chosen, at)
    channel = _channel()
    with st.expander("Sampling and size"):
        first, second = st.columns(2)
        usual = untold(int(st.session_state.get("samples", 1)))
        assert isinstance(usual.guidance, float)
        steps = first.number_input(
            "Steps",
            1,
            200,
            None,
            placeholder=f"{usual.steps}",
            key="steps",
            help=f"Of the sampler; two network calls each if guided. Empty: {_usual('steps')}",
        )
        guidance = second.number_input(
            "Guidance",
            0.0,
            20.0,
            None,
            0.1,
            placeholder=f"{usual.guidance:g}",
            key="guidance",
            help=f"1: plain conditional; 0: ignores the symbols. Empty: {_usual('guidance')}",
        )
        samples = first.number_input(
            "Samples",
            1,
            8,
            1,
            key="samples",
            help="Images drawn for the one received signal; from 2 also what differs.",
        )
        seed = second.number_input("Seed", 0, 999_999_999, 0, key="seed", help="Of channel and sampler.")
        st.select_slider(
            "Longer side (pixels)", SIDES, _SIDE, key="max_side", help="Larger photos are reduced before they are sent."
        )
    if photo is None or not chosen or not cbr or not channel:
        return Settings(None, photo)
    choice = Choice(
        photo=name,
        place=place,
        content=content,
        methods=tuple(chosen),
        channel=channel,
        snr_db=float(snr_db),
        cbr=cbr,
        max_side=_side(),
        steps=usual.steps if steps is None else int(steps),
        guidance=usual.guidance if guidance is None else float(guidance),
        samples=int(samples),
        seed=int(seed),
    )
    return Settings(choice, photo)


def _usual(name: str) -> str:
    one, several = untold(), untold(2)
    return f"{getattr(one, name):g}; of several samples {getattr(several, name):g}, chosen for their spread."


def _side() -> int:
    return int(st.session_state.get("max_side", _SIDE))


def _photo() -> tuple[Pixels | None, str, str, str]:
    """Pixels, name, place and checksum of the photo."""
    upload: Any = st.session_state.get("upload")
    known = models.builtin()
    label = "Photo" if upload is None else "Photo (the one below is sent)"
    name = st.selectbox(label, list(known), key="builtin", disabled=upload is not None)
    upload = st.file_uploader("Your own photo", key="upload", label_visibility="collapsed")
    if upload is None:
        path = known[name]
        return models.opened(path, _side()), path.name, str(path), path.name
    content = upload.getvalue()
    # A browser sends no folders; who asks without one might.
    name = Path(upload.name.replace("\0", "")).name or "photo"
    try:
        photo = models.uploaded(content, name, _side())
    except PhotoError as error:
        st.html(markup.note(str(error)))
        return None, name, name, ""
    return photo, name, name, hashlib.sha256(content).hexdigest()


def _methods(at: Workplace) -> list[str]:
    available = models.methods(at)
    default = [name for name in _PREFERRED if name in available] or available[:1]
    chosen: list[str] = st.multiselect(
        "Methods", available, default, format_func=method_label, key="methods", placeholder="Choose at least one"
    )
    if not chosen:
        st.html(markup.note("Choose at least one method."))
    return chosen


def _cbr(chosen: list[str], at: Workplace) -> str:
    """Bandwidths that all chosen methods can use."""
    try:
        offered = common_cbr(models.rates(name, at) for name in chosen)
    except ValueError as error:
        st.html(markup.note(str(error)))
        return ""
    if chosen and not offered:
        st.html(markup.note("These methods have no CBR in common; choose fewer."))
    if not offered:
        return ""
    if st.session_state.get("cbr") not in offered:
        st.session_state["cbr"] = _CBR if _CBR in offered else offered[-1]
    if len(offered) == 1:
        st.caption(f"CBR {offered[0]}: all that these methods have in common.")
        return offered[0]
    cbr: str = st.select_slider("CBR", offered, key="cbr", help="Channel uses per source dimension, k/n.")
    return cbr


def _channel() -> str:
    first, second = st.columns(2)
    name = first.selectbox("Channel", names(), key="channel")
    written = second.text_input("Options", key="options", placeholder="none", help=describe(name))
    try:
        return channel_text(name, written)
    except ValueError as error:
        st.html(markup.note(str(error)))
        return ""
