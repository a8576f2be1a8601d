"""Where a reader of a grid looks first."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from jscgc.channel.central import central, middle

CHANNELS = st.sets(st.sampled_from(["awgn", "rayleigh_fast", "tdl_a"]), min_size=1)
SNRS = st.sets(st.integers(-10, 20), min_size=1).map(sorted)


@given(CHANNELS, SNRS, st.sets(st.integers(1, 60), min_size=1).map(sorted))
def test_of_a_whole_grid_it_is_the_middle(channels, snrs, rates):
    first = next(name for name in ("awgn", "rayleigh_fast", "tdl_a") if name in channels)
    expected = first, snrs[len(snrs) // 2], rates[len(rates) // 2]
    assert central(list(product(channels, map(float, snrs), rates))) == expected


def test_of_some_conditions_it_is_where_the_curve_over_snr_is():
    """As of the paper: curves at 2/768, and three more rates at 5 dB."""
    places = [("awgn", snr, 2) for snr in (-5.0, 0.0, 5.0, 10.0)] + [("awgn", 5.0, rate) for rate in (1, 4, 8)]
    assert central([*places, ("rayleigh_fast", 5.0, 8)]) == ("awgn", 5.0, 2)
    assert central(places[-1:]) == ("awgn", 5.0, 8)


def test_the_middle_of_two_is_the_upper_one():
    assert middle([4, 1, 4]) == 4 and middle([3, 1, 2]) == 2
