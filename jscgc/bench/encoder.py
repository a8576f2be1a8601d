"""`jscgc bench encoder`: latency, multiply-adds, parameters and memory of the Mamba encoder beside DeepJSCC's CNN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jscgc.bench.measure import Work, compare
from jscgc.encoder.cnn import CnnEncoder
from jscgc.encoder.encoder import MambaEncoder, latent_to_grid
from jscgc.encoder.params import EncoderParams


def bench_encoder(
    params: EncoderParams,
    sizes: Sequence[int],
    *,
    channels: int,
    factor: int,
    rate: int,
    cnn_width: int,
    rounds: int = 5,
    device: str = "cpu",
    transmitter: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of encoder, side (pixels of a square photo), ms, peak_mb, ratio_to_ours, macs, parameters, ms_per_megapixel.

    Args:
        params: the Mamba encoder's sizes.
        sizes: sides of square photos, multiples of 16 pixels.
        channels, factor: of the latents that it reads (3 and 1 for pixels).
        rate: complex symbols per 1/16 position.
        cnn_width: hidden channels of DeepJSCC's CNN on the same input.
        transmitter: the VAE's encoder, photo [1,3,H,W] -> latents; adds a row `vae+mamba` of the whole transmitter.
    """
    torch.manual_seed(0)
    down, _ = latent_to_grid(factor)
    encoders: dict[str, nn.Module] = {
        "mamba": MambaEncoder(channels, params, rate, factor).to(device).eval(),
        "deepjscc_cnn": CnnEncoder(channels, cnn_width, rate, down).to(device).eval(),
    }
    for side in sizes:
        x = torch.randn(1, channels, side // factor, side // factor, device=device)
        works: dict[str, Work] = {name: partial(_encode, net, x, rate) for name, net in encoders.items()}
        if transmitter is not None:
            works["vae+mamba"] = partial(_whole, transmitter, encoders["mamba"], side, rate, device)
        for name, measured in compare(works, rounds).items():
            net = encoders.get(name)
            yield {
                "encoder": name,
                "side": side,
                "ms": measured.ms,
                "peak_mb": measured.peak_mb,
                "ratio_to_ours": measured.ratio,
                "macs": multiply_adds(net, x, rate) if net else None,
                "parameters": sum(p.numel() for p in net.parameters()) if net else None,
                "ms_per_megapixel": measured.ms / (side * side / 1e6),
            }


def exponent(sides: Sequence[int], milliseconds: Sequence[float]) -> float:
    """Of the power law time ~ pixels^e that fits best (least squares of the logarithms): 1 is a constant cost per pixel."""
    pixels = [2 * math.log(side) for side in sides]
    return float(np.polyfit(pixels, np.log(milliseconds), 1)[0])


@torch.no_grad()
def multiply_adds(net: nn.Module, x: Tensor, rate: int) -> int:
    """Multiply-adds of matrix products and convolutions, counted by torch as they run (two FLOPs each)."""
    with FlopCounterMode(display=False) as counter:
        net(x, torch.zeros(1, device=x.device), rate)
    return int(counter.get_total_flops()) // 2


@torch.no_grad()
def _encode(net: nn.Module, x: Tensor, rate: int) -> None:
    net(x, torch.zeros(1, device=x.device), rate)


@torch.no_grad()
def _whole(transmitter: Callable[[Tensor], Tensor], net: nn.Module, side: int, rate: int, device: str) -> None:
    photo = torch.rand(1, 3, side, side, device=device)
    net(transmitter(photo), torch.zeros(1, device=device), rate)
