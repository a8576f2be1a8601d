"""Cached latents on disk: float16 [N,C,h,w] in one file, or, where they are many, in shards of it.

    latents.safetensors                     up to SHARD_BYTES
    shards.json                             above: {"shards": [{file, crops}]}
    latents-00000.safetensors, ...

They are mapped, not loaded: a batch reads the pages of its own crops, and the system gives memory back as it needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from jscgc.files import read_json

FILE, INDEX, KEY = "latents.safetensors", "shards.json", "latents"
SHARD_BYTES = 1 << 28
"""Of a shard, at most: 8192 crops of 256 pixels for Z-Image."""
MULTIPLE = 32
"""Crops that are encoded at once: a shard has a multiple of it."""


def per_shard(crop_bytes: int) -> int:
    """How many crops of so many bytes a shard holds."""
    return max(MULTIPLE, SHARD_BYTES // crop_bytes // MULTIPLE * MULTIPLE)


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"latents-{number:05d}.safetensors"


def mapped(path: Path) -> Tensor:
    """The latents [N,C,h,w] in a file.

    Raises:
        ValueError: missing, damaged, or no latents.
    """
    try:
        with safe_open(path, framework="pt") as file:
            latents: Tensor = file.get_tensor(KEY)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: no readable latents ({error}); run `dvc repro extract_latents`") from None
    if latents.dim() != 4 or 0 in latents.shape or not latents.is_floating_point():
        raise ValueError(f"{path}: expected numbers [N,C,h,w], got {tuple(latents.shape)}")
    return latents


def cached(folder: Path) -> dict[str, Tensor]:
    """File -> its latents, of a whole cache in its order.

    Raises:
        ValueError: missing, damaged, or not what the index says; names the file.
    """
    index = folder / INDEX
    if not index.exists():
        return {FILE: mapped(folder / FILE)}
    content = read_json(index)
    shards = content.get("shards") if isinstance(content, dict) else None
    if not isinstance(shards, list) or not shards or not all(map(_is_shard, shards)):
        raise ValueError(f"{index}: not the index of latents; run `dvc repro extract_latents`")
    found = {entry["file"]: mapped(folder / entry["file"]) for entry in shards}
    shape = next(iter(found.values())).shape[1:]
    for entry in shards:
        is_there = found[entry["file"]].shape
        if is_there != (entry["crops"], *shape):
            raise ValueError(
                f"{folder / entry['file']}: latents {tuple(is_there)} instead of {(entry['crops'], *shape)}; run "
                "`dvc repro extract_latents`"
            )
    return found


def _is_shard(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    file = entry.get("file")
    return isinstance(file, str) and file == Path(file).name and type(entry.get("crops")) is int


def rows(shards: Sequence[Tensor], index: Tensor) -> Tensor:
    """The crops of these numbers, counted over all shards: [len(index),C,h,w]."""
    if len(shards) == 1:
        return shards[0][index]
    ends = torch.tensor([len(shard) for shard in shards]).cumsum(0)
    holders = torch.bucketize(index, ends, right=True)
    taken = torch.empty(len(index), *shards[0].shape[1:], dtype=shards[0].dtype)
    for holder in set(holders.tolist()):
        there = holders == holder
        taken[there] = shards[holder][index[there] - (ends[holder] - len(shards[holder]))]
    return taken


def moments(shards: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over all shards, read once, piece by piece, in float64: float32 [C] each."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for piece in (piece for shard in shards for piece in torch.split(shard, 16 * MULTIPLE)):
        numbers = piece.double().movedim(1, 0).flatten(1)
        here, around = numbers.shape[1], numbers.mean(1)
        apart = around - mean
        squares = squares + ((numbers - around[:, None]) ** 2).sum(1) + apart**2 * (count * here / (count + here))
        mean = mean + apart * (here / (count + here))
        count += here
    return mean.float(), (squares / (count - 1)).sqrt().float()
