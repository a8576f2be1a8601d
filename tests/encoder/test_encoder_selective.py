"""Mamba-1's selective scan: the recurrence, ours in chunks and mamba-ssm's reference are one function, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from jscgc.encoder import selective as module
from jscgc.encoder.kernels import mamba_ssm_module
from jscgc.encoder.selective import (
    implementation,
    selective_chunked,
    selective_kernel,
    selective_reference,
    selective_scan,
)

TOLERANCE = 1e-5
NAMES = ("u", "dt", "A", "B", "C", "D", "state")


def problem(length: int, batch: int = 2, groups: int = 2, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """u, dt, A, B, C, D and initial state in Mamba's ranges: step sizes about 0.1, decays -1 to -16, entry by entry others."""
    g = torch.Generator().manual_seed(length + batch)
    channels, state = 6, 5
    tensors = (
        torch.randn(batch, length, channels, generator=g),
        0.1 * torch.randn(batch, length, channels, generator=g).abs(),
        -torch.exp(torch.rand(channels, state, generator=g) * 2.77),
        torch.randn(batch, length, groups, state, generator=g),
        torch.randn(batch, length, groups, state, generator=g),
        torch.randn(channels, generator=g),
        torch.randn(batch, channels, state, generator=g),
    )
    return [t.to(dtype) for t in tensors]


def run(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Output, and gradients of a fixed random projection of it by every input."""
    leaves = [t.clone().requires_grad_() for t in inputs]
    y = function(*leaves)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), leaves)]


def largest_error(got: Tensor, expected: Tensor) -> float:
    """Relative to the largest value; what must be zero (A's gradient after one step from nothing) is."""
    return float((got.double() - expected.double()).abs().max() / expected.double().abs().max().clamp_min(1e-30))


def theirs(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, **keys) -> Tensor:
    """mamba-ssm's own reference, which starts from nothing."""
    reference = mamba_ssm_module("ops.selective_scan_interface").selective_scan_ref
    y: Tensor = reference(u.mT, dt.mT, A, B.permute(0, 2, 3, 1), C.permute(0, 2, 3, 1), D, **keys)
    return y.mT


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 7, 64, 300])
def test_reference_and_chunks_equal_mamba_ssm_s_reference_gradients_too(length, groups):
    *inputs, state = problem(length, groups=groups, dtype=torch.float32)
    expected = run(theirs, inputs)
    for ours in (selective_reference, selective_chunked):
        found = run(lambda *a, f=ours: f(*a, torch.zeros_like(state)), inputs)
        for name, a, b in zip(("y", *NAMES), found, expected, strict=False):
            assert largest_error(a, b) < TOLERANCE, name


@pytest.mark.parametrize("budget, shortest", [(2**17, 16), (1, 1), (1, 7), (300, 3)])
@pytest.mark.parametrize("length, batch", [(1, 3), (11, 1), (50, 4)])
def test_chunks_equal_the_recurrence_from_any_state_and_chunks_do_not_show(
    length, batch, budget, shortest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "IN_CACHE", budget)
    monkeypatch.setattr(module, "SHORTEST", shortest)
    inputs = problem(length, batch)
    for name, a, b in zip(("y", *NAMES), run(selective_chunked, inputs), run(selective_reference, inputs), strict=True):
        assert largest_error(a, b) < 1e-12, name


def test_the_gradient_by_hand_is_the_function_s(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "IN_CACHE", 90)
    monkeypatch.setattr(module, "SHORTEST", 2)
    assert torch.autograd.gradcheck(selective_chunked, [t.requires_grad_() for t in problem(7)])


def test_single_precision_equals_double():
    inputs = problem(700)
    found = run(selective_chunked, [t.float() for t in inputs])
    for name, a, b in zip(("y", *NAMES), found, run(selective_reference, inputs), strict=True):
        assert largest_error(a, b) < TOLERANCE, name


def test_decays_that_underflow_are_no_trouble():
    """A step of a hundred forgets everything."""
    inputs = problem(20)
    inputs[1][:, 10] = 100.0
    found, expected = run(selective_chunked, inputs), run(selective_reference, inputs)
    assert all(part.isfinite().all() for part in found)
    assert all(largest_error(a, b) < 1e-12 for a, b in zip(found, expected, strict=True))


def test_states_of_all_steps_are_never_kept():
    u, dt, A, B, C, D, state = (t.float() for t in problem(4096, batch=1))
    kept: list[int] = []
    leaf = u.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        selective_chunked(leaf, dt, A, B, C, D, state)
    in_all = u.shape[1] * state.numel()
    inputs = sum(t.numel() for t in (u, u, dt, dt, A, B, C, D))
    assert in_all > 100_000 and sum(kept) < inputs + in_all / module.SHORTEST + 100


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("length", [1, 40])
def test_a_kernel_that_starts_from_nothing_starts_from_any_state_here(length, groups, monkeypatch: pytest.MonkeyPatch):
    """mamba-ssm's reference stands in for its kernel, which has the same arguments and no initial state either."""
    reference = mamba_ssm_module("ops.selective_scan_interface").selective_scan_ref
    monkeypatch.setattr(module, "cuda_selective_scan", lambda: (reference, "a test"))
    inputs = problem(length, groups=groups, dtype=torch.float32)
    inputs[2] = inputs[2] * 4  # learnt decays beyond those of the start
    expected = run(selective_reference, [t.double() for t in inputs])
    for name, a, b in zip(("y", *NAMES), run(selective_kernel, inputs), expected, strict=True):
        assert largest_error(a, b) < TOLERANCE, name


def test_without_the_kernel_it_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "cuda_selective_scan", lambda: (None, "there is none"))
    with pytest.raises(RuntimeError, match="there is none"):
        selective_kernel(*problem(3))
    assert implementation(torch.device("cuda")) == ("chunked", "there is none")
    assert implementation(torch.device("cpu"))[0] == "chunked"
    monkeypatch.setattr(module, "cuda_selective_scan", lambda: (object(), "it is there"))
    assert implementation(torch.device("cuda")) == ("mamba_ssm", "it is there")


def test_the_scan_on_a_cpu_is_the_chunked_one():
    inputs = problem(30)
    assert torch.equal(selective_scan(*inputs), selective_chunked(*inputs))
