"""The cache of latents, and what trains on it has in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from jscgc.config import TrainParams, complaints
from jscgc.device import resolve_device
from jscgc.files import atomic, read_json, save_tensors, sha256, write_json
from jscgc.latent.autoencoder import LatentStatistics, load_vae
from jscgc.precision import resolve_precision
from jscgc.seeding import stream
from jscgc.training.ahead import Ahead
from jscgc.training.loop import MetricLog, train
from jscgc.training.photos import photo_crops, place
from jscgc.training.start import KEEPS_PRIOR, shipped_statistics

if TYPE_CHECKING:
    from jscgc.params import Params


@torch.no_grad()
def extract_latents(params: Params, photos: Path, vae_folder: Path, out: Path) -> LatentStatistics:
    """Latents of random crops of the training photographs, normalised per channel, as float16 in `out`/latents.safetensors.

    Half precision halves the cache; its rounding is far below the VAE's own error. `out`/statistics.json holds mean and
    standard deviation.
    """
    device = resolve_device(params.device)
    vae = place(load_vae(vae_folder), device)
    crops = photo_crops(params, photos, params.latents.crop)
    chunk, parts, total = 32, [], params.latents.crops

    def draw(number: int) -> Tensor:
        start = number * chunk
        return crops.batch(min(chunk, total - start), params.seed, "latents", start)

    count = -(-total // chunk)
    drawn = draw if device.type == "cpu" else Ahead(draw, range(count))
    for number in range(count):
        part = vae.encode(place(drawn(number), device)).cpu()
        # What is not normalised later is rounded at once: a large cache fits into memory once, not twice.
        parts.append(part if params.latents.normalise else part.half())
    latents = torch.cat(parts)
    mean, std = torch.zeros(latents.shape[1]), torch.ones(latents.shape[1])
    if params.latents.normalise and params.init not in KEEPS_PRIOR:
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3)).clamp_min(1e-6)
    if params.init != "scratch":  # its prior knows latents by the statistics that it was trained with
        known = shipped_statistics()
        if params.init == "widen":
            std /= params.latents.added_scale
        elif known.channels != len(mean):
            raise ValueError(
                f"{vae_folder}: this VAE has {len(mean)} channels, the one that comes with the package {known.channels}; run "
                "`dvc repro`"
            )
        mean[: known.channels], std[: known.channels] = torch.tensor(known.mean), torch.tensor(known.std)
    normalised = (latents - mean[:, None, None]) / std[:, None, None] if params.latents.normalise else latents
    statistics = LatentStatistics(mean.tolist(), std.tolist(), vae.factor, sha256(vae_folder))
    with atomic(out) as temporary:
        temporary.mkdir()
        save_tensors({"latents": normalised.half().contiguous()}, temporary / "latents.safetensors")
        write_json(temporary / "statistics.json", vars(statistics))
    return statistics


def read_statistics(latents: Path) -> LatentStatistics:
    """What `extract_latents` found.

    Raises:
        ValueError: missing or damaged; says what to do.
    """
    path = latents / "statistics.json"
    try:
        return LatentStatistics.of(read_json(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; run `dvc repro extract_latents` first") from None
    except ValidationError as error:
        raise ValueError(f"{path}: not the statistics of latents: {complaints(error)}") from None


class LatentCrops:
    """Batches of cached latents, keyed by seed, name and the number of the draw.

    Raises:
        ValueError: the cache is missing or damaged.
    """

    def __init__(self, folder: Path, seed: int, device: torch.device) -> None:
        path = folder / "latents.safetensors"
        try:
            with safe_open(path, framework="pt") as file:
                self._latents = file.get_tensor("latents")
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: no readable latents ({error}); run `dvc repro extract_latents`") from None
        if self._latents.dim() != 4 or 0 in self._latents.shape or not self._latents.is_floating_point():
            raise ValueError(f"{path}: expected numbers [N,C,h,w], got {tuple(self._latents.shape)}")
        self._seed, self._device = seed, device

    def first(self, count: int) -> Tensor:
        """The first `count` crops, or all if there are fewer: float32 [N,C,h,w]."""
        first: Tensor = self._latents[:count].float().to(self._device)
        return first

    def split(self, count: int) -> Tensor:
        """Take the last `count` crops out, so that no later batch holds them: float32 [count,C,h,w].

        Raises:
            ValueError: there are no more than that.
        """
        if count >= len(self._latents):
            raise ValueError(f"{len(self._latents)} crops are too few to hold {count} of them out; raise latents.crops")
        held_out: Tensor = self._latents[-count:].float().to(self._device)
        self._latents = self._latents[:-count]
        return held_out

    def batch(self, size: int, name: str, draw: int) -> Tensor:
        """Normalised latents float32 [size,C,h,w]."""
        batch: Tensor = place(self._latents[self._chosen(size, name, draw)].float(), self._device)
        return batch

    def chosen(self, size: int, name: str, draw: int) -> list[str]:
        """Which crops of the cache that batch has."""
        return [f"latents.safetensors[{index}]" for index in self._chosen(size, name, draw).tolist()]

    def _chosen(self, size: int, name: str, draw: int) -> Tensor:
        return torch.randint(len(self._latents), (size,), generator=stream(self._seed, name, "batch", draw))


def train_on_latents(
    net: nn.Module,
    params: Params,
    train_params: TrainParams,
    latents: Path,
    folder: Path,
    log: MetricLog,
    name: str,
    loss: Any,
    scales: Mapping[str, float] | None = None,
    until: int | None = None,
) -> None:
    device = resolve_device(params.device)
    place(net, device)
    crops = LatentCrops(latents, params.seed, device)

    def loss_of_draw(draw: int) -> dict[str, Tensor]:
        batch = crops.batch(train_params.batch_size, name, draw)
        scalars: dict[str, Tensor] = loss(batch, stream(params.seed, name, draw))
        return scalars

    train(
        net,
        loss_of_draw,
        train_params,
        folder,
        log,
        name,
        scales,
        resolve_precision(params.precision, device),
        until,
        inputs=lambda draw: crops.chosen(train_params.batch_size, name, draw),
        strategy=params.distributed.strategy,
    )
