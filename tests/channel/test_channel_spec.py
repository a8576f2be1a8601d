"""The grammar of channels: one canonical text, and one clear line for every mistake."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jscgc.channel.declaration import ESTIMATES, Number
from jscgc.channel.spec import KINDS, canonical, describe, file_name, meanings, names, parse_channel

NAMES = names()
KEYS = ("k_db", "delay_spread_ns", "speed_mps", "subcarriers", "spacing_khz", "pilots", "csi", "snr")
"""Every option, in canonical order."""


def options(name: str):
    return {option.key: option for option in KINDS[name].options}


@st.composite
def specs(draw) -> str:
    name = draw(st.sampled_from(NAMES))
    given = {"csi": draw(st.sampled_from(options(name)["csi"].words))}
    for key, number in options(name).items():
        if not isinstance(number, Number) or (key == "pilots" and given["csi"] not in ("ls", "lmmse")):
            continue
        if not draw(st.booleans()):
            continue
        low, high = int(number.low), int(number.high)
        if number.whole:
            given[key] = str(draw(st.integers(low + (key == "pilots"), high)))
        else:
            given[key] = str(draw(st.integers(10 * low, 10 * high)) / 10)
    given["snr"] = draw(st.sampled_from(["told", "blind", "+3", "-0.5", "+12.25"]))
    items = draw(st.permutations([f"{key}={value}" for key, value in given.items()]))
    return f"{name}:{','.join(items)}"


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_name_is_its_own_canonical_text(name):
    assert canonical(name) == name
    assert parse_channel(name).csi == "perfect" and parse_channel(name).snr_offset_db == 0


@given(specs())
def test_the_canonical_text_is_a_fixed_point_and_the_same_channel(text):
    spec = parse_channel(text)
    assert parse_channel(str(spec)) == spec
    assert canonical(str(spec)) == str(spec)
    assert not re.search(r"\s", str(spec))


@given(first=specs(), second=specs())
def test_file_names_are_plain_and_keep_channels_apart(first, second):
    names = [file_name(canonical(text)) for text in (first, second)]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name) for name in names)
    assert (names[0] == names[1]) == (canonical(first) == canonical(second))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("rician_block:csi=lmmse,k_db=3.0", "rician_block:k_db=3,csi=lmmse"),
        ("rician_block:k_db=6", "rician_block"),
        ("rayleigh_block:csi=ls,pilots=8", "rayleigh_block:csi=ls"),
        ("rayleigh_block:pilots=4,csi=ls", "rayleigh_block:pilots=4,csi=ls"),
        ("tdl_c:csi=lmmse,delay_spread_ns=3e2", "tdl_c:delay_spread_ns=300,csi=lmmse"),
        ("awgn:snr=told,csi=perfect", "awgn"),
        ("awgn:snr=+0", "awgn"),
        ("awgn:snr=+3.0", "awgn:snr=+3"),
        ("awgn:snr=-3", "awgn:snr=-3"),
        ("rician_fast:k_db=1.23456789", "rician_fast:k_db=1.23456789"),
    ],
)
def test_defaults_are_left_out_and_keys_are_in_order(text, expected):
    assert canonical(text) == expected


@pytest.mark.parametrize("text, offset", [("told", 0), ("blind", None), ("+3", 3), ("-3", -3), ("+0.5", 0.5)])
def test_what_the_receiver_believes_of_the_snr(text, offset):
    assert parse_channel(f"awgn:snr={text}").snr_offset_db == offset


@pytest.mark.parametrize(
    "text, said",
    [
        ("rayleigh_blok", r"unknown channel 'rayleigh_blok': did you mean rayleigh_block\? available: awgn, .*cdl_e$"),
        ("", r"unknown channel '': available: awgn, rayleigh_block, rayleigh_fast, rician_block"),
        ("awgn ", r"did you mean awgn\?"),
        ("AWGN", "unknown channel 'AWGN'"),
        ("tdl_f", r"did you mean tdl_[a-e]\?"),
        ("rician_block:k_bd=6", r"unknown option 'k_bd' of channel rician_block: did you mean k_db\? available: k_db,"),
        ("awgn:pilots=4", r"unknown option 'pilots' of channel awgn: .*available: csi, snr$"),
        ("rayleigh_fast:pilots=4", "unknown option 'pilots' of channel rayleigh_fast"),
        ("rayleigh_block:k_db=6", "unknown option 'k_db'"),
        ("tdl_c:pilots=4", "unknown option 'pilots'"),
        ("awgn:", "unknown option ''"),
        ("awgn:snr=blind,", "unknown option ''"),
        ("awgn: snr=blind", "unknown option ' snr'"),
        ("awgn:snr", "option snr of channel awgn needs a value, as in snr=told"),
        ("rician_block:k_db=", "needs a value, as in k_db=6"),
        ("awgn:snr=+3,snr=-3", "option snr of channel awgn is given twice"),
        ("rician_block:k_db=99", r"k_db of channel rician_block must be a finite number in -30\.\.40 dB, got '99'"),
        ("rician_block:k_db=nan", "must be a finite number"),
        ("rician_block:k_db=-inf", "must be a finite number"),
        ("rician_block:k_db=1_0", "must be a finite number"),
        ("tdl_a:delay_spread_ns=-1", r"in 0\.\.5000 ns, got '-1'"),
        ("tdl_a:speed_mps=1e9", r"in 0\.\.500 m/s"),
        ("tdl_a:subcarriers=64.5", r"subcarriers of channel tdl_a must be a whole number in 4\.\.1024, got '64\.5'"),
        ("rayleigh_block:csi=ls,pilots=0", r"pilots of channel rayleigh_block must be a whole number in 1\.\.1024"),
        ("rayleigh_block:pilots=4", r"pilots has no effect with csi=perfect; use csi=ls or csi=lmmse"),
        ("rayleigh_block:pilots=1,csi=ls,snr=blind", "snr=blind needs pilots=2 or more"),
        ("rayleigh_block:csi=lmms", r"can't be 'lmms': did you mean lmmse\? allowed: perfect, ls, lmmse, none"),
        ("awgn:csi=none", "csi of channel awgn can't be 'none': allowed: perfect$"),
        ("rayleigh_fast:csi=ls", r"can't be 'ls'; h changes from symbol to symbol.*allowed: perfect, none"),
        ("rician_fast:csi=lmmse", "can't be estimated.*allowed: perfect, none"),
        ("awgn:snr=3", r"must be told, blind, or a signed number of dB in -30\.\.\+30 such as \+3, got '3'"),
        ("awgn:snr=+31", "-30"),
        ("awgn:snr=+inf", "must be told, blind"),
        ("awgn:snr=blnd", "must be told, blind"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_allowed(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        parse_channel(text)
    assert "\n" not in str(caught.value)


@given(st.text(st.sampled_from("awgn_tdlcsi:=,+-.0123456789ef\u0663 "), max_size=24))
def test_no_text_crashes_the_parser(text):
    for whole in (text, f"awgn:{text}", f"tdl_a:speed_mps={text}", f"rician_block:csi=ls,pilots={text}"):
        try:
            assert canonical(canonical(whole)) == canonical(whole)
        except ValueError as error:
            assert str(error)


def test_every_option_is_explained():
    assert tuple(meanings()) == KEYS
    for name in NAMES:
        assert all(f"{key}=" in describe(name) for key in options(name))
        assert list(options(name)) == [key for key in KEYS if key in options(name)]
    assert all(value in meanings()["csi"] for value in ESTIMATES)


@pytest.mark.parametrize("zero", ["-0", "-0.0", "+0", ".0", "-0e5"])
def test_a_zero_is_one_channel_however_it_is_written(zero):
    assert canonical(f"rician_block:k_db={zero}") == canonical("rician_block:k_db=0")
    assert canonical(f"tdl_a:speed_mps={zero}") == canonical("tdl_a:speed_mps=0")
    assert canonical("awgn:snr=-0") == canonical("awgn:snr=+0") == "awgn"
