"""The fast scan against the recurrence as it is written."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from jscgc.encoder import scan as module
from jscgc.encoder.scan import scan, scan_chunked, scan_reference

Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def arguments(
    length: int, heads: int = 4, groups: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Arguments:
    """x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, D_H, state_BHPN of a batch of 2, P = 3, N = 5."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    tensors = (
        normal(2, length, heads, 3),
        0.2 * normal(2, length, heads).abs(),
        -4 * normal(heads).abs() - 0.05,
        normal(2, length, groups, 5),
        normal(2, length, groups, 5),
        normal(heads),
        normal(2, heads, 3, 5),
    )
    return tuple(t.to(dtype) for t in tensors)  # type: ignore[return-value]


def last_state(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, state: Tensor) -> Tensor:
    """The state after the last step, by the recurrence, index by index."""
    state = state.clone()
    per_group = x.shape[2] // B.shape[2]
    for t in range(x.shape[1]):
        for h in range(x.shape[2]):
            write = dt[:, t, h, None, None] * x[:, t, h, :, None] * B[:, t, h // per_group, None, :]
            state[:, h] = torch.exp(dt[:, t, h] * A[h])[:, None, None] * state[:, h] + write
    return state


def test_reference_by_hand_for_one_head_of_one_number():
    # H1 = e^{-0.5} 3 + 0.5 * 2 * 1 = 2.81959..., y1 = H1 * 2 + 10 * 2; H2 = e^{-1} H1 + 1 * -1 * 4, y2 = -H2 - 10.
    one = torch.float64
    x = torch.tensor([2.0, -1.0], dtype=one).reshape(1, 2, 1, 1)
    dt = torch.tensor([0.5, 1.0], dtype=one).reshape(1, 2, 1)
    B = torch.tensor([1.0, 4.0], dtype=one).reshape(1, 2, 1, 1)
    C = torch.tensor([2.0, -1.0], dtype=one).reshape(1, 2, 1, 1)
    A, D, state = (
        torch.tensor([-1.0], dtype=one),
        torch.tensor([10.0], dtype=one),
        torch.full((1, 1, 1, 1), 3.0, dtype=one),
    )
    first = 3 * 0.6065306597126334 + 1
    second = first * 0.36787944117144233 - 4
    expected = torch.tensor([2 * first + 20, -second - 10], dtype=one).reshape(1, 2, 1, 1)
    for implementation in (scan_reference, scan_chunked, scan):
        assert torch.allclose(implementation(x, dt, A, B, C, D, state), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("length", [1, 7, 64, 65, 200])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_chunked_equals_reference_in_double(length, groups):
    a = arguments(length, groups=groups)
    assert torch.allclose(scan_chunked(*a), scan_reference(*a), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("length", [1, 7, 64, 65, 200])
def test_chunked_equals_reference_in_single(length):
    a = arguments(length, dtype=torch.float32)
    expected = scan_reference(*(t.double() for t in a))
    error = (scan_chunked(*a).double() - expected).abs().max() / expected.abs().max()
    assert error.item() < 1e-5


def test_strong_decay_neither_overflows_nor_makes_nan_gradients():
    x, dt, A, B, C, D, state = arguments(130, dtype=torch.float32)
    tensors = [t.requires_grad_() for t in (x, 50 * dt, 10 * A, B, C, D, state)]
    y = scan_chunked(*tensors)  # type: ignore[arg-type]
    expected = scan_reference(*(t.detach().double() for t in tensors))  # type: ignore[arg-type]
    # Sums of exponents in the thousands cost digits: 1e-5 is reached here, 1e-7 at ordinary decays.
    assert (y - expected).abs().max().item() < 1e-4 * expected.abs().max().item()
    for gradient in torch.autograd.grad(y.square().sum(), tensors):
        assert torch.isfinite(gradient).all()


def test_the_initial_state_counts():
    a = arguments(70)
    without = (*a[:-1], torch.zeros_like(a[-1]))
    assert not torch.allclose(scan_chunked(*a), scan_chunked(*without))


def test_gradients(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHUNK", 3)  # several chunks and a padded tail on few numbers
    a = tuple(t.requires_grad_() for t in arguments(5, heads=2, groups=1, seed=1))
    assert torch.autograd.gradcheck(scan_chunked, a, eps=1e-6, atol=1e-6)


def test_gradients_equal_the_reference():
    a = tuple(t.requires_grad_() for t in arguments(100))
    for got, expected in zip(
        torch.autograd.grad(scan_chunked(*a).square().sum(), a),
        torch.autograd.grad(scan_reference(*a).square().sum(), a),
        strict=True,
    ):
        assert torch.allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cut", [1, 64, 100])
def test_a_scan_is_two_scans_with_the_state_carried_over(cut):
    x, dt, A, B, C, D, state = arguments(150)
    whole = scan_chunked(x, dt, A, B, C, D, state)
    head = (x[:, :cut], dt[:, :cut], A, B[:, :cut], C[:, :cut], D, state)
    carried = last_state(*head)
    tail = scan_chunked(x[:, cut:], dt[:, cut:], A, B[:, cut:], C[:, cut:], D, carried)
    assert torch.allclose(torch.cat([scan_chunked(*head), tail], 1), whole, rtol=1e-10, atol=1e-10)


def test_the_scan_is_causal():
    a = arguments(130)
    x = a[0].clone()
    x[:, 100:] += 1
    changed = scan_chunked(x, *a[1:])
    assert torch.allclose(changed[:, :100], scan_chunked(*a)[:, :100], rtol=0, atol=1e-12)
    assert not torch.allclose(changed[:, 100:], scan_chunked(*a)[:, 100:])


def test_implementation_on_the_cpu_is_named_with_its_reason():
    name, why = module.implementation(10_000, torch.device("cpu"))
    assert name == "chunked" and "cpu" in why
