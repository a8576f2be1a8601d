"""One real layer of each kind of a configuration, timed on this machine: what `jscgc plan --measure` shows beside its sums."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jscgc.costs import Sketch
from jscgc.device import resolve_device
from jscgc.params import Params
from jscgc.precision import Precision, computing, resolve_precision
from jscgc.seeding import stream

ROUNDS = 3
EMBEDDING = 256
"""Width of the embedding that modulates a generator's block."""


def measured(params: Params, drawn: Sketch, rounds: int = ROUNDS) -> Iterator[dict[str, Any]]:
    """Rows of layer, precision, width, positions, parameters, gflop (forward), seconds (median) and gflops_per_second.

    A block of the generator's own type at its full width (and at the adapter's, where that is another), and the last Mamba block
    of the encoder; weights are random, for one image of `latents.crop` pixels. In bfloat16 only where it is measured to pay:
    elsewhere it is emulated and says nothing.
    """
    device = resolve_device(params.device if params.device != "cuda" or torch.cuda.is_available() else "cpu")
    kinds: list[Precision] = ["float32"]
    if resolve_precision("auto", device) == "bfloat16":
        kinds.append("bfloat16")
    for name, make, arguments, width, positions in _layers(params, drawn):
        layer = _filled(make(), params.seed).to(device).eval()
        given = [argument.to(device) for argument in arguments]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            layer(*given)
        gflop = counter.get_total_flops() / 1e9
        for precision in kinds:
            seconds = _seconds(layer, given, precision, device.type, rounds)
            yield {
                "layer": name,
                "precision": precision,
                "width": width,
                "positions": positions,
                "parameters": sum(p.numel() for p in layer.parameters()),
                "gflop": gflop,
                "seconds": seconds,
                "gflops_per_second": gflop / seconds,
            }


def _layers(
    params: Params, drawn: Sketch
) -> Iterator[tuple[str, Callable[[], nn.Module], tuple[Tensor, ...], int, int]]:
    """Name, what makes it on the meta device, its arguments, its width and its positions."""
    net, rng = drawn.net, stream(params.seed, "layers")
    backbone = net.receiver.prior.backbone
    side = params.latents.crop // drawn.vae.factor

    def block(width: int) -> Callable[[], nn.Module]:
        def make() -> nn.Module:
            with torch.device("meta"):
                made: nn.Module = backbone.stage(width, EMBEDDING)
            return made

        return make

    point = backbone.points[0]
    own = max(1, side // point.scale)
    widths = {f"{params.generator.backbone} block": point.channels, "adapter stage": params.jscgc.adapter.width}
    if len(set(widths.values())) == 1:
        widths = {f"{params.generator.backbone} block": point.channels}
    for name, width in widths.items():
        grid = torch.randn(1, width, own, own, generator=rng)
        yield name, block(width), (grid, torch.randn(1, EMBEDDING, generator=rng)), width, own**2
    down = 1
    for stage, factor in zip(net.encoder.stages, params.encoder.downsample, strict=True):
        down, last = down * factor, stage
    blocks: Any = last
    width = params.encoder.widths[-1]
    positions = max(1, side // down)
    grid = torch.randn(1, width, positions, positions, generator=rng)
    yield "Mamba block", lambda: blocks.blocks[-1], (grid, torch.full((1,), 10.0)), width, positions**2


def _filled(layer: nn.Module, seed: int) -> nn.Module:
    """With memory, and random weights of about the size that trained ones have."""
    layer = layer.to_empty(device="cpu").float()
    rng = stream(seed, "layer")
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng) / max(1, weight.shape[-1]) ** 0.5)
        for buffer in layer.buffers():
            buffer.zero_()
    return layer.requires_grad_(False)


@torch.no_grad()
def _seconds(layer: nn.Module, given: list[Tensor], precision: Precision, device: str, rounds: int) -> float:
    """Median of so many forward passes, after one that does not count."""

    def once() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        with computing(precision, device):
            layer(*given)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    return statistics.median(once() for _ in range(rounds))
