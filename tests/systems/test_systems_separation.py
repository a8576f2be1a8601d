"""Source code and channel code apart: budgets, cliffs, outages, and what cannot operate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from jscgc.channel.capacity import OUTAGE
from jscgc.errors import CannotOperate
from jscgc.flow.params import SampleParams
from jscgc.metrics import pair_metric
from jscgc.systems.base import Link
from jscgc.systems.load import load_system
from jscgc.systems.separation import GRAY
from jscgc.systems.transmit import transmit

NOWHERE = "no folder of models is needed"


def photo() -> Tensor:
    """Smooth shapes, 64x96: something that an image codec can compress."""
    y, x = np.mgrid[:64, :96] / 64
    planes = [0.5 + 0.3 * np.sin(3 * x + k) * np.cos(2 * y - k) for k in range(3)]
    return torch.tensor(np.stack(planes), dtype=torch.float32)


def send(name: str, link: Link, seed: int = 0):
    sample = SampleParams(steps=1, guidance=1.0)
    return transmit(load_system(name, NOWHERE), photo(), link, sample=sample, seed=seed)


def psnr(reception) -> float:
    return float(pair_metric("psnr")(photo()[None], reception.photo[None])[0])


@pytest.mark.parametrize("codec", ["hevc", "avif", "jp2k", "jpeg"])
def test_an_ideal_code_carries_the_capacity_and_no_bit_more(codec):
    reception = send(f"{codec}_capacity", Link("awgn", 10.0, 60))
    assert reception.bandwidth.k == 60 * 4 * 6 == reception.bandwidth.data
    assert reception.details["budget_bits"] == math.floor(1440 * math.log2(11))
    assert 0 < reception.details["file_bits"] <= reception.details["budget_bits"]
    assert not reception.failed and reception.nfe == 0 and psnr(reception) > 25


def test_more_bandwidth_and_more_snr_are_better():
    values = [psnr(send("hevc_capacity", Link("awgn", snr_db, rate))) for snr_db, rate in ((0, 30), (0, 60), (15, 60))]
    assert values == sorted(values) and values[0] < values[-1]


def test_what_does_not_fit_cannot_operate_and_says_why():
    with pytest.raises(CannotOperate, match=r"hevc.*smallest.*bits") as caught:
        send("hevc_capacity", Link("awgn", -5.0, 1))
    assert "\n" not in str(caught.value)
    with pytest.raises(CannotOperate, match=r"jpeg_ldpc.*awgn at -20 dB"):
        send("jpeg_ldpc", Link("awgn", -20.0, 60))


def test_an_ideal_code_fails_in_a_tenth_of_the_blocks_and_shows_gray():
    receptions = [send("jp2k_capacity", Link("rayleigh_block", 15.0, 60), seed) for seed in range(150)]
    failed = [r.failed for r in receptions]
    assert sum(failed) / len(failed) == pytest.approx(OUTAGE, abs=3 * math.sqrt(OUTAGE * (1 - OUTAGE) / len(failed)))
    for reception in receptions:
        assert (reception.photo == GRAY).all().item() is reception.failed


def test_an_ideal_code_does_not_care_how_h_would_be_estimated():
    for channel in ("rayleigh_block:csi=ls,pilots=4", "rayleigh_block"):
        reception = send("jp2k_capacity", Link(channel, 15.0, 60), seed=1)
        assert reception.details["bits_per_symbol"] == pytest.approx(
            math.log2(1 - 10**1.5 * math.log(1 - OUTAGE)), rel=1e-3
        )
        assert reception.bandwidth.overhead == (4 if "pilots" in channel else 0)


def test_an_ideal_code_over_one_h_per_symbol_never_fails():
    assert not any(send("jp2k_capacity", Link("rayleigh_fast", 10.0, 60), seed).failed for seed in range(20))


def test_real_bits_arrive_or_do_not(monkeypatch: pytest.MonkeyPatch):
    link = Link("awgn", 10.0, 60)
    reception = send("hevc_ldpc", link)
    assert not reception.failed and reception.details["file_bits"] <= reception.details["budget_bits"]
    ideal = send("hevc_capacity", link)
    assert reception.details["budget_bits"] < ideal.details["budget_bits"] and psnr(reception) <= psnr(ideal)
    # The same scheme 3 dB below what it was chosen for: nothing arrives.
    from jscgc.systems import separation

    chosen = separation.choose("awgn", 10.0, 1440)
    monkeypatch.setattr(separation, "choose", lambda *a: chosen)
    lost = send("hevc_ldpc", Link("awgn", 7.0, 60))
    assert lost.failed and (lost.photo == GRAY).all()


@pytest.mark.parametrize("channel", ["rayleigh_fast", "rayleigh_block:csi=lmmse", "awgn:snr=blind"])
def test_the_code_copes_with_fading_and_with_what_the_receiver_believes(channel):
    receptions = [send("jp2k_ldpc", Link(channel, 18.0, 60), seed) for seed in range(8)]
    assert sum(r.failed for r in receptions) <= 3
    assert any(psnr(r) > 25 for r in receptions)


def test_the_same_seed_is_the_same_transmission():
    link = Link("rayleigh_block", 8.0, 60)
    first, again = (send("jp2k_ldpc", link, seed=3) for _ in range(2))
    assert torch.equal(first.photo, again.photo) and first.failed == again.failed
