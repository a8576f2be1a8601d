"""The four readings of an image, and the block built on them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from jscgc.encoder import mamba
from jscgc.encoder.mamba import DIRECTIONS, VssBlock, read, write
from jscgc.encoder.scan import scan_reference
from jscgc.encoder.windows import Windows

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


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images are scanned as large ones are."""
    monkeypatch.setattr(mamba, "LONGEST", 0)


@pytest.mark.usefixtures("scanned")
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


@pytest.mark.usefixtures("scanned")
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


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 8))
@example(9, 11, 4)
@example(8, 12, 4)
def test_pasting_windows_undoes_cutting_them(height, width, side):
    windows, image = Windows(height, width, side), torch.randn(2, 3, height, width)
    cut = windows.cut(image)
    assert cut.shape == (2 * windows.count(), 3, min(side, height), min(side, width))
    assert torch.allclose(windows.paste(cut), image, atol=1e-6)
    # Every window is a piece of the image as it lies there, the image's own ones together.
    pieces = image.unfold(2, cut.shape[2], 1).unfold(3, cut.shape[3], 1)
    for index, window in enumerate(cut):
        own = pieces[index // windows.count()].flatten(1, 2).movedim(1, 0)
        assert (own == window).flatten(1).all(1).any()


def test_overlapping_windows_are_averaged():
    # Five positions, three wide: windows at 0..2 and 2..4 share the third.
    windows = Windows(1, 5, 3)
    cut = windows.cut(torch.zeros(1, 1, 1, 5)) + torch.tensor([1.0, 3.0])[:, None, None, None]
    assert windows.paste(cut).flatten().tolist() == [1, 1, 2, 3, 3]


def windowed(window: int) -> VssBlock:
    torch.manual_seed(0)
    return VssBlock(8, state=4, head=4, window=window)


def test_a_window_around_everything_is_none():
    x, snr_db = torch.randn(2, 8, 5, 7), torch.tensor([3.0, -2.0])
    assert torch.allclose(windowed(7)(x, snr_db), windowed(0)(x, snr_db), atol=1e-6)


def test_scans_stay_within_their_window():
    net, image, constant = windowed(4), torch.randn(1, 8, 8, 12), torch.ones(1, 4)
    x = image.clone().requires_grad_()
    net(x, torch.zeros(1))[0, :, 1, 1].sum().backward()
    # Beyond the window only what the 3x3 convolution reads there.
    assert (x.grad[0].abs().sum(0) > 0).nonzero().amax(0).tolist() == [4, 4]
    windows = Windows(8, 12, 4)
    with torch.no_grad():
        within = net._scan(windows.cut(image), constant.expand(6, -1), range(DIRECTIONS))
        alone = net._scan(image[:, :, 4:, 8:], constant, range(DIRECTIONS))
    assert torch.allclose(windows.paste(within)[:, :, 4:, 8:], alone, atol=1e-6)


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (9, 14)])
def test_the_windows_gradient_is_the_function_s(size):
    net = windowed(4).double()
    x = torch.randn(1, 8, *size, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(x)
    (slope,) = torch.autograd.grad(net(x, torch.ones(1)).pow(2).sum(), x)
    with torch.no_grad():
        ahead, behind = (net(x + h * direction, torch.ones(1)).pow(2).sum() for h in (1e-5, -1e-5))
    assert torch.allclose((slope * direction).sum(), (ahead - behind) / 2e-5, rtol=1e-6)


def test_a_width_that_heads_do_not_divide_is_an_error():
    with pytest.raises(ValueError, match=r"encoder width 10 must be a multiple of encoder\.head 4"):
        VssBlock(10, state=4, head=4)


@pytest.mark.parametrize("longest", [0, mamba.LONGEST])
def test_readings_scanned_together_are_those_scanned_one_by_one(longest: int, monkeypatch: pytest.MonkeyPatch):
    """As a GPU does it for small images, and as both do for small windows."""
    monkeypatch.setattr(mamba, "LONGEST", longest)
    net, image = block(), torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(1))
    constant = torch.randn(2, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = net._scan(image, constant, range(DIRECTIONS))
        alone = sum(net._scan(image, constant, [direction]) for direction in range(DIRECTIONS))
    assert torch.allclose(together, alone, atol=1e-6)
