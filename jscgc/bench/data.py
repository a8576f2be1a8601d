"""`jscgc bench data`: what preparing, keeping and reading a number of photographs costs, part by part.

The photographs are read again and again, so their files come out of memory: a disk or a network may be slower. Processes are
started before anything is timed. What is projected is a part's own rate and size times a number, and was not run.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jscgc.data.crops import CropSampler
from jscgc.data.images import PhotoError, Pixels, open_photo, read_photo, reduce_shorter, to_lossless, to_png
from jscgc.data.overlap import Fingerprint, compare
from jscgc.data.packing import checksums, pack, reduced
from jscgc.data.photo import Photo
from jscgc.data.readers import AT_ONCE, WORTH, Readers
from jscgc.data.shards import packed
from jscgc.files import read_json
from jscgc.latent.autoencoder import load_vae
from jscgc.latent.cache import MULTIPLE

QUALITY = 95
TEST = 24
"""Test photographs that training ones are compared with: Kodak's."""
_COMPARED = 8192

Row = dict[str, Any]


def bench_data(
    photos: Sequence[Path], side: int, crop: int, readers: Sequence[int], vae: Path | None, device: str, project: int
) -> Iterator[Row]:
    """Rows of part, setting, count (photographs or crops), per_second, cpu_ms_each (what of that is this process's own work,
    which another load on the machine changes less), kb_each, psnr_db (of formats), and, if asked for, projected_hours and
    projected_gb for `project` photographs.

    Args:
        photos: files; those that can't be read are left out.
        side: shorter side to which they are reduced, pixels.
        crop: side of the crops, pixels.
        readers: numbers of processes to try.
        vae: folder of a VAE, None: no latents.
        device: of the VAE.
        project: photographs, and crops, to project to; 0: not.

    Raises:
        ValueError: too few photographs.
    """
    described = [Photo(f"{n:06d}", path, "", "train", str(path), "") for n, path in enumerate(photos)]
    if len(described) < WORTH:
        raise ValueError(f"{len(described)} photographs are too few to measure on; give {WORTH} or more")
    row = partial(_row, project)
    with tempfile.TemporaryDirectory(prefix="jscgc-bench-") as name:
        for number in readers:
            with Readers(number) as pool:
                start = max(WORTH, AT_ONCE * number)
                list(pool.map(partial(reduced, side=side), [described[n % WORTH] for n in range(start)], "start"))
                spent, found = _timed(partial(checksums, described, pool, None), number == 1)
                size = sum(path.stat().st_size for path in photos) / len(photos)
                yield row("checksums", _readers(number), len(photos), spent, size)
                whole = [replace(photo, sha256=total) for photo, (total, _) in zip(described, found, strict=True)]
                work = Path(name) / str(number)
                spent, shard = _timed(partial(pack, whole, side, pool, work, "reduce"), number == 1)
                size = shard.archive.stat().st_size / len(shard.names)
                yield row("reduce, hash, pack", _readers(number), len(photos), spent, size)
        packs = [*packed(shard.archive, read_json(shard.archive.with_suffix(".json"))["photos"])]
        yield _compared(shard.fingerprints, row)
        yield from _formats(photos, side, row)
        sampler = CropSampler([(p.name, p) for p in packs], crop, 1.0, memory=0)
        count = MULTIPLE * max(1, len(packs) // MULTIPLE)
        spent, _ = _timed(lambda: [sampler.crops(MULTIPLE, 0, number) for number in range(count // MULTIPLE)])
        yield row(f"crops of {crop} pixels", "one process, decoded each time", count, spent)
        if vae is not None:
            yield _latents(sampler, vae, device, row)


def _row(
    project: int,
    part: str,
    setting: str,
    count: int,
    spent: _Spent,
    size: float | None = None,
    psnr: float | None = None,
) -> Row:
    measured: Row = {
        "part": part,
        "setting": setting,
        "count": count,
        "per_second": count / spent.wall,
        "cpu_ms_each": spent.cpu and 1e3 * spent.cpu / count,
        "kb_each": size and size / 1e3,
        "psnr_db": psnr,
    }
    if project:
        measured["projected_hours"] = project * spent.wall / count / 3600
        measured["projected_gb"] = size and project * size / 1e9
    return measured


def _readers(number: int) -> str:
    return f"{number} reader{'s' * (number > 1)}"


def _each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]


@dataclass(frozen=True)
class _Spent:
    """Seconds: as a clock has them, and of this process's processor (None: others worked, too)."""

    wall: float
    cpu: float | None


def _timed(work: Callable[[], Any], alone: bool = True) -> tuple[_Spent, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return _Spent(time.perf_counter() - wall, time.process_time() - cpu if alone else None), result


def _compared(prints: Sequence[Fingerprint], row: Callable[..., Row]) -> Row:
    """As many as it takes to be timed, whose photographs are there several times."""
    train = [(f"{n}", prints[n % len(prints)]) for n in range(_COMPARED)]
    spent, _ = _timed(lambda: compare(train, train[:TEST]))
    return row("near-duplicates", f"{TEST} test photographs", _COMPARED, spent, 27 * 32)


def _formats(photos: Sequence[Path], side: int, row: Callable[..., Row]) -> Iterator[Row]:
    small = []
    for path in photos:
        try:
            small.append(reduce_shorter(open_photo(path), side))
        except PhotoError:
            continue
    ways: dict[str, Callable[[Pixels], bytes]] = {
        "WebP, lossless (ours)": to_lossless,
        "PNG": to_png,
        f"JPEG, quality {QUALITY}, 4:4:4": _jpeg,
    }
    for name, encode in ways.items():
        spent, files = _timed(partial(_each, encode, small))
        size = sum(map(len, files)) / len(files)
        yield row("encode", name, len(small), spent, size)
        spent, decoded = _timed(partial(_each, partial(read_photo, name="a photograph"), files))
        errors = [float(np.mean((a.astype(float) - b) ** 2)) for a, b in zip(small, decoded, strict=True)]
        lossy = [10 * np.log10(255**2 / error) for error in errors if error]
        yield row("decode", name, len(small), spent, size, float(np.mean(lossy)) if lossy else None)


def _jpeg(photo: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, format="JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


def _latents(sampler: CropSampler, folder: Path, device: str, row: Callable[..., Row]) -> Row:
    import torch

    vae = load_vae(folder).to(device)
    with torch.no_grad():
        batch = sampler.batch(MULTIPLE, 0, "latents").to(device)
        size = vae.encode(batch)[0].numel() * 2  # float16; and warms up
        spent, _ = _timed(lambda: [vae.encode(batch).cpu() for _ in range(2)])
    return row("latents", f"{folder}, {device}", 2 * MULTIPLE, spent, size)
