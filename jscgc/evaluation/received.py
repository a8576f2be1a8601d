"""Pictures that somebody's method received: read to be scored beside ours, and ours written for others to score.

A folder with pictures and `received.csv`, a row each:

    file      picture, below the folder, of the photograph's size; lossless, or its losses count
    snr_db    average SNR, dB
    k         complex channel uses that it took, all included
    image     its photograph, as `--images` has it; of the same name as the file unless told otherwise
    method    its name in tables; the folder's unless told otherwise
    channel   awgn unless told otherwise
    cbr       RATE/768, where it stands in tables; unless told otherwise the lowest that has the k
    seed      which draw of the channel; the protocol's first unless told otherwise

and what else is known of it, taken over as it is: `nfe`, `steps`; of a separated system `cannot_operate` (1, and no file),
`decoding_failed`, and the sizes of its files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from jscgc.channel.accounting import GRID, SOURCE_DIMENSIONS, bandwidth, parse_rate
from jscgc.channel.channels import get_channel
from jscgc.channel.spec import canonical, file_name
from jscgc.data.images import open_photo, reduce
from jscgc.evaluation.jobs import CANNOT_OPERATE, DECODING_FAILED, SIZES, Job, JobResult, Picture, Place
from jscgc.evaluation.protocol import Protocol
from jscgc.files import atomic, component
from jscgc.method import check_name

TABLE = "received.csv"
TOLD = ("nfe", CANNOT_OPERATE, DECODING_FAILED, *SIZES)
"""Columns that are taken over into the results, with `cbr_exact` from k."""
_NEEDED, _MORE = ("file", "snr_db", "k"), ("image", "method", "channel", "cbr", "seed", "steps")
COLUMNS = (*_NEEDED, *_MORE, *TOLD)
"""That are known; ours have all of them."""
_NAME = re.compile(r"[\w.:=+-]{1,80}", re.ASCII)


def read(folder: Path, protocol: Protocol, photos: Sequence[tuple[str, Path]]) -> dict[Place, Picture]:
    """What lies in a folder, by where it stands in the protocol's grid.

    Raises:
        ValueError: no table, or a line of it that does not fit: it is named, and what was expected.
    """
    path = folder / TABLE
    if not path.is_file():
        raise ValueError(f"{path}: no such file; it says snr_db and k of every picture, see docs/baselines.md")
    files = dict(photos)
    sizes: dict[str, tuple[int, int]] = {}
    found: dict[Place, Picture] = {}
    with _as_text(path), path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream)
        if missing := [name for name in _NEEDED if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{path}: no column {', '.join(missing)}; needed are {', '.join(_NEEDED)}")
        if odd := [name for name in rows.fieldnames or () if name not in COLUMNS]:
            raise ValueError(f"{path}: unknown column {odd[0]!r:.40}; known are {', '.join(COLUMNS)}")
        for row in rows:
            where = f"{path} line {rows.line_num}"
            try:
                place, picture = _entry(folder, row, protocol, files, sizes)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            if place in found:
                raise ValueError(f"{where}: a second picture of {place.image} by {place.method} at the same place")
            found[place] = picture
    if not found:
        raise ValueError(f"{path}: no pictures are listed")
    return found


@contextmanager
def _as_text(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise ValueError(f"{path}: its text is not UTF-8; save it as that") from None


def write(done: Iterable[tuple[Job, JobResult]], folder: Path) -> None:
    """Every picture that was kept and its row, such that `read` gives them back: whole or not at all.

    METHOD_CHANNEL_SNRdB_RATE_SEED/IMAGE.png below the folder, IMAGE as `files.component` has it.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        rows = []
        for job, result in done:
            if not job.plain:
                continue
            place = Place.of(job)
            told = {name: f"{result.scores[name]:.17g}" for name in TOLD if name in result.scores}
            k = round(result.scores.get("cbr_exact", 0) * 3 * result.height * result.width)
            row = {
                **place._asdict(),
                **told,
                "k": max(k, 1),
                "cbr": f"{place.rate}/{SOURCE_DIMENSIONS}",
                "steps": result.steps,
            }
            del row["rate"]
            if result.png:
                link = f"{file_name(job.channel)}_{job.snr_db:g}dB_{job.rate}_{job.seed}"
                row["file"] = f"{file_name(job.method)}_{link}/{component(job.image)}.png"
                (temporary / row["file"]).parent.mkdir(parents=True, exist_ok=True)
                (temporary / row["file"]).write_bytes(result.png)
            rows.append(row)
        with (temporary / TABLE).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _entry(
    folder: Path,
    row: Mapping[str, str | None],
    protocol: Protocol,
    files: Mapping[str, Path],
    sizes: dict[str, tuple[int, int]],
) -> tuple[Place, Picture]:
    given = {name: (value or "").strip() for name, value in row.items() if name}
    told = {name: _number(name, given[name]) for name in TOLD if given.get(name)}
    stuck = bool(told.get(CANNOT_OPERATE))
    image = given.get("image") or given["file"]
    if image not in files:
        same = [name for name in files if Path(name).with_suffix("") == Path(image).with_suffix("")]
        same = same or [name for name in files if Path(name).stem == Path(image).stem]
        if len(same) != 1:
            raise ValueError(f"{image!r:.80} is no photograph of --images; name it in column `image`")
        image = same[0]
    method = given.get("method") or folder.resolve().name
    if not _NAME.fullmatch(method):
        raise ValueError(f"method {method!r:.80}: letters, digits and ._-+:= only")
    check_name(method)
    channel = canonical(given.get("channel") or "awgn")
    seed = int(_number("seed", given["seed"])) if given.get("seed") else protocol.seeds[0]
    snr_db, k = _number("snr_db", given["snr_db"]), int(_number("k", given["k"]))
    for name, value, among in (
        ("snr_db", snr_db, protocol.snr_db),
        ("channel", channel, protocol.channels),
        ("seed", seed, protocol.seeds),
    ):
        if value not in among:
            raise ValueError(f"{name} {value} is not measured here; measured are {', '.join(map(str, among))}")
    if image not in sizes:
        photo = reduce(open_photo(files[image]), protocol.max_side)
        sizes[image] = photo.shape[0], photo.shape[1]
    height, width = sizes[image]
    rate = _rate(given.get("cbr", ""), k, protocol, channel, height, width)
    place = Place(method, channel, snr_db, rate, image, seed)
    steps = int(_number("steps", given["steps"])) if given.get("steps") else 0
    if stuck:
        return place, Picture(None, 0, ((CANNOT_OPERATE, 1.0),))
    file = folder / given["file"]
    shown = open_photo(file).shape[:2]
    if shown != (height, width):
        raise ValueError(f"{given['file']} has {shown[1]}x{shown[0]} pixels, {image} {width}x{height}")
    told["cbr_exact"] = k / (3 * height * width)
    return place, Picture(file, steps, tuple(sorted(told.items())))


def _rate(cbr: str, k: int, protocol: Protocol, channel: str, height: int, width: int) -> int:
    """Of the CBRs that are measured the lowest that has k channel uses, as our own methods are charged (16 pixels' padding)."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if cbr:
        return parse_rate(cbr, tuple(protocol.rates))
    overhead = get_channel(channel).overhead
    for rate in sorted(protocol.rates):
        if k <= bandwidth(height, width, rate, GRID, overhead).k:
            return rate
    most = bandwidth(height, width, max(protocol.rates), GRID, overhead).k
    raise ValueError(f"k {k} is more than the highest CBR measured here has for this photograph, {most}")


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
        if not -1e12 < value < 1e12:
            raise ValueError
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r:.40}") from None
    return value + 0.0  # -0 is 0: it becomes part of a job's key
