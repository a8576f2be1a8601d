"""k, n and CBR to the last symbol, and power per image."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jscgc.channel.accounting import bandwidth, normalise_power, parse_rate

RATES = (2, 4, 8)


def test_kodak_at_2_of_768():
    spent = bandwidth(512, 768, 2)
    assert (spent.k, spent.n) == (3072, 1179648)
    assert spent.cbr == 2 / 768


@given(rows=st.integers(1, 100), columns=st.integers(1, 100), rate=st.integers(1, 60))
def test_cbr_is_exactly_c_of_768_for_whole_grids(rows, columns, rate):
    spent = bandwidth(16 * rows, 16 * columns, rate)
    assert spent.k * 768 == rate * spent.n
    assert spent.cbr == rate / 768


@given(height=st.integers(1, 400), width=st.integers(1, 400), multiple=st.sampled_from([16, 32, 64]))
def test_padding_is_paid_for(height, width, multiple):
    spent = bandwidth(height, width, 3, multiple)
    padded = [math.ceil(side / multiple) * multiple // 16 for side in (height, width)]
    assert spent.k == 3 * padded[0] * padded[1]
    assert spent.n == 3 * height * width
    assert spent.cbr >= 3 / 768


def test_the_smallest_image_costs_a_whole_position():
    assert bandwidth(1, 1, 8).k == 8
    assert bandwidth(1, 1, 8, multiple=32).k == 32
    assert bandwidth(17, 33, 2).k == 2 * 2 * 3


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_an_empty_image_is_an_error(size):
    with pytest.raises(ValueError, match="at least one pixel"):
        bandwidth(*size, 2)


@pytest.mark.parametrize(
    "text, rate", [("8/768", 8), ("1/96", 8), ("0.0104166667", 8), (".0104166667", 8), ("2/768", 2), ("1/384", 2)]
)
def test_cbr_in_any_spelling(text, rate):
    assert parse_rate(text, RATES) == rate


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "inf",
        "1e99",
        "1e999999999",
        "-1",
        "-8/768",
        "",
        " ",
        "8/0",
        "8/",
        "/768",
        "8/768/2",
        "eight",
        "8 768",
        "0",
        "0/768",
        "3/768",
        "1",
        "9" * 5000,
        "1/" + "9" * 5000,
        "8/768\n",
        "0x8/768",
    ],
)
def test_any_other_cbr_is_one_line_that_names_the_allowed(text):
    with pytest.raises(ValueError, match=r"2/768, 4/768, 8/768$") as caught:
        parse_rate(text, RATES)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text("0123456789/.e-+_ \u0663\uff18", max_size=12))
def test_no_text_crashes_the_parser(text):
    try:
        assert parse_rate(text, RATES) in RATES
    except ValueError as error:
        assert "8/768" in str(error)


@given(scales=st.lists(st.floats(1e-2, 1e3), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_power_is_one_for_every_image(scales, seed):
    rng = torch.Generator().manual_seed(seed)
    symbols = torch.randn(len(scales), 3, 4, 5, dtype=torch.complex64, generator=rng)
    symbols = symbols * torch.tensor(scales).reshape(-1, 1, 1, 1)
    normal = normalise_power(symbols)
    assert torch.allclose(normal.abs().square().mean((1, 2, 3)), torch.ones(len(scales)), atol=1e-5)
    # Batch mates have no say, and only the scale changes.
    assert torch.allclose(normal[0], normalise_power(symbols[:1])[0], atol=1e-6)
    ratio = symbols[0] / normal[0]
    assert torch.allclose(ratio, ratio[0, 0, 0].expand_as(ratio), rtol=1e-4)


def test_nothing_to_send_stays_finite():
    assert not normalise_power(torch.zeros(2, 1, 2, 2, dtype=torch.complex64)).any()
