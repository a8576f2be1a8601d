"""`jscgc bench velocity`: how far a generative receiver's estimate of the latents is off, time by time, as it samples.

A sampler of few steps calls the velocity at few times, the first at t = 1, where there is nothing but what the symbols say. The
loss is a mean over all times and need not show that one of them is badly learnt: this does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.flow.path import interpolate
from jscgc.seeding import stream
from jscgc.systems.base import Link, SeparatedSystem
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.latent import LatentSystem

NEIGHBOURHOOD = 5
"""Side of the square of positions whose variance says how smooth a place is."""


@torch.no_grad()
def bench_velocity(
    systems: Mapping[str, LatentSystem | SeparatedSystem],
    photos: Tensor,
    links: Sequence[Link],
    times: Sequence[float],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Rows of method, channel, snr_db, cbr, t, error, smooth_error and smooth_grain.

    error: mean square of x_t - t nu(x_t, t, y) - x_0, in units of the latents' variance; x_t = (1 - t) x_0 + t eps of the true
    latents. The best there is is E[x_0|x_t,y], which at t = 1 is the estimate of least squared error from the symbols alone.
    smooth_error: the same in the quarter of the positions with the least variance around them. smooth_grain: there, the energy of
    the estimate's differences from its 3x3 means over that of x_0. An expectation has less of it than x_0 itself: above 1, the
    channel's noise goes into the picture.

    Args:
        systems: JSCGC or DiffJSCC.
        photos: float [N,3,H,W] in [0,1].
        times: t in (0,1].
        seed: of channel and eps, the same for every method and time.

    Raises:
        ValueError: a system without a velocity field of its own.
    """
    for name, system in systems.items():
        if not isinstance(system, LatentSystem) or not isinstance(system.codec, JscgcNet | DiffJsccNet):
            raise ValueError(f"{name} has no velocity to measure; choose from jscgc, diffjscc")
        net = system.codec
        x0 = torch.cat([system.space.encode(photo[None]) for photo in photos])
        smooth = _smooth(x0)
        noise = torch.randn(x0.shape, generator=stream(seed, "bench", "noise")).to(x0)
        for link in links:
            snr_db = torch.full((len(x0),), link.snr_db, device=x0.device)
            drawn = stream(seed, "bench", link.channel, link.snr_db, link.rate)
            received = equalise(get_channel(link.channel)(net.symbols(x0, snr_db, link.rate), snr_db, drawn))
            velocity = net.receiver.conditional(net.condition(received), received)
            for time in times:
                t = torch.full((len(x0),), time, device=x0.device)
                x_t = interpolate(x0, noise, t)
                estimate = x_t - time * velocity(x_t, t)
                errors = (estimate - x0).square().mean(1)
                yield {
                    "method": name,
                    "channel": link.channel,
                    "snr_db": link.snr_db,
                    "cbr": f"{link.rate}/768",
                    "t": time,
                    "error": errors.mean().item(),
                    "smooth_error": errors[smooth].mean().item(),
                    "smooth_grain": (grain(estimate)[smooth].mean() / grain(x0)[smooth].mean()).item(),
                }


def _smooth(x: Tensor) -> Tensor:
    """Of latents [B,C,h,w]: where the variance around is in its lowest quarter, bool [B,h,w]."""
    variance = (_mean(x.square(), NEIGHBOURHOOD) - _mean(x, NEIGHBOURHOOD).square()).mean(1)
    return variance <= variance.flatten().quantile(0.25)


def grain(x: Tensor) -> Tensor:
    """Of [B,C,h,w]: squared difference from the mean of 3x3 positions around (at a border fewer), averaged over C; [B,h,w]."""
    return (x - _mean(x, 3)).square().mean(1)


def _mean(x: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(x, side, stride=1, padding=side // 2, count_include_pad=False)
