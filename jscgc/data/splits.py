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
from jscgc.data.images import PhotoError, open_in_full
from jscgc.data.overlap import Fingerprint, compare, read_fingerprint
from jscgc.data.params import DataParams
from jscgc.data.photo import SPLITS, Photo, Split
from jscgc.data.progress import progress
from jscgc.files import sha256
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


def collect(params: DataParams, seed: int) -> Collection:
    """Find the photographs of a source, drop duplicates, set aside what is missing of validation and test, and drop what of
    the others is a near-duplicate of a test photograph.

    Where a source has no validation or test photographs, a share of the training ones is set aside: from the front
    (test) or the back (validation) of an order that follows from the seed and each photograph's relative name.
    Adding one photograph therefore moves at most one other across each border, none between validation and test.

    Raises:
        ParamsError: a folder is missing or empty, there are too few photographs, a side of the split is left
            empty, or a download failed.
    """
    result = Collection()
    unique = _deduplicate(_with_checksums(_candidates(params), result), result)
    ranked = _with_names(sorted(unique, key=lambda photo: (derive(seed, "split", photo.name), photo.sha256)))
    queues = {split: deque(photo for photo in ranked if photo.split == split) for split in SPLITS}
    shares = _shares(params, {split: len(queue) for split, queue in queues.items()})
    taken: dict[Split, list[Photo]] = {}
    for split, count in shares.items():
        aside = _take(queues["train"], count, result, from_end=split == "validation")
        taken[split] = [replace(photo, split=split) for photo in aside][: params.max_photos or None]
    for split in SPLITS:
        if split not in shares:
            taken[split] = _take(queues[split], params.max_photos or len(queues[split]), result)
    _leave_out_near_duplicates(taken, result)
    for split in SPLITS:
        if not taken[split]:
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


def _candidates(params: DataParams) -> list[Photo]:
    """All photographs of the source, of the split that the source gives them."""
    if params.source == "folder":
        if not params.train:
            raise ParamsError("data.train: name at least one folder of photographs (data.source is folder)")
        given: dict[Split, list[str]] = {"train": params.train, "validation": params.validation, "test": params.test}
        return [photo for split, folders in given.items() for photo in _folder_photos(folders, split)]
    if params.train or params.validation or params.test:
        log.warning("data.train, data.validation and data.test have no effect with data.source: %s", params.source)
    return builtin_photos() if params.source == "builtin" else DOWNLOADS[params.source]()


def _folder_photos(folders: list[str], split: Split) -> Iterable[Photo]:
    for folder in folders:
        root = Path(folder).expanduser()
        for path in find_photos([root]):
            relative = path.relative_to(root).as_posix()
            origin = f"{Path(folder).as_posix()}/{relative}"
            yield Photo(relative, path, "", split, origin, "unknown: a folder of the user's")


def _with_checksums(photos: list[Photo], result: Collection) -> list[Photo]:
    checked = []
    for photo in progress(photos, "checksums"):
        try:
            # Empty files are all equal; each is unreadable, none is a duplicate.
            if photo.path.stat().st_size == 0:
                _skip(photo, "empty file", result)
            else:
                checked.append(replace(photo, sha256=sha256(photo.path)))
        except OSError as error:
            _skip(photo, error.strerror or type(error).__name__, result)
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


def _shares(params: DataParams, available: dict[Split, int]) -> dict[Split, int]:
    """How many training photographs to set aside for each side that the source leaves empty."""
    total = available["train"]
    fractions: dict[Split, float] = {"test": params.test_fraction, "validation": params.validation_fraction}
    missing = [split for split in fractions if split not in _given(params)]
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
    return shares


def _given(params: DataParams) -> set[Split]:
    """The sides besides train for which the source itself names photographs."""
    if params.source == "folder":
        given: dict[Split, list[str]] = {"validation": params.validation, "test": params.test}
        return {split for split, folders in given.items() if folders}
    return {"test"} if params.source == "div2k" else {"validation", "test"}


def _take(queue: deque[Photo], count: int, result: Collection, *, from_end: bool = False) -> list[Photo]:
    """The next `count` readable photographs; unreadable ones on the way are listed."""
    taken: list[Photo] = []
    while queue and len(taken) < count:
        photo = queue.pop() if from_end else queue.popleft()
        try:
            colour = open_in_full(photo.path).colour
            taken.append(photo)
            if colour.said:
                result.colours.append(f"{photo.source} {colour}")
        except PhotoError as error:
            _skip(photo, str(error).removeprefix(f"{photo.path}: "), result)
    return taken


def _leave_out_near_duplicates(taken: dict[Split, list[Photo]], result: Collection) -> None:
    others = taken["train"] + taken["validation"]
    if not others or not taken["test"]:
        return
    found = compare(_fingerprints(others), _fingerprints(taken["test"]))
    for pair in found.near:
        log.warning("%s: near-duplicate of the test photograph %s, left out", pair.train, pair.test)
        result.near_duplicates.append({"dropped": pair.train, "of": pair.test, "distance": pair.distance})
    if found.closest:
        result.closest = {"photo": found.closest.train, "of": found.closest.test, "distance": found.closest.distance}
    dropped = {pair.train for pair in found.near}
    for split in ("train", "validation"):
        taken[split] = [photo for photo in taken[split] if photo.source not in dropped]


def _fingerprints(photos: list[Photo]) -> list[tuple[str, Fingerprint]]:
    return [(photo.source, read_fingerprint(photo.path)) for photo in progress(photos, "perceptual hashes")]


def _skip(photo: Photo, reason: str, result: Collection) -> None:
    log.warning("%s: %s, skipped", photo.source, reason)
    result.skipped.append({"file": photo.source, "reason": reason})
