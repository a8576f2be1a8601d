"""What runs on a GPU means what it means on the CPU; skipped where torch sees none (`pytest tests/test_gpu.py` on one)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from jscgc.encoder.kernels import cuda_scan, cuda_selective_scan
from jscgc.encoder.scan import KERNEL_FROM, implementation, scan, scan_kernel, scan_reference
from jscgc.encoder.selective import selective_chunked, selective_kernel
from jscgc.flow.params import SampleParams
from jscgc.metrics import available, pair_metric
from jscgc.metrics import info as metric_info
from jscgc.systems.base import Link
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit
from jscgc.training import make

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
TENSOR_FLOAT = 2**-10
"""Rounding of TF32, in which mamba-ssm's Triton kernels multiply float32."""


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """Convolutions and matrix products in full float32, as on the CPU."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def problem(length: int, batch: int, width: int = 32) -> list[Tensor]:
    """As the encoder's blocks call it: x, dt, A, B, C, D, initial state, float64 on the CPU."""
    g = torch.Generator().manual_seed(length + batch)
    heads, state = 4, 16
    return [
        torch.randn(batch, length, heads, width, generator=g, dtype=torch.float64),
        0.1 * torch.randn(batch, length, heads, generator=g, dtype=torch.float64).abs(),
        -torch.linspace(1, 16, heads, dtype=torch.float64),
        torch.randn(batch, length, 1, state, generator=g, dtype=torch.float64),
        torch.randn(batch, length, 1, state, generator=g, dtype=torch.float64),
        torch.randn(heads, generator=g, dtype=torch.float64),
        torch.randn(batch, heads, width, state, generator=g, dtype=torch.float64),
    ]


def run(function, inputs: list[Tensor]) -> list[Tensor]:
    """Output, then the gradients of a fixed projection of it by every input, on the CPU in double precision."""
    leaves = [t.clone().requires_grad_() for t in inputs]
    y = function(*leaves)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y.detach().cpu().double(), *(g.cpu().double() for g in torch.autograd.grad((y * weights).sum(), leaves))]


@pytest.mark.parametrize("length, batch", [(1, 2), (7, 1), (64, 3), (1000, 2), (4097, 1)])
def test_the_kernel_agrees_with_the_recurrence_and_so_do_its_gradients(length, batch):
    if cuda_scan()[0] is None:
        pytest.skip(cuda_scan()[1])
    assert implementation(KERNEL_FROM, torch.device("cuda"))[0] == "mamba_ssm"
    inputs = problem(length, batch)
    expected = run(scan_reference, inputs)
    found = run(scan_kernel, [t.float().cuda() for t in inputs])
    for name, a, b in zip(("y", "x", "dt", "A", "B", "C", "D", "state"), found, expected, strict=True):
        error = float((a - b).abs().max() / b.abs().max())
        print(f"length {length} {name}: {error:.1e}")
        assert error <= 8 * TENSOR_FLOAT, name


@pytest.mark.parametrize("length", [KERNEL_FROM - 1, KERNEL_FROM])
def test_the_scan_that_is_chosen_agrees_too(length):
    inputs = problem(length, 2)
    found = run(scan, [t.float().cuda() for t in inputs])
    for a, b in zip(found, run(scan_reference, inputs), strict=True):
        assert (a - b).abs().max() <= (8 * TENSOR_FLOAT if length >= KERNEL_FROM else 1e-5) * b.abs().max()


@pytest.mark.parametrize("length, batch", [(1, 2), (64, 3), (1024, 2), (4097, 1)])
def test_the_selective_scan_s_kernel_agrees_with_the_recurrence_and_so_do_its_gradients(length, batch):
    kernel, why = cuda_selective_scan()
    if kernel is None:
        pytest.skip(why)
    g = torch.Generator().manual_seed(length + batch)
    channels, state = 32, 16
    inputs = [
        torch.randn(batch, length, channels, generator=g, dtype=torch.float64),
        0.1 * torch.randn(batch, length, channels, generator=g, dtype=torch.float64).abs(),
        -torch.rand(channels, state, generator=g, dtype=torch.float64) * 16,
        torch.randn(batch, length, 2, state, generator=g, dtype=torch.float64),
        torch.randn(batch, length, 2, state, generator=g, dtype=torch.float64),
        torch.randn(channels, generator=g, dtype=torch.float64),
        torch.randn(batch, channels, state, generator=g, dtype=torch.float64),
    ]
    found = run(selective_kernel, [t.float().cuda() for t in inputs])
    # The recurrence's own gradient takes minutes at the longest; the chunked one equals it, see test_encoder_selective.
    expected = run(selective_chunked, inputs)
    for name, a, b in zip(("y", "u", "dt", "A", "B", "C", "D", "state"), found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max(), name


@pytest.mark.parametrize("channel", ["awgn", "rayleigh_fast"])
@pytest.mark.parametrize(
    "method",
    ["jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc", "diffcom", "deepjscc", "swinjscc", "mambajscc_psnr_pixels"],
)
def test_what_is_received_is_what_the_cpu_receives(models, method, channel):
    photo = torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(0))
    sample = SampleParams(steps=2, guidance=1.5)
    pictures = [
        transmit(
            load_system(method, models, device), photo.to(device), Link(channel, 10.0, 4), sample=sample, seed=0
        ).photo.cpu()
        for device in (torch.device("cpu"), torch.device("cuda"))
    ]
    difference = (pictures[0] - pictures[1]).abs()
    print(f"{method} over {channel}: mean {difference.mean():.1e}, largest {difference.max():.1e}")
    assert difference.mean() < 2e-3
    assert difference.max() < 0.05


@pytest.mark.parametrize(
    "name", [n for n, missing in available().items() if missing is None and metric_info(n).scope == "pair"]
)
def test_metrics_agree(name):
    g = torch.Generator().manual_seed(0)
    photo = torch.rand(1, 3, 192, 208, generator=g)
    received = (photo + 0.1 * torch.randn(photo.shape, generator=g)).clamp(0, 1)
    values = [float(pair_metric(name, device)(photo.to(device), received.to(device))[0]) for device in ("cpu", "cuda")]
    assert values[1] == pytest.approx(values[0], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-3), ("bfloat16", 5e-2)])
def test_training_starts_as_on_the_cpu_and_stays_finite(params, latent_cache, tmp_path, precision, tolerance):
    """The first step's loss is a function of seed and weights alone; later ones amplify rounding."""
    first = {}
    for device, mode in (("cpu", "float32"), ("cuda", precision)):
        here = params.model_copy(update={"device": device, "precision": mode})
        here = here.model_copy(update={"jscgc": here.jscgc.model_copy(update={"tuning": "full"})})
        losses: dict[str, list[float]] = {}

        def log_of(name, losses=losses):
            return lambda step, metrics: losses.setdefault(name, []).append(metrics["loss"])

        folder, inputs = tmp_path / device, {"latents": latent_cache}
        for name in ("flow", "mambajscc_psnr"):
            make.make(name, here, inputs, folder / f"run-{name}", log_of(name), folder / name)
            inputs[name] = folder / name
        make.train("jscgc", here, inputs, folder / "run", log_of("jscgc"))
        assert all(torch.isfinite(torch.tensor(values)).all() for values in losses.values())
        first[device] = {name: values[0] for name, values in losses.items()}
    print(first)
    for name in ("flow", "mambajscc_psnr"):
        assert first["cuda"][name] == pytest.approx(first["cpu"][name], rel=tolerance), name
    # JSCGC starts from the two, which six steps have moved.
    assert first["cuda"]["jscgc"] == pytest.approx(first["cpu"]["jscgc"], rel=0.2)
