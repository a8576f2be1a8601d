"""`jscgc evaluate`: arguments, photographs and protocol. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
import csv
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jscgc import options
from jscgc.files import check_file, check_folder
from jscgc.parser import add_json

if TYPE_CHECKING:
    from jscgc.evaluation.protocol import Protocol
    from jscgc.evaluation.run import Evaluation

DESCRIPTION = """\
Score trained models on every photo of a folder, in parallel, into a tidy CSV table; beside it the protocol, a file that says
how it was measured. Finished jobs are kept in a store: an interrupted evaluation goes on, and one more SNR, method or draw runs
what is new only. Retrained weights, another photo or changed code are other jobs.

  jscgc evaluate --images kodak/ --methods jscgc diffjscc --snr-db -5 0 5 10 --cbr 8/768 --out results.csv
  jscgc evaluate --images kodak/ --methods jscgc diffjscc --report kodak_report/     # with pictures, a page and a PDF
  jscgc evaluate --images kodak/ --methods diffcom --protocol results.protocol.json --out others.csv
  jscgc evaluate --images kodak/ cid22/ --methods jscgc --models data/trainings/*/models    # several sets, several trainings
"""
DRAWS = 5
"""Channel draws unless told otherwise: with fewer, the interval says little about the channel."""
STORE = Path(".jscgc/results")
ANY_RATE = tuple(range(1, 61))
"""That a protocol can have."""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `evaluate` can be told."""
    add_json(sub)
    options.add_models(sub, several=True)
    sub.add_argument(
        "--images",
        type=Path,
        nargs="+",
        required=True,
        metavar="FOLDER",
        help="photos, searched recursively; several folders are several sets, scored together and each",
    )
    options.add_methods(sub, "--methods", [])
    sub.add_argument(
        "--workers", type=options.natural, default=0, help="Ray workers; 0: as many as there is room for (one per core)"
    )
    sub.add_argument("--cpus-per-worker", type=options.count, default=1, metavar="N", help="cores of each worker")
    sub.add_argument(
        "--gpus-per-worker",
        type=options.positive,
        default=1.0,
        metavar="X",
        help="where there are GPUs; 0.5: two share one",
    )
    sub.add_argument(
        "--out", type=Path, metavar="CSV", help="the table (default: results.csv, of --report in its folder)"
    )
    sub.add_argument(
        "--report", type=Path, metavar="DIR", help="make a report in this folder: page, PDF, figures, tables, pictures"
    )
    sub.add_argument(
        "--received",
        type=Path,
        metavar="DIR",
        help="also score pictures that another method received: DIR/received.csv says file, snr_db and k of each; without "
        "--methods these alone",
    )
    sub.add_argument(
        "--export", type=Path, metavar="DIR", help="write all received pictures there, as --received reads them"
    )
    sub.add_argument(
        "--pictures",
        type=options.natural,
        metavar="N",
        help="photos whose pictures the report has (default: the first few)",
    )
    sub.add_argument(
        "--store", type=Path, default=STORE, metavar="DIR", help="where finished jobs are kept and looked up"
    )
    sub.add_argument("--fresh", action="store_true", help="run every job again and replace what the store has")
    sub.add_argument(
        "--protocol", type=Path, metavar="JSON", help="measure exactly as this file says, on the very photos it lists"
    )
    before = {action.dest for action in sub._actions}
    sub.add_argument("--channel", nargs="+", type=options.channel, default=["awgn"], help=options.channel_help())
    sub.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[-5.0, 0.0, 5.0, 10.0], help="decibels")
    sub.add_argument("--cbr", nargs="+", default=["8/768"], help="such as 2/768 8/768")
    sub.add_argument("--draws", type=options.count, default=DRAWS, help="independent channel draws per condition")
    sub.add_argument("--patch", type=int, choices=(64, 128, 256), default=64, help="patch side for FID and KID, pixels")
    sub.add_argument(
        "--max-side", type=options.natural, default=0, help="first reduce photos to this longer side; 0: keep"
    )
    sub.add_argument(
        "--metrics", nargs="+", default=[], metavar="METRIC", help="see `jscgc info`; none: all that can run"
    )
    sub.add_argument(
        "--headline-metrics",
        nargs="+",
        default=[],
        metavar="METRIC",
        help="also, at the middle SNR and CBR and the first draw only: what takes seconds a picture, such as dists",
    )
    sub.add_argument(
        "--reference-steps",
        nargs="+",
        type=options.count,
        default=[],
        metavar="N",
        help="also jscgc with so many sampling steps each, over the first channel at the middle SNR and the highest CBR: quality "
        "and time over steps",
    )
    options.add_sampling(sub)
    options.add_precision(sub)
    # A protocol file stands for these. Whether one was given as well shows only if the parser fills in no default.
    fixed = [action for action in sub._actions if action.dest not in before | {"device"}]
    told = [action for action in fixed if action.default is not argparse.SUPPRESS]
    sub.set_defaults(
        fixed={action.dest for action in fixed}, unless_given={action.dest: action.default for action in told}
    )
    for action in told:
        action.help = f"{action.help} (default: {action.default})".replace("%", "%%")
        action.default = argparse.SUPPRESS


def run(arguments: argparse.Namespace) -> Evaluation:
    """Evaluate, and write the table, and the protocol beside it (OUT without its suffix, `.protocol.json`); for a report
    also pictures and times.

    Raises:
        ValueError: no readable photo; a method that is not trained or does not send the CBR; a protocol whose photographs are not
            these, or together with options that it fixes.
    """
    from jscgc.cluster import Workers
    from jscgc.data.folders import find_photos
    from jscgc.evaluation.protocol import Protocol
    from jscgc.evaluation.run import PICTURES, follow
    from jscgc.files import write_json
    from jscgc.metrics.registry import check_available
    from jscgc.systems.load import asked_systems

    logging.getLogger("jscgc.evaluation.run").setLevel(logging.INFO)
    given = sorted(arguments.fixed & vars(arguments).keys())
    a = argparse.Namespace(**(arguments.unless_given | vars(arguments)))
    a.models = a.models if isinstance(a.models, list) else [a.models]
    check_available([*a.metrics, *a.headline_metrics], "--metrics")  # before models are loaded and photographs are read
    asked = a.methods or ([] if a.received else ["all"])
    a.methods = list(dict.fromkeys(name for models in a.models if asked for name in asked_systems(asked, models)))
    out = place(a)
    if a.pictures is not None and not a.report:
        raise ValueError("--pictures is for a report; name its folder with --report DIR")
    shown = PICTURES if a.pictures is None else a.pictures
    if a.protocol:
        if given:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(f"--protocol fixes {names}; leave it out, or evaluate without --protocol")
        protocol = Protocol.read(a.protocol)
        files = find_photos(a.images)
        photos = protocol.find(files)
        if left := len(files) - len(photos):
            logging.warning("%d photos in %s are not in the protocol and left out", left, _names(a.images))
        _rates(a.methods, a.models, protocol.cbr)
    else:
        sets = photo_sets(a.images)
        photos = [photo for part in sets.values() for photo in part]
        protocol = _protocol(a, photos, {name: one for one, part in sets.items() for name, _ in part})
    try:
        evaluation = follow(
            protocol,
            a.models[0],
            photos,
            a.methods,
            device=a.device,
            out=out,
            pictures=a.report / "pictures" if a.report and shown else None,
            shown=shown,
            workers=Workers(a.workers, a.cpus_per_worker, a.gpus_per_worker),
            store=a.store,
            fresh=a.fresh,
            further=a.models[1:],
            received=a.received,
            export=a.export,
        )
    except KeyboardInterrupt:
        kept = f"finished jobs are in {a.store}, and the same command goes on from there"
        raise KeyboardInterrupt(f"no table was written; {kept}") from None
    protocol.write(_protocol_beside(out))
    if a.report:
        write_json(a.report / "timing.json", evaluation.timing)
    return evaluation


def place(a: argparse.Namespace) -> Path:
    """Where the table goes.

    Raises:
        ValueError: two places are named.
    """
    if a.report and a.out:
        raise ValueError("--report DIR writes DIR/results.csv; leave out --out")
    return a.report / "results.csv" if a.report else a.out or Path("results.csv")


def check_places(a: argparse.Namespace) -> None:
    """Whether all can be written where it is asked for, before anything is run. What is replaced there is of ours only.

    Raises:
        ValueError: something else is there.
        OSError: nothing can be written there.
    """
    out = place(a)
    check_file(out, ("method", "channel", "snr_db", "cbr", "metric"))  # as the tables of all our versions have
    check_file(_protocol_beside(out))
    check_folder(a.store)
    if a.report:
        check_folder(a.report)
        if not out.exists() and (
            taken := next((a.report / name for name in _IN_REPORT if (a.report / name).exists()), None)
        ):
            raise ValueError(f"{taken} is there and of no report; name another folder, or remove it")
        pictures = a.report / "pictures"
        if pictures.exists() and any(pictures.iterdir()) and not any(pictures.glob("*/original.png")):
            raise ValueError(f"{pictures} is there and of no report; name another folder, or remove it")
    if a.export:
        check_folder(a.export)
        if a.export.exists() and any(a.export.iterdir()) and not _is_export(a.export):
            raise ValueError(f"{a.export}: not empty and no earlier export, which alone is replaced; name a new folder")


_IN_REPORT = ("index.html", "report.pdf", "summary.json", "figures", "tables", "timing.json", "results.protocol.json")


def _protocol_beside(out: Path) -> Path:
    return out.with_suffix(".protocol.json")


def _is_export(folder: Path) -> bool:
    """Whether a folder has nothing in it but what an export wrote."""
    from jscgc.evaluation.received import COLUMNS, TABLE

    path = folder / TABLE
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        rows = csv.DictReader(stream)
        ours = {path, *(folder / (row["file"] or "") for row in rows)} if rows.fieldnames == [*COLUMNS] else set()
    return {file for file in folder.rglob("*") if not file.is_dir()} <= ours


def _protocol(a: argparse.Namespace, photos: Sequence[tuple[str, Path]], sets: Mapping[str, str]) -> Protocol:
    from pydantic import ValidationError

    from jscgc.config import complaints
    from jscgc.evaluation.params import GridParams
    from jscgc.evaluation.protocol import Protocol
    from jscgc.precision import resolve_precision

    try:
        params = GridParams(
            channels=list(dict.fromkeys(a.channel)),
            snr_db=a.snr_db,
            rates=_rates(a.methods, a.models, a.cbr),
            seeds=a.draws,
            patch=a.patch,
            metrics=a.metrics,
            headline_metrics=a.headline_metrics,
            reference_steps=a.reference_steps,
        )
    except ValidationError as error:
        raise ValueError(complaints(error)) from None
    precision = resolve_precision(a.precision, a.device)
    sample = options.sample(a)
    return Protocol.of(photos, params, sample, seed=a.seed, max_side=a.max_side, sets=sets, precision=precision)


def _rates(methods: Sequence[str], models: Sequence[Path], cbr: Sequence[str]) -> list[int]:
    """Complex symbols per position of each CBR, which every training of every method must be able to send."""
    from jscgc.channel.accounting import parse_rate
    from jscgc.evaluation.trainings import trainings
    from jscgc.systems.load import finetuned, load_system

    rates = set() if methods else {parse_rate(text, ANY_RATE) for text in cbr}
    for name, numbers in trainings(methods, models, warn=False).items():
        for number in numbers:
            system = load_system(name, models[number])
            tuned = (rate for _, link in finetuned(name, models[number]) for rate in link.rates)
            rates |= {parse_rate(text, tuple(sorted({*system.rates, *tuned}))) for text in cbr}
    return sorted(rates)


def photo_sets(folders: Sequence[Path]) -> dict[str, list[tuple[str, Path]]]:
    """Set -> name (the path below its folder) and file of each of its photos; of one folder the set is `""`.

    Raises:
        ValueError: two folders have one name, or two sets the same photo or one of the same name.
    """
    from jscgc.files import sha256

    if len(folders) == 1:
        return {"": _readable(folders[0])}
    sets: dict[str, list[tuple[str, Path]]] = {}
    names: dict[str, str] = {}
    contents: dict[str, str] = {}
    for folder in folders:
        one = Path(os.path.abspath(folder)).name
        if one in sets:
            raise ValueError(f"--images: two folders are named {one}, and sets are told apart by that; rename one")
        sets[one] = _readable(folder)
        for name, path in sets[one]:
            if (other := names.setdefault(name, one)) != one:
                raise ValueError(
                    f"--images: {name} is in {other} and in {one}; a photo's name enters its draws: rename one of them"
                )
            if (other := contents.setdefault(sha256(path), one)) != one:
                raise ValueError(f"--images: {one}/{name} is in {other}, too, and would count twice; leave one out")
    return sets


def _name(path: Path, folder: Path) -> str:
    """The path below the folder. One that begins as our own marks do is written otherwise, as the same path."""
    from jscgc.evaluation.jobs import ALL_IMAGES

    name = path.relative_to(folder).as_posix()
    return f"./{name}" if name.startswith(ALL_IMAGES) else name


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))


def _readable(folder: Path) -> list[tuple[str, Path]]:
    """Name (the path below the folder) and file of each photo that can be read; the others are named in a warning."""
    from jscgc.data.folders import find_photos, listed
    from jscgc.data.images import PhotoError, open_in_full

    photos: list[tuple[str, Path]] = []
    colours: list[str] = []
    for path in find_photos([folder]):
        try:
            colour = open_in_full(path).colour
        except PhotoError as error:
            logging.warning("skipped: %s", error)
            continue
        name = _name(path, folder)
        if colour.said:
            colours.append(f"{name} {colour}")
        photos.append((name, path))
    if not photos:
        raise ValueError(f"{folder}: no readable photograph here")
    if colours:
        logging.warning("%s: colours of %d of the photos: %s", folder, len(colours), listed(colours))
    return photos
