"""`jscgc bench ceiling`: what no receiver of these latents can exceed, and how much detail of each size arrives.

The VAE alone, encoder and decoder with no channel in between, bounds every method on its latents. Where a method reaches it, only
another VAE helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from jscgc.bench.velocity import grain
from jscgc.evaluation.judges import HEADLINE
from jscgc.flow.params import SampleParams
from jscgc.latent.pixels import PixelVae
from jscgc.metrics import info, pair_metric, set_metric
from jscgc.metrics.patches import patches
from jscgc.systems.base import Link, SeparatedSystem
from jscgc.systems.latent import LatentSystem
from jscgc.systems.transmit import transmit

PATCH = 64
"""Side of the patches, pixels, as in evaluation."""
VAE = "vae alone"


@torch.no_grad()
def bench_ceiling(
    systems: Mapping[str, LatentSystem | SeparatedSystem],
    photos: Mapping[str, Tensor],
    links: Sequence[Link],
    sample: SampleParams,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Rows of method, channel, snr_db, cbr (of the VAE alone: None), the headline's metrics, fine, coarse, smooth_fine and
    smooth_coarse.

    fine: energy of the differences of pixels from the 3x3 means around them, over the original's. coarse: the same of 4x4 means
    from the 16x16 means that hold them. Both of luma as the mean of the colours, in all 64-pixel patches, and (smooth_) in the
    quarter of the patches with the least fine energy in the original. 1 is as much as in the photographs; more is noise or
    overdone contrast, less is blur.

    Args:
        systems: methods on latents of one VAE (one folder of models has one).
        photos: by name (which the channel draw depends on), float [3,H,W] in [0,1].
        sample: how the generative ones sample.
        seed: of channel and sampler.

    Raises:
        ValueError: a method that has no VAE, or no method.
    """
    for name, system in systems.items():
        if not isinstance(system, LatentSystem) or isinstance(system.space.vae, PixelVae):
            raise ValueError(f"{name} has no VAE; choose methods on latents, such as jscgc, diffjscc, mambajscc_psnr")
        space = system.space
    if not systems:
        raise ValueError("name a method on latents, whose VAE is to be measured")
    through = {key: space.decode(space.encode(photo[None]), *photo.shape[1:])[0] for key, photo in photos.items()}
    yield {"method": VAE, "channel": None, "snr_db": None, "cbr": None, **_measured(photos, through)}
    for name, system in systems.items():
        for link in links:
            arrived = {
                key: transmit(system, photo, link, sample=sample, seed=seed, key=key).photo
                for key, photo in photos.items()
            }
            place = {"channel": link.channel, "snr_db": link.snr_db, "cbr": f"{link.rate}/768"}
            yield {"method": name, **place, **_measured(photos, arrived)}


def _measured(photos: Mapping[str, Tensor], received: Mapping[str, Tensor]) -> dict[str, float]:
    cut = [[patches([images[key]], PATCH) for key in photos] for images in (photos, received)]
    device = str(cut[0][0].device)
    measured = {}
    for name in HEADLINE:
        if info(name).scope == "pair":
            pairs = pair_metric(name, device)
            values = [float(pairs(photos[key][None], received[key][None])[0]) for key in photos]
            measured[name] = sum(values) / len(values)
        else:
            sets = set_metric(name, device)
            measured[name] = sets.distance(*(np.concatenate([sets.features(part) for part in parts]) for parts in cut))
    first, second = map(torch.cat, cut)
    smooth = _fine(first) <= _fine(first).quantile(0.25)
    for name, energy in (("fine", _fine), ("coarse", _coarse)):
        measured[name] = (energy(second).sum() / energy(first).sum()).item()
        measured[f"smooth_{name}"] = (energy(second)[smooth].sum() / energy(first)[smooth].sum()).item()
    return measured


def _fine(images: Tensor) -> Tensor:
    """Of [N,3,s,s]: [N]."""
    return grain(images.mean(1, keepdim=True)).mean((1, 2))


def _coarse(images: Tensor) -> Tensor:
    """Of [N,3,s,s], s a multiple of 16: [N]."""
    luma = images.mean(1, keepdim=True)
    return (F.avg_pool2d(luma, 4) - F.interpolate(F.avg_pool2d(luma, 16), scale_factor=4)).square().mean((1, 2, 3))
