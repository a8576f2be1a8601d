"""`jscgc bench transmit`: where the time of one transmission goes, as a user waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from jscgc.bench.measure import seconds
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.flow.params import SampleParams
from jscgc.systems.base import Link, Sampling
from jscgc.systems.latent import LatentSystem

Result = TypeVar("Result")
PARTS = ("vae_encode", "encode", "channel", "sample", "vae_decode")


@torch.no_grad()
def bench_transmission(
    systems: Mapping[str, LatentSystem],
    sizes: Sequence[tuple[int, int]],
    link: Link,
    sample: SampleParams,
    rounds: int,
    device: str,
) -> Iterator[dict[str, Any]]:
    """Rows of method, width, height (pixels), part, nfe, median_ms and p95_ms over the rounds, after one to warm up.

    Parts: `vae_encode` photo -> latents, `encode` latents -> symbols, `channel` with the equaliser, `sample` received symbols ->
    latents, `vae_decode` latents -> photo, `all`, and `sample_per_nfe`, which is `sample` over the network evaluations (none for
    a receiver that does not sample). Methods take turns round by round.

    Args:
        sizes: width and height of the photos (noise: no part's time depends on what is in them).
    """
    channel = get_channel(link.channel)
    for width, height in sizes:
        photo = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
        times: dict[str, list[dict[str, float]]] = {name: [] for name in systems}
        nfe: dict[str, int] = {}
        for _ in range(rounds + 1):
            for name, system in systems.items():
                spent, nfe[name] = _once(system, photo, channel, link, sample)
                times[name].append(spent)
        for name in systems:
            rows = times[name][1:]
            parts = {part: [row[part] for row in rows] for part in PARTS} | {"all": [sum(r.values()) for r in rows]}
            if nfe[name]:
                parts["sample_per_nfe"] = [ms / nfe[name] for ms in parts["sample"]]
            for part, values in parts.items():
                yield {
                    "method": name,
                    "width": width,
                    "height": height,
                    "part": part,
                    "nfe": nfe[name],
                    "median_ms": float(np.median(values)),
                    "p95_ms": float(np.quantile(values, 0.95)),
                }


def _once(
    system: LatentSystem, photo: torch.Tensor, channel: Any, link: Link, sample: SampleParams
) -> tuple[dict[str, float], int]:
    """Milliseconds of each part, and the network evaluations."""
    spent: dict[str, float] = {}

    def timed(part: str, work: Callable[[], Result]) -> Result:
        kept: list[Result] = []
        spent[part] = 1000 * seconds(lambda: kept.append(work()))
        return kept[0]

    height, width = photo.shape[-2:]
    snr_db = torch.tensor([link.snr_db], device=photo.device)
    rng = torch.Generator().manual_seed(0)
    latents = timed("vae_encode", lambda: system.space.encode(photo))
    symbols = timed("encode", lambda: system.codec.symbols(latents, snr_db, link.rate))
    received = timed("channel", lambda: equalise(channel(symbols, snr_db, rng)))
    samples = timed("sample", lambda: system.codec.restore(received, Sampling(sample, rng)))
    timed("vae_decode", lambda: system.space.decode(samples.x0, height, width))
    return spent, samples.nfe
