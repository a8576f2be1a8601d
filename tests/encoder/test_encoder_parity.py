"""The scan against mamba-ssm's own reference functions, and against ours, in double and single precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jscgc.bench.peers import mamba_ssm_reference, mambapy_scan
from jscgc.encoder import scan as module
from jscgc.encoder.kernels import mamba_ssm_module
from jscgc.encoder.scan import scan_chunked, scan_reference

LENGTHS = [1, 7, 64, 1000, 4097]
TOLERANCE = 1e-5


def problem(length: int, batch: int, groups: int = 1, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, D_H in Mamba's ranges: step sizes about 0.1, decays from -1 to -16."""
    g = torch.Generator().manual_seed(length + batch)
    heads, width, state = 4, 8, 16
    tensors = (
        torch.randn(batch, length, heads, width, generator=g),
        0.1 * torch.randn(batch, length, heads, generator=g).abs(),
        -torch.linspace(1, 16, heads),
        torch.randn(batch, length, groups, state, generator=g),
        torch.randn(batch, length, groups, state, generator=g),
        torch.randn(heads, generator=g),
    )
    return [t.to(dtype) for t in tensors]


def zero_state(x: Tensor, B: Tensor) -> Tensor:
    return x.new_zeros(len(x), x.shape[2], x.shape[3], B.shape[-1])


def close(got: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Within `tolerance` of the largest value."""
    return bool((got.double() - expected.double()).abs().max() <= tolerance * expected.double().abs().max())


def gradients(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Of a fixed random projection of the output, by every input."""
    leaves = [t.clone().requires_grad_() for t in inputs]
    y = function(*leaves)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return list(torch.autograd.grad((y * weights).sum(), leaves))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("length", LENGTHS)
def test_outputs_equal_mamba_ssm_selective_scan_ref(length, batch):
    x, dt, A, B, C, D = problem(length, batch)
    expected = mamba_ssm_reference()(x, dt, A, B, C, D)
    for ours in (scan_chunked, scan_reference):
        assert close(ours(x, dt, A, B, C, D, zero_state(x, B)), expected)


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_gradients_equal_mamba_ssm_selective_scan_ref(length):
    inputs = problem(length, 2)
    expected = gradients(mamba_ssm_reference(), inputs)
    got = gradients(lambda x, dt, A, B, C, D: scan_chunked(x, dt, A, B, C, D, zero_state(x, B)), inputs)
    for ours, theirs in zip(got, expected, strict=True):
        assert close(ours, theirs)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("length", [48, 1000, 4097])
def test_outputs_and_gradients_equal_mamba_ssm_ssd_reference(length, groups):
    """Mamba-2's own reference; it takes whole chunks, so steps that do nothing are put behind.

    It masks decays after the exponential, which overflows where they sum to 88 over the sequence and makes its gradients
    NaN; so decays are weak here.
    """
    reference = mamba_ssm_module("ops.triton.ssd_combined").ssd_chunk_scan_combined_ref
    chunk = 20

    def theirs(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        tail = -x.shape[1] % chunk
        padded = [F.pad(t, (0, 0) * (t.ndim - 2) + (0, tail)) for t in (x, dt, B, C)]
        y: Tensor = reference(padded[0], padded[1], A, padded[2], padded[3], chunk, D)
        return y[:, : x.shape[1]]

    def ours(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        return scan_chunked(x, dt, A, B, C, D, zero_state(x, B))

    x, dt, A, B, C, D = problem(length, 2, groups)
    inputs = [x, dt, A / 100, B, C, D]
    assert close(ours(*inputs), theirs(*inputs))
    *mine, skip = gradients(ours, inputs)
    *others, their_skip = gradients(theirs, inputs)
    assert all(close(a, b) for a, b in zip(mine, others, strict=True))
    # Theirs sums the gradient of D naively (ours: see the test in double precision).
    assert close(skip, their_skip, 5 * TOLERANCE)


def test_the_initial_state_equals_mamba_ssm_minimal_ssd():
    """ssd_minimal_discrete takes x dt and dt A, and an initial state [B,1,H,P,N]."""
    minimal = mamba_ssm_module("modules.ssd_minimal").ssd_minimal_discrete
    x, dt, A, B, C, D = problem(96, 2, groups=4)
    state = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    y, last = minimal(x * dt[..., None], dt * A, B, C, 32, initial_states=state[:, None])
    assert close(scan_chunked(x, dt, A, B, C, D, state), y + D[:, None] * x)
    assert close(module._segment(x, dt, A, B, C, D, state)[1], last)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("length", LENGTHS)
def test_single_precision_equals_our_reference_in_double_with_an_initial_state(length, batch):
    inputs = problem(length, batch)
    state = torch.randn(batch, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    expected = scan_reference(*(t.double() for t in (*inputs, state)))
    assert close(scan_chunked(*inputs, state), expected)


@pytest.mark.parametrize("length", LENGTHS)
def test_single_precision_gradients_equal_those_in_double(length):
    inputs = problem(length, 2)
    state = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    # The sequential reference's own gradient takes minutes at the longest; there the chunked one in double stands in, which
    # equals the reference's at the shorter ones.
    exact = scan_reference if length <= 1000 else scan_chunked
    expected = gradients(exact, [t.double() for t in (*inputs, state)])
    for got, wanted in zip(gradients(scan_chunked, [*inputs, state]), expected, strict=True):
        assert close(got, wanted)


@pytest.mark.parametrize("length", [7, 1000])
def test_mambapy_agrees(length):
    """A third opinion, by another algorithm (Blelloch)."""
    x, dt, A, B, C, D = problem(length, 2)
    assert close(scan_chunked(x, dt, A, B, C, D, zero_state(x, B)), mambapy_scan()(x, dt, A, B, C, D))


def test_segments_do_not_show(monkeypatch: pytest.MonkeyPatch):
    inputs = problem(1000, 2, groups=2, dtype=torch.float64)
    state = torch.randn(2, 4, 8, 16, dtype=torch.float64)
    whole = scan_chunked(*inputs, state)
    monkeypatch.setattr(module, "SEGMENT", 96)
    assert torch.allclose(scan_chunked(*inputs, state), whole, rtol=1e-12, atol=1e-12)


def test_the_stub_of_the_compiled_extension_does_not_stay():
    import sys

    mamba_ssm_reference()
    assert "selective_scan_cuda" not in sys.modules
