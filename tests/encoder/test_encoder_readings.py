"""All readings of a small window as one matrix, against the recurrence as it is written."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jscgc.encoder import mamba, readings
from jscgc.encoder.mamba import DIRECTIONS, VssBlock, read, write
from jscgc.encoder.readings import no_later
from jscgc.encoder.scan import scan_reference

HEADS, WIDTH, STATE = 2, 3, 5
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))


def test_what_is_read_no_later_than_a_position():
    """Of two rows of three; the readings' order stands in the test of `read`."""
    rows, columns, rows_back, columns_back = no_later(2, 3, torch.device("cpu"), torch.float32).bool()
    assert [set(one.nonzero().flatten().tolist()) for one in rows[[0, 3]]] == [{0}, {0, 1, 2, 3}]
    assert [set(one.nonzero().flatten().tolist()) for one in columns[[3, 1]]] == [{0, 3}, {0, 3, 1}]
    assert [set(one.nonzero().flatten().tolist()) for one in rows_back[[5, 2]]] == [{5}, {5, 4, 3, 2}]
    assert [set(one.nonzero().flatten().tolist()) for one in columns_back[[5, 1]]] == [{5}, {5, 2, 4, 1}]


def problem(height: int, width: int, windows: int = 3, seed: int = 0, decay: float = 4.0) -> list[Tensor]:
    """x_RHLP, log_dt_RKHL, A_KH, B_RKLN, C_RKLN in double precision."""
    g = torch.Generator().manual_seed(seed)
    length = height * width

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    return [
        normal(windows, HEADS, length, WIDTH),
        normal(windows, DIRECTIONS, HEADS, length) - 2,
        -decay * normal(DIRECTIONS, HEADS).abs() - 0.05,
        normal(windows, DIRECTIONS, length, STATE),
        normal(windows, DIRECTIONS, length, STATE),
    ]


def one_after_another(
    x_RHLP: Tensor, log_dt: Tensor, A_KH: Tensor, B_RKLN: Tensor, C_RKLN: Tensor, height: int, width: int
) -> Tensor:
    """y_RHLP by the recurrence, each reading in its own order."""

    def turned(tensor_RLD: Tensor, k: int) -> Tensor:
        return read(rearrange(tensor_RLD, "r (i j) d -> r d i j", i=height), k)

    def back(sequence_RLD: Tensor, k: int) -> Tensor:
        return rearrange(write(sequence_RLD, k, height, width), "r d i j -> r (i j) d")

    total = torch.zeros_like(x_RHLP)
    for k in range(DIRECTIONS):
        x = rearrange(turned(rearrange(x_RHLP, "r h l p -> r l (h p)"), k), "r l (h p) -> r l h p", h=HEADS)
        dt = turned(log_dt[:, k].exp().mT, k)
        B, C = (turned(maps[:, k], k)[:, :, None] for maps in (B_RKLN, C_RKLN))
        state = x.new_zeros(len(x), HEADS, WIDTH, STATE)
        y = scan_reference(x, dt, A_KH[k], B, C, torch.zeros(HEADS, dtype=x.dtype), state)
        total = total + rearrange(back(y.flatten(2), k), "r l (h p) -> r h l p", h=HEADS)
    return total


@given(SIZES, st.integers(0, 9))
def test_they_are_the_recurrences_in_their_own_orders(size: tuple[int, int], seed: int):
    given_ = problem(*size, seed=seed)
    y, _ = readings.readings(*given_, *size)
    assert torch.allclose(y, one_after_another(*given_, *size), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8)])
def test_the_gradient_by_hand_is_that_of_the_recurrences(size: tuple[int, int]):
    given_ = [tensor.requires_grad_() for tensor in problem(*size)]
    weights = torch.randn(3, HEADS, size[0] * size[1], WIDTH, dtype=torch.float64)
    found = torch.autograd.grad((readings.readings(*given_, *size)[0] * weights).sum(), given_)
    expected = torch.autograd.grad((one_after_another(*given_, *size) * weights).sum(), given_)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-10)


def test_what_is_left_of_an_initial_state_is_the_decay_up_to_a_position():
    x, log_dt, A, B, C = problem(2, 2)
    _, left = readings.readings(x, log_dt, A, B, C, 2, 2)
    first = (log_dt.exp() * A[:, :, None]).exp()  # of each step alone
    order = [[0, 1, 2, 3], [0, 2, 1, 3], [3, 2, 1, 0], [3, 1, 2, 0]]
    for k, places in enumerate(order):
        assert torch.allclose(left[:, k, :, places], first[:, k, :, places].cumprod(-1))


def test_strong_decays_and_no_steps_stay_finite():
    """exp(-total) of these would be infinite in single precision; a step of 0 writes nothing."""
    x, log_dt, A, B, C = (tensor.float() for tensor in problem(8, 8, decay=1e4))
    inputs = [tensor.requires_grad_() for tensor in (x, log_dt.clamp_max(-46), A, B, C)]
    y, _ = readings.readings(*inputs, 8, 8)
    assert y.abs().max() < 1e-15
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), inputs))
    strong = [tensor.detach().requires_grad_() for tensor in (x, log_dt, A, B, C)]
    y, left = readings.readings(*strong, 8, 8)
    assert y.isfinite().all() and left.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), strong))


def test_windows_are_independent_of_each_other_and_of_a_wanted_gradient():
    x, log_dt, A, B, C = (tensor.float() for tensor in problem(3, 4, windows=readings.IN_CACHE + 3))
    together, _ = readings.readings(x, log_dt, A, B, C, 3, 4)
    for i in range(len(x)):
        alone, _ = readings.readings(
            *(tensor[i : i + 1] for tensor in (x, log_dt)), A, B[i : i + 1], C[i : i + 1], 3, 4
        )
        assert torch.allclose(alone[0], together[i], atol=1e-6)
    learning, _ = readings.readings(x.requires_grad_(), log_dt, A, B, C, 3, 4)
    assert torch.allclose(learning, together, atol=1e-6)


@pytest.mark.parametrize("window", [0, 4, 8])
@pytest.mark.parametrize("size", [(4, 4), (7, 5), (8, 8), (9, 14)])
def test_a_block_is_the_same_with_and_without_them(size: tuple[int, int], window: int, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    net = VssBlock(8, state=4, head=4, window=window).double()
    x, snr_db = torch.randn(2, 8, *size, dtype=torch.float64, requires_grad=True), torch.tensor([3.0, -2.0])

    def output_and_gradients() -> list[Tensor]:
        y = net(x, snr_db)
        return [y, *torch.autograd.grad(y.square().sum(), [x, *net.parameters()])]

    at_once = output_and_gradients()
    monkeypatch.setattr(mamba, "LONGEST", 0)
    for ours, scanned in zip(at_once, output_and_gradients(), strict=True):
        assert torch.allclose(ours, scanned, rtol=1e-9, atol=1e-9)


def test_in_mixed_precision_only_products_are_rounded():
    """bfloat16 has 8 bits: 0.4 %; sums of many products keep that, the gradient of the decays is a difference of such sums."""
    torch.manual_seed(0)
    net = VssBlock(32, state=16, head=8)
    x, snr_db = torch.randn(4, 32, 8, 8, requires_grad=True), torch.tensor([3.0, -2.0, 10.0, 20.0])

    def output_and_gradients() -> list[Tensor]:
        merged = net._merged(x, snr_db[:, None].expand(-1, 8) / 40)
        return [merged, *torch.autograd.grad(merged.float().square().sum(), [x, net.select, net.log_decay])]

    exact = output_and_gradients()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = output_and_gradients()
    errors = [((a - b).norm() / a.norm()).item() for a, b in zip(exact, mixed, strict=True)]
    assert errors[0] < 0.005 and max(errors) < 0.02, errors
    assert min(errors) > 1e-4, errors  # they are rounded at all
