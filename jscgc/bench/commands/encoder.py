"""`jscgc bench encoder`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jscgc.bench.benchmark import Benchmark, Measurement, Row, count, machine, side


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--params", type=Path, default=Path("params.yaml"), help="whose encoder section is measured")
    sub.add_argument(
        "--sides", nargs="+", type=side, default=[256, 512, 1024, 2048, 4096], help="pixels, multiples of 16"
    )
    sub.add_argument("--rate", type=count, default=8, help="complex symbols per 1/16 position")
    sub.add_argument("--cnn-width", type=count, default=64, help="hidden channels of DeepJSCC's CNN")
    sub.add_argument("--vae", action="store_true", help="also the whole transmitter, with an untrained nano VAE")
    sub.add_argument("--rounds", type=count, default=3, help="runs of each, taking turns")


def run(a: argparse.Namespace) -> Measurement:
    import torch

    from jscgc.bench.encoder import bench_encoder, exponent
    from jscgc.latent.nano_vae import NanoVae
    from jscgc.params import load_params

    params = load_params(a.params)
    vae = NanoVae(params.vae.channels, params.vae.width, params.vae.depth).eval() if a.vae else None
    device = machine()["device"]
    rows = bench_encoder(
        params.encoder,
        a.sides,
        channels=params.vae.channels,
        factor=8,
        rate=a.rate,
        cnn_width=a.cnn_width,
        rounds=a.rounds,
        device=device,
        transmitter=None if vae is None else torch.no_grad()(vae.to(device).encode),
    )

    def beside(measured: list[Row]) -> dict[str, Any]:
        exponents = {}
        for name in dict.fromkeys(row["encoder"] for row in measured):
            alike = [row for row in measured if row["encoder"] == name]
            if len(alike) > 1:
                exponents[name] = exponent([row["side"] for row in alike], [row["ms"] for row in alike])
        return {"time_exponent_in_pixels": exponents, "machine": machine()}

    return Measurement("encoder", rows, beside)


ENCODER = Benchmark(
    "encoder", "the encoder of params.yaml beside DeepJSCC's CNN on the same latents", add_arguments, run, order=2
)
