"""The precision is decided once, by what was measured, and what autocast must not touch stays in float32."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.nn import functional as F

from jscgc import precision
from jscgc.channel.accounting import normalise_power
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise, features
from jscgc.precision import MARGIN, SETTINGS, computing, resolve_precision
from jscgc.precision import _gains as measure  # of this processor, also where all tests are told another's

BFLOAT16 = 2.0**-8
"""Relative distance of two neighbours in bfloat16, the most that rounding to it twice moves a value."""


@pytest.fixture(autouse=True)
def undecided():
    precision._decided.cache_clear()
    yield
    precision._decided.cache_clear()


def measured(monkeypatch: pytest.MonkeyPatch, *gains: float) -> list[str]:
    """Have the processor be so fast; the list gets an entry for each time it is asked."""
    asked: list[str] = []

    def answer() -> dict[str, float]:
        asked.append("asked")
        return dict(zip(("convolution", "matrix product"), gains, strict=False))

    monkeypatch.setattr(precision, "_gains", answer)
    return asked


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ((22.0, 26.0), "bfloat16"),  # AMX
        ((MARGIN, MARGIN), "bfloat16"),
        ((1.9, 2.0), "float32"),  # avx512_bf16: hardly felt in a training, see MARGIN
        ((26.0, 0.9 * MARGIN), "float32"),  # both must win
        ((0.9 * MARGIN, 26.0), "float32"),
        ((0.012,), "float32"),  # so slow that the rest was not measured
    ],
)
def test_auto_is_what_is_measured_to_pay_on_both(monkeypatch, gains, chosen):
    measured(monkeypatch, *gains)
    assert resolve_precision("auto", "cpu") == chosen


def test_it_is_measured_once_and_said_in_one_line(monkeypatch, caplog):
    asked = measured(monkeypatch, 22.0, 26.4)
    for device in ("cpu", torch.device("cpu"), "cpu"):
        assert resolve_precision("auto", device) == "bfloat16"
    assert len(asked) == 1
    (said,) = [record.getMessage() for record in caplog.records if record.name == "jscgc.precision"]
    assert said.startswith("precision auto: bfloat16 (") and "convolution 22, matrix product 26 times" in said
    assert caplog.records[0].levelno == logging.INFO


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_named_is_not_measured(monkeypatch, name):
    asked = measured(monkeypatch, 22.0, 26.0)
    assert resolve_precision(name, "cpu") == resolve_precision(name, "cuda") == name
    assert not asked


@pytest.mark.parametrize("name", ["bf16", "", "float16", "Auto"])
def test_another_name_is_one_line_with_the_choice(name):
    with pytest.raises(ValueError) as error:
        resolve_precision(name, "cpu")
    assert str(error.value) == f"precision: {name!r} is none; choose from {', '.join(SETTINGS)}"


@pytest.mark.parametrize(
    ("has_gpu", "has_bfloat16", "chosen", "why"),
    [
        (True, True, "bfloat16", "H200 has it"),
        (True, False, "float32", "H200 has no bfloat16"),
        (False, True, "float32", "can't be asked; set precision: bfloat16"),
    ],
)
def test_a_gpu_is_asked_and_not_measured(monkeypatch, caplog, has_gpu, has_bfloat16, chosen, why):
    asked = measured(monkeypatch, 22.0, 26.0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert resolve_precision("auto", "cuda") == chosen
    assert not asked and why in caplog.text
    # By itself it is the GPU where there is one.
    assert resolve_precision("auto", "auto") == (chosen if has_gpu else "bfloat16")
    assert len(asked) == (0 if has_gpu else 1)


def test_measuring_tells_a_gain_and_leaves_the_threads_as_they_were():
    threads = torch.get_num_threads()
    gains = measure()
    assert torch.get_num_threads() == threads
    assert list(gains) == ["convolution", "matrix product"][: len(gains)] and all(gain > 0 for gain in gains.values())
    assert len(gains) == 2 or gains["convolution"] < 1


def test_what_is_far_too_slow_is_tried_once_and_the_rest_not_at_all(monkeypatch):
    ran: list[torch.dtype] = []

    def seconds(work) -> float:
        ran.append(work().dtype)
        return 1.0 if ran[-1] == torch.bfloat16 else 0.01

    monkeypatch.setattr(precision, "_seconds", seconds)
    assert measure() == {"convolution": pytest.approx(0.01)}
    assert ran.count(torch.bfloat16) == 1


def test_float32_computes_as_without_and_bfloat16_is_autocast():
    layer, x = torch.nn.Conv2d(8, 8, 3), torch.randn(2, 8, 6, 6)
    with computing("float32", "cpu"):
        assert not torch.is_autocast_enabled("cpu") and torch.equal(layer(x), layer(x)) and layer(x).dtype == x.dtype
    with computing("bfloat16", torch.device("cpu")):
        assert layer(x).dtype == torch.bfloat16 and layer.weight.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_a_convolution_keeps_channels_last_and_so_does_its_gradient():
    layer = torch.nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    with computing("bfloat16", "cpu"):
        y = layer(x)
    y.float().square().mean().backward()
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.grad.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    "norm", [torch.nn.GroupNorm(4, 16), torch.nn.LayerNorm([16, 8, 8])], ids=lambda n: type(n).__name__
)
def test_norms_compute_in_float32_whatever_they_are_given(norm):
    """Far from zero, where statistics in bfloat16 would be off by tens of percent."""
    x = (8 + torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))).bfloat16()
    with computing("bfloat16", "cpu"):
        given = norm(x).float()
    exact = norm(x.float())
    assert torch.all((given - exact).abs() <= BFLOAT16 * exact.abs() + 1e-6)
    naive = (x - x.mean((1, 2, 3), keepdim=True)) / x.var((1, 2, 3), keepdim=True).sqrt()
    coarse = F.layer_norm(x.float(), [16, 8, 8])
    assert not torch.all((naive.float() - coarse).abs() <= BFLOAT16 * coarse.abs() + 1e-6)


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_losses_are_single_numbers_in_float32(loss):
    layer, x = torch.nn.Conv2d(3, 3, 1), torch.randn(2, 3, 4, 4)
    with computing("bfloat16", "cpu"):
        assert loss(layer(x).float(), x).dtype == torch.float32


@pytest.mark.parametrize("name", ["awgn:snr=blind", "rayleigh_fast", "rayleigh_block:csi=lmmse"])
def test_the_link_is_the_same_in_either_precision(name):
    """Power, noise, fading and equaliser: complex64, and bit for bit."""
    symbols = torch.view_as_complex(torch.randn(2, 4, 3, 3, 2, generator=torch.Generator().manual_seed(0)))

    def crossed(kind: precision.Precision) -> list[torch.Tensor]:
        with computing(kind, "cpu"):
            sent = normalise_power(symbols)
            channel = get_channel(name)
            received = equalise(channel(sent, torch.tensor([5.0, 9.0]), torch.Generator().manual_seed(1)))
            return [sent, received.estimate, received.reliability, features(received, 6)]

    pairs = list(zip(crossed("float32"), crossed("bfloat16"), strict=True))
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert pairs[0][1].dtype == torch.complex64
