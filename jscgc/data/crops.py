"""Random training crops: position, scale, flip and transposition follow from a seed and names alone."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from jscgc.data.images import Pixels, open_photo
from jscgc.data.shards import Packed
from jscgc.seeding import Name, derive

if TYPE_CHECKING:
    import torch


def random_crop(photo: Pixels, crop: int, min_scale: float, rng: np.random.Generator) -> Pixels:
    """A square crop at a random scale, place and orientation.

    The scale is log-uniform in [min_scale, 1], as far as the photograph is large enough: it is only ever reduced.
    Along a side shorter than `crop` the photograph is mirrored, which keeps its statistics; enlarging would blur
    it. Half of the crops are flipped left-right, half are turned by 90 degrees (either way); none is upside down.

    Args:
        photo: uint8 [H, W, 3].
        crop: side of the result, pixels.
        min_scale: smallest scale, in (0, 1].
        rng: five numbers are drawn from it, whatever the photograph.

    Returns:
        uint8 [crop, crop, 3].
    """
    height, width = photo.shape[:2]
    u_scale, u_top, u_left, u_flip, u_turn = rng.random(5)
    # The region is cut before it is resized: the work depends on the crop, not on the photograph.
    largest = max(crop, min(height, width, math.floor(crop / min_scale)))
    side = min(largest, round(crop * (largest / crop) ** u_scale))
    rows, columns = min(side, height), min(side, width)
    top, left = int(u_top * (height - rows + 1)), int(u_left * (width - columns + 1))
    region = photo[top : top + rows, left : left + columns]
    if rows != side or columns != side:
        missing = [(side - length) for length in (rows, columns)]
        region = np.pad(region, [*((m // 2, m - m // 2) for m in missing), (0, 0)], mode="symmetric")
    if side != crop:
        image = Image.fromarray(np.ascontiguousarray(region))
        region = np.asarray(image.resize((crop, crop), Image.Resampling.LANCZOS))
    if u_flip < 0.5:
        region = region[:, ::-1]
    if u_turn < 0.5:
        region = np.rot90(region, 1 if u_turn < 0.25 else 3)
    return region.copy(order="C")


def centre_crop(photo: Pixels, crop: int, name: str = "the photograph") -> Pixels:
    """The square of `crop` x `crop` pixels from the middle of a photograph [H, W, 3], uint8.

    Raises:
        ValueError: a smaller photograph; says which by `name`.
    """
    height, width = photo.shape[:2]
    if min(height, width) < crop:
        raise ValueError(f"{name} has {width}x{height} pixels, too few for a crop of {crop}x{crop}")
    top, left = (height - crop) // 2, (width - crop) // 2
    return photo[top : top + crop, left : left + crop].copy()


def vary_colour(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """The crop in another light: channels permuted, each with its own gain (0.6 .. 1.4) and gamma (0.7 .. 1.4).

    A handful of photographs has a handful of palettes; what is trained on those alone fails on the colours of others.

    Args:
        crop: uint8 [H, W, 3].
        rng: random numbers.

    Returns:
        uint8 [H, W, 3].
    """
    permutation = rng.permutation(3)
    gain = rng.uniform(0.6, 1.4) * rng.uniform(0.85, 1.15, 3)
    gamma = np.exp(rng.uniform(np.log(0.7), np.log(1.4)))
    # A table per channel: 256 powers instead of one per pixel.
    levels = (np.arange(256)[:, None] / 255) ** gamma * gain
    table = (255 * np.clip(levels, 0, 1) + 0.5).astype(np.uint8)
    return np.stack([table[crop[..., source], channel] for channel, source in enumerate(permutation)], axis=-1)


class CropSampler:
    """Batches of random crops from photographs, each scene with equal weight.

    A batch depends on the photographs, seed and names of its call only, never on earlier calls: a resumed run draws
    what an uninterrupted one draws. Decoded photographs stay in memory, least recently used ones leave first.
    """

    def __init__(
        self,
        files: Sequence[tuple[str, Path | Packed]],
        crop: int,
        min_scale: float,
        scenes: Mapping[str, str] | None = None,
        memory: int = 1 << 30,
        colour: float = 0.0,
    ) -> None:
        """
        Args:
            files: name of each photograph, and its path or place in a shard.
            crop: side of the crops, pixels.
            min_scale: smallest scale, in (0, 1].
            scenes: photograph's name -> its scene; without, each photograph is a scene of its own.
            memory: bytes of decoded photographs to keep.
            colour: share of the crops whose colours are varied (`vary_colour`).

        Raises:
            ValueError: no photographs, or crop or min_scale out of range.
        """
        if not files:
            raise ValueError("no photographs to take crops from")
        if crop < 1 or not 0 < min_scale <= 1:
            raise ValueError(f"crop must be at least 1 and min_scale in (0, 1], got {crop} and {min_scale}")
        grouped: dict[str, list[Path | Packed]] = {}
        for name, path in sorted(files, key=lambda named: named[0]):
            grouped.setdefault(scenes[name] if scenes is not None else name, []).append(path)
        self.crop = crop
        self.min_scale = min_scale
        self._scenes = list(grouped.values())
        self._memory = memory
        self._colour = colour
        self._decoded: OrderedDict[Path | Packed, Pixels] = OrderedDict()
        self._used = 0

    def crops(self, size: int, seed: int, *names: Name) -> Pixels:
        """`size` crops as uint8 [size, crop, crop, 3]; crop i depends on (seed, names, i).

        Raises:
            PhotoError: a photograph cannot be read.
        """
        return np.stack([self._draw(np.random.default_rng(derive(seed, *names, i))) for i in range(size)])

    def batch(self, size: int, seed: int, *names: Name) -> torch.Tensor:
        """`crops` as float32 [size, 3, crop, crop] in [0, 1]; give the step among the names.

        Raises:
            PhotoError: a photograph cannot be read.
        """
        import torch

        return torch.from_numpy(self.crops(size, seed, *names)).permute(0, 3, 1, 2).contiguous().float() / 255

    def chosen(self, size: int, seed: int, *names: Name) -> list[str]:
        """The photographs from which the crops of that batch come."""
        return [self._choose(np.random.default_rng(derive(seed, *names, i))).name for i in range(size)]

    def _choose(self, rng: np.random.Generator) -> Path | Packed:
        scene = self._scenes[rng.integers(len(self._scenes))]
        return scene[rng.integers(len(scene))]

    def _draw(self, rng: np.random.Generator) -> Pixels:
        crop = random_crop(self._photo(self._choose(rng)), self.crop, self.min_scale, rng)
        return vary_colour(crop, rng) if rng.random() < self._colour else crop

    def _photo(self, path: Path | Packed) -> Pixels:
        if path in self._decoded:
            self._decoded.move_to_end(path)
            return self._decoded[path]
        photo = path.open() if isinstance(path, Packed) else open_photo(path)
        if photo.nbytes <= self._memory:
            self._decoded[path] = photo
            self._used += photo.nbytes
        while self._used > self._memory:
            self._used -= self._decoded.popitem(last=False)[1].nbytes
        return photo
