"""`jscgc bench rates`: one model for every SNR and rate, beside a model trained for each condition alone.

All are reconstruction codecs of the same architecture on the same latents. What differs is what they were trained for, and, if
asked for, how long: with as many times the steps as there are rates, the universal model sees as many images at each rate
as the model that has only that one. The universal model's errors are weighted by what each link permits, because decibels are
compared; for one condition that changes nothing. Beside them, DeepJSCC's CNN trained for the condition alone, as published.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jscgc.channel.channels import get_channel
from jscgc.channel.params import LinkParams
from jscgc.channel.receiver import equalise
from jscgc.config import TrainParams, digest
from jscgc.device import resolve_device
from jscgc.encoder.cnn import CnnDecoder, CnnEncoder
from jscgc.encoder.encoder import latent_to_grid
from jscgc.files import sha256
from jscgc.latent.cache import cached
from jscgc.methods.mambajscc_psnr import KLT_CROPS
from jscgc.params import Params
from jscgc.seeding import derive, stream
from jscgc.systems.mambajscc import Codec
from jscgc.training.latents import LatentCrops, read_statistics
from jscgc.training.loop import train

HELD_OUT = 400
"""Crops at the end of the cache."""


@dataclass(frozen=True)
class Condition:
    """channel: spec. snr_db: average. rate: complex symbols per 1/16 position."""

    channel: str
    snr_db: float
    rate: int

    @property
    def link(self) -> LinkParams:
        """Training for this and nothing else."""
        return LinkParams(channels=[self.channel], snr_db=(self.snr_db, self.snr_db), rates=[self.rate])


def bench_rates(
    params: Params,
    latents: Path,
    conditions: Sequence[Condition],
    cnn_widths: Sequence[int],
    universal_steps: int,
    checkpoints: Path | None = None,
    cnn_steps: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Train the universal codec (params.link), and one codec and one CNN per condition (params.codec); compare them.

    Args:
        params: the universal model's link must cover every condition; params.device is where they are trained.
        latents: what `extract_latents` wrote; its last `HELD_OUT` crops train nothing and are what errors are measured on.
        conditions: where to compare.
        cnn_widths: channels of the hidden layers of DeepJSCC's CNNs, one model each.
        universal_steps: training steps of the universal model; those of one condition take params.codec's.
        checkpoints: a folder that keeps the progress of the universal model's training, so that it can go on; None: nothing
            is kept.
        cnn_steps: training steps of the CNNs; None: params.codec's.

    Returns:
        Rows of channel, snr_db, cbr, model (universal | single | deepjscc_WIDTH), latent_mse, loss_db: what the model loses to
        the single-condition one, 10 log10 of the ratio of their latent mean squared errors (the same decibels as in PSNR).
    """
    statistics = read_statistics(latents)
    crops = LatentCrops(latents, params.seed, resolve_device(params.device))
    held_out = crops.split(HELD_OUT)
    max_rate = max(params.link.rates)
    factor = statistics.factor

    def mamba(rate: int) -> Codec:
        return Codec.mamba(statistics.channels, params.encoder, rate, factor)

    longer = params.codec.model_copy(update={"steps": universal_steps})
    if checkpoints:
        # Another configuration, or other latents, must not go on from here.
        content = [sha256(latents / file) for file in cached(latents)]
        identity = digest(longer, params.encoder, params.link, params.seed, content)
        checkpoints = checkpoints / f"universal-{identity}"
    universal = _trained(lambda: mamba(max_rate), crops, params.link, longer, params.seed, "universal", checkpoints)
    cnn_params = params.codec.model_copy(update={"steps": cnn_steps or params.codec.steps})
    for condition in conditions:
        single = _trained(
            lambda c=condition: mamba(c.rate), crops, condition.link, params.codec, params.seed, f"{condition}"
        )
        codecs = {"universal": universal, "single": single}
        for width in cnn_widths:
            codecs[f"deepjscc_{width}"] = _trained(
                lambda c=condition, w=width: cnn_codec(statistics.channels, w, c.rate, factor),
                crops,
                condition.link,
                cnn_params,
                params.seed,
                f"deepjscc {width} {condition}",
            )
        steps = {"universal": universal_steps, "single": params.codec.steps}
        errors = {name: latent_mse(codec, held_out, condition, params.seed) for name, codec in codecs.items()}
        for name, error in errors.items():
            yield {
                "channel": condition.channel,
                "snr_db": condition.snr_db,
                "cbr": f"{condition.rate}/768",
                "model": name,
                "steps": steps.get(name, cnn_params.steps),
                "latent_mse": error,
                "loss_db": 10 * log10(error / errors["single"]),
            }


def cnn_codec(channels: int, width: int, rate: int, factor: int) -> Codec:
    """DeepJSCC on latents of a VAE with this down-sampling.

    Raises:
        ValueError: a VAE coarser than the symbol grid.
    """
    down, spread = latent_to_grid(factor)
    if spread > 1:
        raise ValueError(f"DeepJSCC's CNN has no up-sampling: a VAE with {factor}x down-sampling is too coarse for it")
    return Codec(CnnEncoder(channels, width, rate, down), CnnDecoder(channels, width, rate, down))


def _trained(
    make: Any,
    crops: LatentCrops,
    link: LinkParams,
    params: TrainParams,
    seed: int,
    name: str,
    checkpoints: Path | None = None,
) -> Codec:
    torch.manual_seed(derive(seed, "bench", "weights"))
    codec: Codec = make()
    first = crops.first(KLT_CROPS)
    codec.start(first.cpu())
    codec.to(first.device)
    batch = params.batch_size

    def loss(step: int) -> dict[str, Tensor]:
        return codec.loss_in_decibels(crops.batch(batch, "bench", step), link, stream(seed, "bench", step))

    with nullcontext(checkpoints) if checkpoints else tempfile.TemporaryDirectory() as folder:
        train(codec, loss, params, Path(folder), lambda step, metrics: None, name)
    return codec


@torch.no_grad()
def latent_mse(codec: Codec, latents: Tensor, condition: Condition, seed: int) -> float:
    """Mean squared error of normalised latents [N,C,h,w] over a condition; the same noise for every codec."""
    channel = get_channel(condition.channel)
    errors = []
    for i, x in enumerate(torch.split(latents, 50)):
        snr_db = torch.full((len(x),), condition.snr_db, device=x.device)
        symbols = codec.symbols(x, snr_db, condition.rate)
        received = equalise(channel(symbols, snr_db, stream(seed, "bench", "channel", i)))
        errors.append(torch.mean((codec.reconstruct(received) - x) ** 2, dim=(1, 2, 3)))
    return torch.cat(errors).mean().item()
