"""`jscgc transmit`: one photo through one or several methods. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc import options, printing
from jscgc.channel import spec
from jscgc.files import check_folder, sha256
from jscgc.parser import add_json, emit

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.transmission import Arrival, Request

log = logging.getLogger(__name__)
LARGE = 4.0
"""Megapixels from which on it is said that a photo is large."""
DESCRIPTION = """\
Send a photo through a noisy channel and save what is received.

  jscgc transmit photo.jpg --snr-db 5 --cbr 8/768
  jscgc transmit photo.jpg --channel rayleigh_fast --method all --out received/
  jscgc transmit photo.jpg --method jscgc hevc_ldpc    # beside HEVC with 5G's channel code
  jscgc transmit photo.jpg --samples 8                 # what do the samples agree on, and what is made up?
  jscgc transmit photo.jpg --channel tdl_c:delay_spread_ns=300,csi=lmmse
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `transmit` can be told."""
    add_json(sub)
    options.add_models(sub)
    sub.add_argument("photo", type=Path, help="jpg, png, heic, webp, ...; any size")
    sub.add_argument("--snr-db", type=options.snr_db, default=5.0, help="average signal-to-noise ratio in decibels")
    sub.add_argument("--channel", type=options.channel, default="awgn", help=options.channel_help())
    sub.add_argument("--cbr", default="8/768", help="channel uses per source dimension, such as 2/768")
    options.add_methods(sub, "--method", ["jscgc"])
    sub.add_argument(
        "--max-side",
        type=options.natural,
        default=0,
        help="first reduce the photo to this longer side in pixels; 0: keep",
    )
    sub.add_argument("--out", type=Path, default=Path("received"), metavar="DIR", help="where pictures and metrics go")
    options.add_sampling(sub, samples=True)
    options.add_precision(sub)


def run(a: argparse.Namespace) -> None:
    """Send, save the pictures and numbers, and print the latter.

    Raises:
        ValueError: no such photo, model, channel or CBR; nothing that was asked for can operate.
        OSError: pictures can't be written.
    """
    check_folder(a.out)
    from jscgc.channel.accounting import RATES, SOURCE_DIMENSIONS, parse_rate
    from jscgc.config import digest
    from jscgc.data.images import open_in_full, reduce, to_tensor
    from jscgc.device import resolve_device
    from jscgc.errors import CannotOperate
    from jscgc.method import METHODS
    from jscgc.systems.load import asked_systems, load_system, sender
    from jscgc.transmission import Request, conditions, scorers, send

    opened = open_in_full(a.photo)
    photo = to_tensor(reduce(opened.pixels, a.max_side))
    size = f"{photo.shape[2]}x{photo.shape[1]}"
    if (megapixels := photo[0].numel() / 1e6) > LARGE:
        log.warning(
            "%s: %s, %.0f megapixels: minutes and gigabytes on a processor; --max-side 1024 reduces it first",
            a.photo,
            size,
            megapixels,
        )
    device = resolve_device(a.device)
    names = asked_systems(a.method, a.models)
    metrics = scorers()
    for name in names:
        if lacks := METHODS[name].lacks():
            raise ValueError(f"{name} can't run here: {lacks}")
    request = Request(a.channel, a.snr_db, a.cbr, a.seed, a.samples, options.sample(a))
    arrivals: list[Arrival] = []
    cannot: dict[str, str] = {}
    for name in names:
        model = sender(name, a.models, a.channel, a.snr_db, a.cbr)
        system = load_system(model, a.models, device, a.precision)
        try:
            with printing.waiting(f"{name}: {size} pixels, sent and scored"):
                arrival = send(system, photo, a.photo.name, request, metrics, device)
            tuned = {} if model == name else {"model": model}
            arrivals.append(replace(arrival, row=arrival.row | tuned))
        except CannotOperate as error:
            if len(names) == 1:
                raise
            cannot[name] = str(error)
    if not arrivals:
        raise ValueError("; ".join(cannot.values()))
    common = conditions(str(a.photo), photo, request) | {"colour": asdict(opened.colour), "models": str(a.models)}
    rate = parse_rate(request.cbr, RATES)
    sent = [
        a.photo.name,
        sha256(a.photo),
        a.max_side,
        request.channel,
        request.snr_db,
        rate,
        request.seed,
        request.samples,
    ]
    common["transmission"] = digest(sent, request.sample, names, str(a.models.absolute()), a.precision)
    link = f"{spec.file_name(request.channel)}_{request.snr_db:g}dB_{rate}-{SOURCE_DIMENSIONS}"
    name = f"{a.photo.stem}_{link}" + (f"_seed{request.seed}" if request.seed else "")
    files = _save(_free(a.out / name, common["transmission"]), photo, arrivals, request, common)
    rows = [arrival.row for arrival in arrivals]
    document = {**common, "results": rows, "cannot_operate": cannot, "files": files}
    if a.json:
        emit(document)
    else:
        if opened.colour.said:
            print(f"colours: {opened.colour}")
        _print(document)


def _free(first: Path, transmission: str) -> Path:
    """What the files of a transmission begin with: as those of the same one before, else as no other's do."""
    from jscgc.files import read_json

    for number in count(1):
        place = first if number == 1 else first.with_name(f"{first.name}_{number}")
        numbers, picture = (place.with_name(f"{place.name}{end}") for end in (".json", "_side_by_side.png"))
        if not numbers.exists() and not picture.exists():
            break
        with suppress(ValueError, OSError, AttributeError):  # somebody else's
            if read_json(numbers).get("transmission") == transmission:
                break
    return place


def _save(
    place: Path, photo: Tensor, arrivals: Sequence[Arrival], request: Request, common: dict[str, Any]
) -> dict[str, str]:
    """Received pictures, a labelled side by side, and the numbers; of several samples also their mean and what differs."""
    from jscgc.data.images import save_png, to_photo
    from jscgc.files import write_json
    from jscgc.transmission import comparison, pictures

    received = {name: picture for arrival in arrivals for name, picture in pictures(arrival).items()}
    files = {name: f"{place}_{spec.file_name(name)}.png" for name in received}
    for name, picture in received.items():
        save_png(picture, Path(files[name]))
    rows = [arrival.row for arrival in arrivals]
    files["side_by_side"] = f"{place}_side_by_side.png"
    save_png(comparison(to_photo(photo), received, rows, request), Path(files["side_by_side"]))
    files["metrics"] = f"{place}.json"
    write_json(Path(files["metrics"]), {**common, "results": rows})
    return files


def _print(document: dict[str, Any]) -> None:
    from jscgc.metrics import info

    rows = document["results"]
    first = rows[0]
    print(
        f"{document['photo']}  {document['width']}x{document['height']}, {document['channel']}, SNR "
        f"{document['snr_db']:g} dB, k = {first['k']} channel uses ({first['data_symbols']} data symbols, overhead "
        f"{first['overhead']}) for n = {first['n']}: CBR {first['cbr_exact']:.5f}"
    )
    table = printing.table("metric", *[row["method"] for row in rows])
    for name in first["metrics"]:
        arrow = "↑" if info(name).direction == "higher" else "↓"
        table.add_row(f"{name} {arrow}", *[f"{row['metrics'][name]:.4g}" for row in rows])
        if any("samples" in row for row in rows):
            means = [f"{row['mean_metrics'][name]:.4g}" if "samples" in row else "" for row in rows]
            table.add_row(f"  of the samples' mean {arrow}", *means)
    if any("samples" in row for row in rows):
        ratios = [row.get("spread_over_error") for row in rows]
        table.add_row("samples' spread over error (exact: 1)", *["" if r is None else f"{r:.3g}" for r in ratios])
    for name in ("steps", "nfe", "encode_ms", "decode_ms"):
        table.add_row(name, *[f"{row[name]:g}" for row in rows])
    printing.show(table)
    print(f"guidance: {document['guidance']}")
    for row in rows:
        if "model" in row:
            print(f"{row['method']}: sent by {row['model']}, fine-tuned for this link")
        if "note" in row:
            print(f"{row['method']}: {row['note']}")
        if chosen := row.get("format"):
            text = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in chosen.items())
            lost = "; the channel decoder failed, mid-gray is shown" if row["failed"] else ""
            print(f"{row['method']}: {text}{lost}")
    for name, why in document["cannot_operate"].items():
        print(f"{name} cannot operate: {why}")
    print(f"models: {document['models']}")
    for name, path in document["files"].items():
        print(f"{name}: {path}")
