"""The cache of latents, and what trains on it has in common."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from jscgc.config import TrainParams, complaints
from jscgc.device import resolve_device
from jscgc.files import atomic, read_json, save_tensors, sha256, write_json
from jscgc.latent import cache
from jscgc.latent.autoencoder import LatentStatistics, load_vae
from jscgc.precision import resolve_precision
from jscgc.seeding import stream
from jscgc.training.ahead import Ahead
from jscgc.training.loop import MetricLog, train
from jscgc.training.photos import photo_crops, place
from jscgc.training.start import KEEPS_PRIOR, shipped_statistics

if TYPE_CHECKING:
    from jscgc.params import Params

log = logging.getLogger(__name__)


@torch.no_grad()
def extract_latents(
    params: Params, photos: Path, vae_folder: Path, out: Path, work: Path | None = None
) -> LatentStatistics:
    """Latents of random crops of the training photographs, normalised per channel, as float16 in `out`: see `latent.cache`.

    Half precision halves the cache; its rounding is far below the VAE's own error. `out`/statistics.json holds mean and
    standard deviation. Never more than a shard is in memory.

    Args:
        work: a folder for what is finished of many shards, where a call that was interrupted goes on; None: a temporary one.
    """
    vae, crops = _Encoder(params, photos, vae_folder), params.latents.crops
    each = cache.per_shard(vae.crop_bytes)
    ranges = [range(start, min(crops, start + each)) for start in range(0, crops, each)]
    with ExitStack() as held, atomic(out) as temporary:
        temporary.mkdir()
        if len(ranges) == 1:
            shards = [vae(ranges[0])]
        else:
            folder = work or Path(held.enter_context(TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)))
            shards = [_finished(vae, part, folder / cache.shard_name(n)) for n, part in enumerate(ranges)]
        mean, std = _statistics(params, shards, vae_folder)
        for number, shard in enumerate(shards):
            normalised = (shard - mean[:, None, None]) / std[:, None, None] if params.latents.normalise else shard
            name = cache.FILE if len(shards) == 1 else cache.shard_name(number)
            save_tensors({cache.KEY: normalised.half().contiguous()}, temporary / name)
        if len(shards) > 1:
            index = [{"file": cache.shard_name(n), "crops": len(shard)} for n, shard in enumerate(shards)]
            write_json(temporary / cache.INDEX, {"shards": index})
        statistics = LatentStatistics(mean.tolist(), std.tolist(), vae.factor, sha256(vae_folder))
        write_json(temporary / "statistics.json", vars(statistics))
    return statistics


class _Encoder:
    """Numbers of crops -> their latents [N,C,h,w] on the CPU, as the VAE has them.

    What is normalised later is float32; what is not is rounded at once: it fits into memory once, not twice.
    """

    def __init__(self, params: Params, photos: Path, vae_folder: Path) -> None:
        self._device = resolve_device(params.device)
        self._vae = place(load_vae(vae_folder), self._device)
        self._crops = photo_crops(params, photos, params.latents.crop)
        self._params = params
        starts = range(0, params.latents.crops, cache.MULTIPLE)
        self._drawn = self._draw if self._device.type == "cpu" else Ahead(self._draw, starts)
        self.factor = self._vae.factor
        self.crop_bytes = 2 * self._vae.channels * (params.latents.crop // self.factor) ** 2
        """Of a crop's latents in float16."""
        self.total = params.latents.crops

    def _draw(self, start: int) -> Tensor:
        size = min(cache.MULTIPLE, self._params.latents.crops - start)
        return self._crops.batch(size, self._params.seed, "latents", start)

    def __call__(self, numbers: range) -> Tensor:
        parts = []
        for start in range(numbers.start, numbers.stop, cache.MULTIPLE):
            part = self._vae.encode(place(self._drawn(start), self._device)).cpu()
            parts.append(part if self._params.latents.normalise else part.half())
        return torch.cat(parts)


def _finished(vae: _Encoder, numbers: range, path: Path) -> Tensor:
    """The latents of a shard, memory-mapped from `path`, where they are made if they are not."""
    if path.exists():
        try:
            with safe_open(path, framework="pt") as file:
                if _checksum(file.get_tensor(cache.KEY)) == (file.metadata() or {}).get("sha256"):
                    return cache.mapped(path)
        except (SafetensorError, OSError):
            pass
        log.warning("%s: the shard is damaged; it is made again", path)
    latents = vae(numbers).contiguous()
    with atomic(path) as temporary:
        save_tensors({cache.KEY: latents}, temporary, {"sha256": _checksum(latents)})
    log.info("latents %d to %d of %d are done", numbers.start + 1, numbers.stop, vae.total)
    return cache.mapped(path)


def _checksum(latents: Tensor) -> str:
    """Safetensors itself notices no flipped bit."""
    return hashlib.sha256(latents.view(-1).view(torch.uint8).numpy().data).hexdigest()


def _statistics(params: Params, shards: list[Tensor], vae_folder: Path) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel: those by which the latents are normalised, or that their prior knows."""
    channels = shards[0].shape[1]
    mean, std = torch.zeros(channels), torch.ones(channels)
    if params.latents.normalise and params.init not in KEEPS_PRIOR:
        one = shards[0]
        found = (one.mean((0, 2, 3)), one.std((0, 2, 3))) if len(shards) == 1 else cache.moments(shards)
        mean, std = found[0], found[1].clamp_min(1e-6)
    if params.init != "scratch":  # its prior knows latents by the statistics that it was trained with
        known = shipped_statistics()
        if params.init == "widen":
            std /= params.latents.added_scale
        elif known.channels != channels:
            raise ValueError(
                f"{vae_folder}: this VAE has {channels} channels, the one that comes with the package {known.channels}; run "
                "`dvc repro`"
            )
        mean[: known.channels], std[: known.channels] = torch.tensor(known.mean), torch.tensor(known.std)
    return mean, std


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
        self._shards = cache.cached(folder)
        self._count = sum(map(len, self._shards.values()))
        self._seed, self._device = seed, device

    def first(self, count: int) -> Tensor:
        """The first `count` crops, or all if there are fewer: float32 [N,C,h,w]."""
        return self._rows(torch.arange(min(count, self._count))).to(self._device)

    def split(self, count: int) -> Tensor:
        """Take the last `count` crops out, so that no later batch holds them: float32 [count,C,h,w].

        Raises:
            ValueError: there are no more than that.
        """
        if count >= self._count:
            raise ValueError(f"{self._count} crops are too few to hold {count} of them out; raise latents.crops")
        self._count -= count
        return self._rows(torch.arange(self._count, self._count + count)).to(self._device)

    def batch(self, size: int, name: str, draw: int) -> Tensor:
        """Normalised latents float32 [size,C,h,w]."""
        batch: Tensor = place(self._rows(self._chosen(size, name, draw)), self._device)
        return batch

    def chosen(self, size: int, name: str, draw: int) -> list[str]:
        """Which crops of the cache that batch has."""
        return [self._place(number) for number in self._chosen(size, name, draw).tolist()]

    def _rows(self, numbers: Tensor) -> Tensor:
        return cache.rows([*self._shards.values()], numbers).float()

    def _place(self, number: int) -> str:
        for file, shard in self._shards.items():
            if number < len(shard):
                return f"{file}[{number}]"
            number -= len(shard)
        raise IndexError(number)

    def _chosen(self, size: int, name: str, draw: int) -> Tensor:
        return torch.randint(self._count, (size,), generator=stream(self._seed, name, "batch", draw))


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
