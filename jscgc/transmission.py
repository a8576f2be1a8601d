"""One photo through the channel by several methods: what `jscgc transmit` saves and the page of `jscgc demo` shows.

Importing this loads torch; what draws is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jscgc.channel.accounting import SIDE_INFORMATION_BITS, parse_rate
from jscgc.data.images import Pixels, to_photo
from jscgc.evaluation.judges import LOSS_NETWORKS
from jscgc.flow.params import SampleParams
from jscgc.metrics import PairMetric, info, pair_metric, pair_names
from jscgc.metrics.scoring import score
from jscgc.systems.base import Link, Reception, SeparatedSystem, System
from jscgc.systems.latent import LatentSystem
from jscgc.systems.transmit import transmit


@dataclass(frozen=True)
class Request:
    """How a photo is sent: channel (see `channel.spec`), average SNR in dB, CBR such as `8/768`, and how it is sampled."""

    channel: str
    snr_db: float
    cbr: str
    seed: int
    samples: int
    sample: SampleParams


@dataclass(frozen=True)
class Arrival:
    """What one method made of it. row: price, times and metrics, as JSON has them."""

    method: str
    reception: Reception
    row: dict[str, Any]


def send(
    system: System | SeparatedSystem,
    photo: Tensor,
    key: str,
    request: Request,
    metrics: Sequence[PairMetric],
    device: torch.device | str = "cpu",
) -> Arrival:
    """Transmit and score.

    Args:
        photo: float [3,H,W] in [0,1], on the CPU.
        key: names the photo in the channel's draw: its file name, without folders.

    Raises:
        ValueError: a CBR that the system does not send, an unknown channel; CannotOperate, as `systems.base.transmit`.
    """
    link = Link(request.channel, request.snr_db, parse_rate(request.cbr, system.rates))
    reception = transmit(
        system, photo.to(device), link, sample=request.sample, seed=request.seed, key=key, samples=request.samples
    )
    several: dict[str, Any] = {}
    if len(reception.samples) > 1:
        several = {
            "samples": len(reception.samples),
            "mean_metrics": _scores(metrics, photo, reception.mean),
            "spread_mean": reception.spread.mean().item(),
            "spread_over_error": reception.spread_over_error(photo.to(device)),
        }
        if system.own_steps:
            several["note"] = (
                f"takes {system.own_steps} steps of its own, not those chosen for the spread of several samples"
            )
    row = {
        "method": system.name,
        "k": reception.bandwidth.k,
        "data_symbols": reception.bandwidth.data,
        "overhead": reception.bandwidth.overhead,
        "side_information_bits": SIDE_INFORMATION_BITS,
        "n": reception.bandwidth.n,
        "cbr_exact": reception.bandwidth.cbr,
        "steps": reception.steps,
        "nfe": reception.nfe,
        "encode_ms": round(reception.encode_ms, 1),
        "decode_ms": round(reception.decode_ms, 1),
        "metrics": _scores(metrics, photo, reception.photo),
        **({"precision": system.precision} if isinstance(system, LatentSystem) else {}),
        **({"failed": reception.failed, "format": reception.details} if reception.details else {}),
        **several,
    }
    return Arrival(system.name, reception, row)


def _scores(metrics: Sequence[PairMetric], photo: Tensor, received: Tensor) -> dict[str, float]:
    """Without those that have nothing to say of this photo, such as errors in writing where there is none: JSON has no NaN."""
    return {name: value for name, value in score(metrics, photo, received.cpu()).items() if not math.isnan(value)}


def scorers() -> list[PairMetric]:
    """What one photo is scored by: all metrics that can run here, but for those on networks that losses use, which judge nothing
    (and VGG-16 takes seconds a picture)."""
    return [pair_metric(name) for name in pair_names() if info(name).network not in LOSS_NETWORKS]


def conditions(name: str, photo: Tensor, request: Request) -> dict[str, Any]:
    """What all methods had in common, as JSON has it."""
    return {
        "photo": name,
        "height": photo.shape[1],
        "width": photo.shape[2],
        "channel": request.channel,
        "snr_db": request.snr_db,
        "cbr": request.cbr,
        "seed": request.seed,
        **request.sample.model_dump(mode="json", exclude={"steps", "calibrated"}),
    }


def pictures(arrival: Arrival) -> dict[str, Pixels]:
    """By name: METHOD, the first sample; of several also METHOD_sample_2, ..., METHOD_mean, METHOD_uncertainty."""
    from jscgc.report.side_by_side import SPREAD_SHOWN, heat_map

    reception, name = arrival.reception, arrival.method
    shown = {name: to_photo(reception.photo.cpu())}
    if len(reception.samples) > 1:
        shown |= {f"{name}_sample_{i + 1}": to_photo(s.cpu()) for i, s in enumerate(reception.samples) if i}
        shown[f"{name}_mean"] = to_photo(reception.mean.cpu())
        shown[f"{name}_uncertainty"] = heat_map(reception.spread.cpu().numpy(), SPREAD_SHOWN)
    return shown


def comparison(
    photo: Pixels, received: Mapping[str, Pixels], rows: Sequence[Mapping[str, Any]], request: Request
) -> Pixels:
    """The labelled side by side of the original and what `pictures` found of every row."""
    from jscgc.report.side_by_side import SPREAD_SHOWN, side_by_side

    labels = {"original": photo}
    for row in rows:
        name = row["method"]
        labels[f"{name}  {row['metrics']['psnr']:.1f} dB"] = received[name]
        if "samples" in row:
            mean = f"{name}: mean of {row['samples']}  {row['mean_metrics']['psnr']:.1f} dB"
            labels[mean] = received[f"{name}_mean"]
            labels[f"{name}: made up, 0 (dark) .. {SPREAD_SHOWN:g}"] = received[f"{name}_uncertainty"]
    return side_by_side(labels, f"{request.channel}, SNR {request.snr_db:g} dB, CBR {request.cbr}")
