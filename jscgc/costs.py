"""What a configuration costs, before anything is trained or downloaded: parameters, memory and operations of every part.

The networks are built on the meta device: shapes without numbers. Of a pretrained part only its configuration is read, or where
that can't be reached, the sizes with which its class was released.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jscgc.channel.accounting import GRID
from jscgc.channel.receiver import Received
from jscgc.latent.autoencoder import Autoencoder, DiffusersVae, LatentStatistics, architecture
from jscgc.latent.nano_vae import NanoVae
from jscgc.latent.pixels import PixelVae
from jscgc.method import METHODS, network
from jscgc.params import Params
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.mambajscc import Codec
from jscgc.systems.store import Architecture, build

PUBLISHED_PARAMETERS = 7725e6
"""Of the whole system, in Table I of the paper."""
TRAINING_BYTES = 12
"""Beside a trained parameter: its gradient and Adam's two moments, float32; beside those, its average if there is one."""


@dataclass(frozen=True)
class Sketch:
    """The networks of a configuration on the meta device: the VAE and JSCGC's own."""

    vae: NanoVae | DiffusersVae
    net: JscgcNet


def sketch(params: Params) -> Sketch:
    """Draw the networks of these parameters.

    Raises:
        ValueError: sizes that do not fit together.
    """
    with torch.device("meta"):
        vae = architecture(params.vae)
        net = build(Architecture.of("jscgc", params), statistics_of(vae))
    assert isinstance(net, JscgcNet)
    return Sketch(vae, net)


def statistics_of(space: Autoencoder) -> LatentStatistics:
    """Of latents that nobody has measured."""
    return LatentStatistics([0.0] * space.channels, [1.0] * space.channels, space.factor, "")


def costs(params: Params, height: int = 256, width: int = 256, drawn: Sketch | None = None) -> dict[str, Any]:
    """Rows of part, parameters, trained, weights_mb, training_mb (gradients, optimiser, averages), gflops (forward pass, one
    photograph of height x width pixels; generator and adapter: of one evaluation); their sum; and beside them the
    reconstruction codecs.

    Raises:
        ValueError: sizes that do not fit together.
    """
    drawn = drawn or sketch(params)
    vae, net = drawn.vae, drawn.net
    with torch.device("meta"):
        rate, multiple = max(params.link.rates), max(16, vae.factor)
        height, width = (-(-side // multiple) * multiple for side in (height, width))
        latents = torch.zeros(1, vae.channels, height // vae.factor, width // vae.factor)
        one, photo = torch.zeros(1), torch.zeros(1, 3, height, width)
        symbols = torch.zeros(1, rate, height // 16, width // 16, dtype=torch.complex64)
        received = Received(symbols, symbols.real, one)
        condition = torch.zeros(1, net.condition_channels, *latents.shape[-2:])
    receiver = net.receiver
    generator, adapter = receiver.prior.backbone, receiver.adapter
    averaged = 4 if params.jscgc.train.ema_decay else 0
    parts: list[tuple[str, list[nn.Module], bool, Callable[[], Any]]] = [
        ("VAE encoder", [vae.part("encoder")], False, lambda: vae.encode(photo)),
        ("encoder", [net.encoder], params.jscgc.encoder_learns, lambda: net.encoder(latents, one, rate)),
        (
            "Refiner",
            [part for part in (net.refiner, net.own) if part is not None],
            True,
            lambda: net.condition(received),
        ),
        ("adapter", [adapter], True, lambda: adapter(condition, received, latents, one)),
        ("generator", [generator], params.jscgc.generator_learns, lambda: generator(latents, one)),
        ("VAE decoder", [vae.part("decoder")], False, lambda: vae.decode(latents)),
    ]
    rows = [_row(name, modules, trained, run, averaged) for name, modules, trained, run in parts]
    total = {k: sum(row[k] for row in rows) for k in ("parameters", "trained", "weights_mb", "training_mb", "gflops")}
    return {
        "height": height,
        "width": width,
        "rate": rate,
        "parts": rows,
        "codecs": [_codec(name, params, vae, height, width) for name in _reconstructing()],
        "total": total,
        "published_parameters": PUBLISHED_PARAMETERS,
    }


def _reconstructing() -> list[str]:
    """Codecs that are trained for least squared error: their costs stand beside the system's."""
    codecs = (method for method in METHODS if method.group in ("latent_codec", "pixel_codec") and not method.losses)
    return [method.name for method in codecs if method.network and method.network.trained_by]


def _codec(name: str, params: Params, vae: Autoencoder, height: int, width: int) -> dict[str, Any]:
    """Method, parameters, and the operations of transmitter and receiver at the highest rate, the VAE's share included."""
    with torch.device("meta"):
        space: Autoencoder = PixelVae() if network(name).pixels else vae
        net = build(Architecture.of(name, params), statistics_of(space))
        assert isinstance(net, Codec)
        rate, photo, snr_db = net.encoder.max_rate, torch.zeros(1, 3, height, width), torch.zeros(1)
        symbols = torch.zeros(1, rate, height // GRID, width // GRID, dtype=torch.complex64)
        received = Received(symbols, symbols.real, snr_db)
    weights = sum(p.numel() for p in net.parameters())
    return {
        "method": name,
        "parameters": weights + sum(p.numel() for p in space.parameters()),
        "transmitter_gflops": _operations(lambda: net.symbols(space.encode(photo), snr_db, rate)) / 1e9,
        "receiver_gflops": _operations(lambda: space.decode(net.reconstruct(received))) / 1e9,
    }


def _row(name: str, modules: list[nn.Module], trained: bool, run: Callable[[], Any], averaged: int) -> dict[str, Any]:
    weights = [p for module in modules for p in module.parameters()]
    updates = [p for module in modules for key, p in module.named_parameters() if "lora_" in key]
    learning = sum(p.numel() for p in (weights if trained else updates))
    return {
        "part": name,
        "parameters": sum(p.numel() for p in weights),
        "trained": learning,
        "weights_mb": sum(p.numel() * p.element_size() for p in weights) / 1e6,
        "training_mb": learning * (TRAINING_BYTES + averaged) / 1e6,
        "gflops": _operations(run) / 1e9,
    }


@torch.no_grad()
def _operations(run: Callable[[], Tensor]) -> int:
    """Floating-point operations of matrix products and convolutions, two a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
