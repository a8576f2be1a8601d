"""The four readings of an image, and the block built on them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jscgc.encoder import mamba
from jscgc.encoder.mamba import DIRECTIONS, VssBlock, read, write
from jscgc.encoder.scan import scan_reference

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def test_the_four_readings_of_a_small_image():
    image = torch.tensor([[1.0, 2, 3], [4, 5, 6]])[None, None]
    readings = [read(image, direction).flatten().tolist() for direction in range(DIRECTIONS)]
    assert readings == [[1, 2, 3, 4, 5, 6], [1, 4, 2, 5, 3, 6], [6, 5, 4, 3, 2, 1], [6, 3, 5, 2, 4, 1]]


@given(SIZES, st.integers(0, DIRECTIONS - 1))
def test_writing_undoes_reading(size, direction):
    image = torch.randn(2, 3, *size)
    assert torch.equal(write(read(image, direction), direction, *size), image)


def block(width: int = 8) -> VssBlock:
    torch.manual_seed(0)
    return VssBlock(width, state=4, head=4)


def snr_effect(net: VssBlock, side: int) -> torch.Tensor:
    """How much 15 dB change the block's output, at every position of a random image: [side,side]."""
    x = torch.randn(1, 8, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        low, high = (net(x, torch.tensor([snr_db])) for snr_db in (0.0, 15.0))
    return (low - high).norm(dim=1)[0] / (high - x).norm(dim=1)[0]


def test_the_snr_reaches_the_middle_of_a_scan():
    # The centre is as far as it gets from all four beginnings: 500 steps.
    assert snr_effect(block(), 32)[12:20, 12:20].median().item() > 0.05


def test_the_residual_state_carries_the_snr_without_the_initial_state(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mamba, "scan", lambda *a: scan_reference(*a[:-1], torch.zeros_like(a[-1])))
    assert snr_effect(block(), 6).median().item() > 1e-3


def test_every_image_has_its_own_snr():
    x, net = torch.randn(1, 8, 4, 4).expand(2, -1, -1, -1), block()
    both = net(x, torch.tensor([0.0, 10.0]))
    assert torch.allclose(both[0], net(x[:1], torch.tensor([0.0]))[0], atol=1e-6)
    assert torch.allclose(both[1], net(x[:1], torch.tensor([10.0]))[0], atol=1e-6)
    assert not torch.allclose(both[0], both[1], atol=1e-3)


def test_the_block_is_the_same_with_the_reference_scan(monkeypatch: pytest.MonkeyPatch):
    net, x, snr_db = block().double(), torch.randn(2, 8, 9, 11, dtype=torch.float64), torch.tensor([3.0, -2.0])
    fast = net(x, snr_db)
    monkeypatch.setattr(mamba, "scan", scan_reference)
    assert torch.allclose(fast, net(x, snr_db), rtol=1e-10, atol=1e-10)


def test_the_snr_enters_the_scan_as_a_state_of_norm_snr_over_10(monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(mamba, "scan", lambda *a: seen.append(a[-1]) or scan_reference(*a))
    block()(torch.randn(2, 8, 3, 3), torch.tensor([10.0, -20.0]))
    assert len(seen) == DIRECTIONS
    for states in seen:  # [B, 2 heads, P, N]
        assert states.shape == (2, 2, 4, 4)
        assert torch.allclose(states.norm(dim=-1), torch.tensor([1.0, 2.0])[:, None, None].expand(2, 2, 4))
        sign = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
        assert torch.allclose(states[0], (sign / math.sqrt(4)).expand(2, 4, 4))


def test_the_block_mixes_the_whole_image():
    net, x = block(), torch.randn(1, 8, 6, 6)
    x.requires_grad_()
    net(x, torch.zeros(1))[0, :, 2, 3].sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()


def test_a_width_that_heads_do_not_divide_is_an_error():
    with pytest.raises(ValueError, match=r"encoder width 10 must be a multiple of encoder\.head 4"):
        VssBlock(10, state=4, head=4)


def test_readings_scanned_together_are_those_scanned_one_by_one():
    """As a GPU does it for small images."""
    net, image = block(), torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(1))
    constant = torch.randn(2, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = net._scan(image, constant, range(DIRECTIONS))
        alone = sum(net._scan(image, constant, [direction]) for direction in range(DIRECTIONS))
    assert torch.allclose(together, alone, atol=1e-6)
