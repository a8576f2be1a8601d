"""`jscgc bench train`: training steps beside what the machine's matrix products could do in the same time, and where their time
goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from jscgc.bench.measure import Work, compare
from jscgc.generator.lora import set_trained
from jscgc.latent.autoencoder import LatentStatistics
from jscgc.method import network, trainable
from jscgc.params import Params
from jscgc.precision import Precision, computing
from jscgc.seeding import stream
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.mambajscc import Codec
from jscgc.systems.receiver import Prior
from jscgc.systems.store import Architecture, build

SIDE = 2048
"""Of the square matrices whose product is the limit."""
LIMIT = "matrix product"
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
Losses = Callable[[], Mapping[str, Tensor]]


def trained() -> list[str]:
    """What is measured: the networks that a training may start from as they ship, the prior first."""
    return [name for name, declared in trainable().items() if declared.starts_from_shipped]


def bench_training(
    params: Params, rounds: int, device: str, precision: Precision = "float32"
) -> Iterator[dict[str, Any]]:
    """Rows of network, batch, gflop (of one step's matrix products and convolutions, a multiply-add as two), ms,
    steps_per_second, gflop_per_second, share_of_limit (median of pairs with the matrix product, whose row is the first),
    share_in_products (of the step's time, what these take by themselves) and operators (how many are called in a step).

    A step is loss, gradients, their norm and AdamW, on latents of random numbers (no step's time depends on them). The matrix
    product is in float32 whatever the steps are in.

    Args:
        params: sizes, batches and what learns; latents are `latents.crop` pixels of the photo.
        rounds: steps of each, taking turns.
        precision: of the steps.
    """
    torch.manual_seed(0)
    left, right = torch.randn(2, SIDE, SIDE, device=device)
    works: dict[str, Work] = {LIMIT: lambda: left @ right}
    gflop, batches = {LIMIT: 2 * SIDE**3 / 1e9}, {LIMIT: 1}
    for kind in trained():
        loss, net, batches[kind] = _trained(kind, params, device)
        loss = _in_precision(loss, precision, device)
        learning = [p for p in net.parameters() if p.requires_grad]
        works[kind] = _step(loss, learning, torch.optim.AdamW(learning, lr=1e-5, fused=True))
        with FlopCounterMode(display=False) as counter:
            works[kind]()
        gflop[kind] = counter.get_total_flops() / 1e9
    for name, measured in compare(works, rounds).items():
        yield {
            "network": name,
            "batch": batches[name],
            "gflop": gflop[name],
            "ms": measured.ms,
            "steps_per_second": 1000 / measured.ms,
            "gflop_per_second": 1000 * gflop[name] / measured.ms,
            "share_of_limit": gflop[name] / gflop[LIMIT] / measured.ratio,
            **_share(works[name], measured.ms),
        }


def _share(step: Work, ms: float) -> dict[str, float]:
    """Of a step that takes `ms`: how much of it matrix products and convolutions take, and how many operators it calls."""
    with Operators() as operators:
        step()
    return {"share_in_products": operators.products_ms / ms, "operators": operators.calls}


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts torch's operators and times the matrix products and convolutions among them, gradients' too."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls, self.products_ms = 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        name = func.overloadpacket.__name__
        if name not in PRODUCTS and "conv" not in name:
            return func(*args, **(kwargs or {}))
        on_gpu = any(isinstance(x, Tensor) and x.is_cuda for x in args)
        start = _now(on_gpu)
        output = func(*args, **(kwargs or {}))
        self.products_ms += 1000 * (_now(on_gpu) - start)
        return output


def _now(on_gpu: bool) -> float:
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


def _trained(kind: str, params: Params, device: str) -> tuple[Losses, nn.Module, int]:
    """The loss of a batch, the network with what learns marked, and the batch's size."""
    channels, side = params.vae.channels, params.latents.crop // 8
    net: Any = build(Architecture.of(kind, params), LatentStatistics([0.0] * channels, [1.0] * channels, 8, ""))
    net = net.to(device, memory_format=torch.channels_last)
    training = network(kind).training(params)
    assert training is not None
    x = torch.randn(training.batch_size, channels, side, side, device=device).to(memory_format=torch.channels_last)

    def draws() -> torch.Generator:
        return stream(params.seed, "bench", kind)

    if isinstance(net, Prior):
        return lambda: net.loss(x, params.objective, draws()), net, len(x)
    if isinstance(net, Codec):
        return lambda: net.loss(x, params.link, draws()), net, len(x)
    set_trained(net.receiver.prior, params.jscgc.generator_learns)
    if isinstance(net, JscgcNet):
        net.encoder.requires_grad_(params.jscgc.encoder_learns)
    return lambda: net.loss(x, params.link, params.jscgc, params.objective, draws()), net, len(x)


def _in_precision(losses: Losses, precision: Precision, device: str) -> Losses:
    def computed() -> Mapping[str, Tensor]:
        with computing(precision, device):
            return losses()

    return computed


def _step(losses: Losses, learning: list[nn.Parameter], optimiser: torch.optim.Optimizer) -> Work:
    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        losses()["loss"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()

    return step
