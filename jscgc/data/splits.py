"""Which photographs there are and on which side of the split each one is: train, validation or test.

Always by photograph (by scene where scenes are known), never by crop, never the same file on two sides, and nothing beside the
test photographs that looks like one of them.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from jscgc.config import ParamsError
from jscgc.data.builtin import builtin_photos
from jscgc.data.downloads import DOWNLOADS
from jscgc.data.folders import find_photos, listed
from jscgc.data.listing import choose
from jscgc.data.overlap import Fingerprint, compare, read_fingerprint
from jscgc.data.packing import Looked, Shard, checksums, look, pack
from jscgc.data.params import DataParams
from jscgc.data.photo import SPLITS, Photo, Split
from jscgc.data.readers import Readers
from jscgc.data.shards import SHARD
from jscgc.seeding import derive

log = logging.getLogger(__name__)

_PRECEDENCE: dict[Split, int] = {"test": 0, "validation": 1, "train": 2}
"""Of two equal files the one of the lower number stays: what is tested on is never trained on."""


@dataclass
class Collection:
    """The photographs of a run and what was left out of it."""

    photos: list[Photo] = field(default_factory=list)
    """Readable, of unique path-safe names, sorted by split (train, validation, test) and name."""
    skipped: list[dict[str, str]] = field(default_factory=list)
    """Unreadable files: {"file", "reason"}."""
    colours: list[str] = field(default_factory=list)
    """Of files that say something else than sRGB of their colours: which, and what was done."""
    duplicates: list[dict[str, str]] = field(default_factory=list)
    """Files with the content of another one: {"file", "same_as"}."""
    near_duplicates: list[dict[str, str | int]] = field(default_factory=list)
    """Training and validation photographs left out for a test photograph: {"dropped", "of", "distance"}, see `overlap`."""
    closest: dict[str, str | int] | None = None
    """Of those that stay and the test photographs: {"photo", "of", "distance"}."""
    shards: list[Shard] = field(default_factory=list)
    """With `data.train_side`: where the training photographs are, and some that are in `photos` no more."""
    stated: dict[Split, str] = field(default_factory=dict)
    """By what validation and test photographs were chosen."""
    missing: dict[str, int | list[str]] = field(default_factory=dict)
    """Of a list: how many photographs are not there ("count"), and the "first" of them."""


@dataclass(frozen=True)
class _Candidates:
    """photos: all of the source. given: the sides besides train that the source itself says, be they empty."""

    photos: list[Photo]
    given: set[Split]


def collect(params: DataParams, seed: int, readers: Readers | None = None, work: Path | None = None) -> Collection:
    """Find the photographs of a source, drop duplicates, set aside what is missing of validation and test, and drop what of
    the others is a near-duplicate of a test photograph.

    Where a source has no validation or test photographs, a share of the training ones is set aside: from the front
    (test) or the back (validation) of an order that follows from the seed and each photograph's relative name.
    Adding one photograph therefore moves at most one other across each border, none between validation and test.

    Args:
        readers: processes to read the photographs; None: this one.
        work: a folder for what is finished, in which a call that was interrupted goes on; shards need one.

    Raises:
        ParamsError: a folder is missing or empty, there are too few photographs, a side of the split is left
            empty, or a download failed.
    """
    result, readers = Collection(), readers or Readers()
    candidates = _candidates(params, result)
    unique = _deduplicate(_with_checksums(candidates.photos, result, readers, work), result)
    ranked = _with_names(sorted(unique, key=lambda photo: (derive(seed, "split", photo.name), photo.sha256)))
    queues = {split: deque(photo for photo in ranked if photo.split == split) for split in SPLITS}
    shares = _shares(params, candidates.given, {split: len(queue) for split, queue in queues.items()}, result)
    taken: dict[Split, list[Photo]] = {}
    for split, count in shares.items():
        aside = _take(queues["train"], count, result, readers, from_end=split == "validation")
        taken[split] = [replace(photo, split=split) for photo in aside][: params.max_photos or None]
    prints: dict[str, Fingerprint] = {}
    for split in SPLITS:
        if split not in shares:
            queue, count = queues[split], params.max_photos or len(queues[split])
            if split == "train" and params.train_side:
                assert work is not None
                taken[split] = _pack(queue, count, params.train_side, result, readers, work, prints)
            else:
                taken[split] = _take(queue, count, result, readers)
    _leave_out_near_duplicates(taken, result, readers, prints)
    asked = {"train", "test", *shares, *(photo.split for photo in candidates.photos)}
    for split in SPLITS:
        if split in asked and not taken[split]:
            raise ParamsError(
                f"data: no photograph is left for {split} ({len(result.skipped)} unreadable, {len(result.duplicates)} "
                f"duplicates, {len(result.near_duplicates)} near-duplicates of test photographs; equal files stay on one "
                f"side only, test before validation before train)"
            )
    if result.skipped:
        log.warning("%d unreadable files were skipped", len(result.skipped))
    if result.colours:
        log.warning("colours of %d of the photographs: %s", len(result.colours), listed(result.colours))
    result.photos = [photo for split in SPLITS for photo in sorted(taken[split], key=lambda photo: photo.name)]
    return result


def _candidates(params: DataParams, result: Collection) -> _Candidates:
    """All photographs of the source, of the split that the source gives them."""
    if params.source != "folder":
        if params.train or params.validation or params.test or params.list_file:
            log.warning(
                "data.train, data.validation, data.test and data.list_file have no effect with data.source: %s",
                params.source,
            )
        photos = builtin_photos() if params.source == "builtin" else DOWNLOADS[params.source]()
        return _Candidates(photos, {"test"} if params.source == "div2k" else {"validation", "test"})
    if not params.train:
        raise ParamsError("data.train: name at least one folder of photographs (data.source is folder)")
    others: dict[Split, list[str]] = {"validation": params.validation, "test": params.test}
    train = list(_folder_photos(params.train, "train"))
    apart = [photo for split, folders in others.items() for photo in _folder_photos(folders, split)]
    given: set[Split] = {split for split, folders in others.items() if folders}
    if params.list_file:
        chosen = choose(Path(params.list_file), train)
        train = chosen.photos
        log.info(
            "%s: %d photographs of data.train, %d others are not in it", params.list_file, len(train), chosen.unlisted
        )
        if chosen.missing:
            names = ", ".join(chosen.first_missing)
            more = f" and {chosen.missing - len(chosen.first_missing)} more"
            log.warning(
                "%s: %d photographs are in no folder of data.train: %s%s",
                params.list_file, chosen.missing, names, more if chosen.missing > len(chosen.first_missing) else "",
            )  # fmt: skip
        result.missing = {"count": chosen.missing, "first": chosen.first_missing}
        if chosen.splits:
            result.stated = dict.fromkeys(("validation", "test"), "data.list_file")
    for split in given:
        result.stated[split] = " and ".join([*filter(None, [result.stated.get(split)]), f"data.{split}"])
    return _Candidates(train + apart, {*given, *result.stated})


def _folder_photos(folders: list[str], split: Split) -> Iterable[Photo]:
    for folder in folders:
        root = Path(folder).expanduser()
        for path in find_photos([root]):
            relative = path.relative_to(root).as_posix()
            origin = f"{Path(folder).as_posix()}/{relative}"
            yield Photo(relative, path, "", split, origin, "unknown: a folder of the user's")


def _with_checksums(photos: list[Photo], result: Collection, readers: Readers, work: Path | None) -> list[Photo]:
    checked = []
    for photo, (total, reason) in zip(photos, checksums(photos, readers, work), strict=True):
        if reason:
            _skip(photo, reason, result)
        else:
            checked.append(replace(photo, sha256=total))
    return checked


def _deduplicate(photos: list[Photo], result: Collection) -> list[Photo]:
    kept: dict[str, Photo] = {}
    for photo in sorted(photos, key=lambda photo: (_PRECEDENCE[photo.split], photo.name, photo.source)):
        first = kept.setdefault(photo.sha256, photo)
        # A folder named twice yields the same file twice; that is no second copy.
        if first is not photo and not (first.split == photo.split and first.path.samefile(photo.path)):
            result.duplicates.append({"file": photo.source, "same_as": first.source})
    return list(kept.values())


def _with_names(photos: list[Photo]) -> list[Photo]:
    """Path-safe names: the file's stem, with part of the checksum where stems coincide (in any case of letters)."""
    stems = [_safe(PurePosixPath(photo.name).stem) for photo in photos]
    times = Counter(stem.casefold() for stem in stems)
    named = []
    for photo, stem in zip(photos, stems, strict=True):
        name = stem if times[stem.casefold()] == 1 else f"{stem}-{photo.sha256[:10]}"
        named.append(replace(photo, name=name, scene=photo.scene or name))
    assert len({photo.name.casefold() for photo in named}) == len(named)
    return named


def _safe(stem: str) -> str:
    """Letters, digits, `_`, `-` and inner dots; at most 50, so that no file system's limit of bytes is met."""
    return re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", stem)).strip(".-")[:50] or "photo"


def _shares(params: DataParams, given: set[Split], available: dict[Split, int], result: Collection) -> dict[Split, int]:
    """How many training photographs to set aside for each side that the source leaves empty."""
    total = available["train"]
    fractions: dict[Split, float] = {"test": params.test_fraction, "validation": params.validation_fraction}
    missing = [split for split in fractions if split not in given and fractions[split]]
    result.stated |= {s: f"none (data.{s}_fraction 0)" for s in fractions if s not in given and not fractions[s]}
    if sum(fractions[split] for split in missing) >= 1:
        raise ParamsError("data.validation_fraction + data.test_fraction must be below 1: the rest is for training")
    if missing and total <= len(missing):
        raise ParamsError(
            f"data: {total} different photographs for training are too few to set aside {' and '.join(missing)}; "
            f"at least {len(missing) + 1} are needed"
        )
    shares: dict[Split, int] = {}
    for index, split in enumerate(missing):
        # One photograph at least for this side, for each side still to come, and for training.
        most = total - sum(shares.values()) - (len(missing) - index)
        shares[split] = min(most, max(1, round(total * fractions[split])))
        result.stated[split] = f"data.{split}_fraction {fractions[split]:g}"
        log.info(
            "%d of %d training photographs set aside for %s (%s)", shares[split], total, split, result.stated[split]
        )
    return shares


def _take(
    queue: deque[Photo], count: int, result: Collection, readers: Readers, *, from_end: bool = False
) -> list[Photo]:
    """The next `count` readable photographs; unreadable ones on the way are listed."""
    taken: list[Photo] = []
    while queue and len(taken) < count:
        photos = _next(queue, count - len(taken), from_end=from_end)
        for photo, looked in zip(photos, readers.map(look, photos, "photographs"), strict=True):
            taken += [photo] if _noted(photo, looked, result) else []
    return taken


def _next(queue: deque[Photo], count: int, *, from_end: bool = False) -> list[Photo]:
    return [queue.pop() if from_end else queue.popleft() for _ in range(min(count, len(queue)))]


def _noted(photo: Photo, looked: Looked, result: Collection) -> bool:
    """Whether a photograph can be read; what is to be said of it is noted."""
    if looked.reason:
        _skip(photo, looked.reason, result)
    elif looked.colour:
        result.colours.append(f"{photo.source} {looked.colour}")
    return not looked.reason


def _pack(
    queue: deque[Photo], count: int, side: int, result: Collection, readers: Readers, work: Path,
    prints: dict[str, Fingerprint],
) -> list[Photo]:  # fmt: skip
    """The same for shards, with the fingerprints by source."""
    taken: list[Photo] = []
    while queue and len(taken) < count:
        photos = _next(queue, min(SHARD, count - len(taken)))
        shards = len(result.shards) + 1 + -(-min(len(queue), count - len(taken) - len(photos)) // SHARD)
        shard = pack(photos, side, readers, work, f"shard {len(result.shards) + 1} of {shards}")
        for entry in shard.skipped:
            log.warning("%s: %s, skipped", entry["file"], entry["reason"])
        result.skipped += shard.skipped
        result.colours += shard.colours
        result.shards.append(shard)
        by_name = {photo.name: photo for photo in photos}
        readable = [by_name[name] for name in shard.names]
        prints |= {photo.source: one for photo, one in zip(readable, shard.fingerprints, strict=True)}
        taken += readable
    return taken


def _leave_out_near_duplicates(
    taken: dict[Split, list[Photo]], result: Collection, readers: Readers, prints: dict[str, Fingerprint]
) -> None:
    """`prints` are the fingerprints that are known, by source."""
    others = taken["train"] + taken["validation"]
    if not others or not taken["test"]:
        return
    unknown = [photo for photo in others if photo.source not in prints]
    prints |= dict(_fingerprints(unknown, readers))
    found = compare([(photo.source, prints[photo.source]) for photo in others], _fingerprints(taken["test"], readers))
    for pair in found.near:
        log.warning("%s: near-duplicate of the test photograph %s, left out", pair.train, pair.test)
        result.near_duplicates.append({"dropped": pair.train, "of": pair.test, "distance": pair.distance})
    if found.closest:
        result.closest = {"photo": found.closest.train, "of": found.closest.test, "distance": found.closest.distance}
    dropped = {pair.train for pair in found.near}
    for split in ("train", "validation"):
        taken[split] = [photo for photo in taken[split] if photo.source not in dropped]


def _fingerprints(photos: list[Photo], readers: Readers) -> list[tuple[str, Fingerprint]]:
    found = readers.map(read_fingerprint, [photo.path for photo in photos], "perceptual hashes")
    return [(photo.source, one) for photo, one in zip(photos, found, strict=True)]


def _skip(photo: Photo, reason: str, result: Collection) -> None:
    log.warning("%s: %s, skipped", photo.source, reason)
    result.skipped.append({"file": photo.source, "reason": reason})
