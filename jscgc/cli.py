"""The command line: jscgc transmit | demo | evaluate | sweep | report | bench | weights | theory | plan | info.

Heavy imports wait until a command runs, so --help is quick.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc import __version__, options
from jscgc.bench import command as bench
from jscgc.channel import spec
from jscgc.demo import command as demo
from jscgc.evaluation import command as evaluation
from jscgc.methods import CLASSICAL, SYSTEMS
from jscgc.metrics import weights_command
from jscgc.options import Help
from jscgc.report import command as report
from jscgc.sweep import command as sweeping

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.transmission import Arrival, Request

TRANSMIT = """\
Send a photo through a noisy channel and save what is received.

  jscgc transmit photo.jpg --snr-db 5 --cbr 8/768
  jscgc transmit photo.jpg --channel rayleigh_fast --method all --out received/
  jscgc transmit photo.jpg --method jscgc hevc_ldpc    # beside HEVC with 5G's channel code
  jscgc transmit photo.jpg --samples 8                 # what do the samples agree on, and what is made up?
  jscgc transmit photo.jpg --channel tdl_c:delay_spread_ns=300,csi=lmmse
"""
THEORY = """\
Gaussian sources, linear encoders, AWGN: what is known in closed form beside what the code that trains and samples measures, in
about half a minute. Status 1 if a statement does not hold.
"""
PLAN = """\
Parameters, memory and operations of every part, built on the meta device: no weights are downloaded or allocated.

  jscgc plan                                          the configuration in params.yaml
  jscgc plan --profile pipeline/profiles/paper.yaml   the paper's, beside its Table I
"""
INFO = (
    "What is trained, which channels and metrics can run and why the others can't, which devices and kernels are used."
)


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser("jscgc", description="Joint source-channel-generation coding of photographs.")
    parser.add_argument("--version", action="version", version=f"jscgc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, short: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=short, description=text, formatter_class=Help)
        sub.add_argument("--json", action="store_true", help="one JSON document on stdout; logs go to stderr")
        options.add_models(sub)
        return sub

    send = command("transmit", "send one photo through the channel", TRANSMIT)
    send.add_argument("photo", type=Path, help="jpg, png, webp, ...; any size")
    send.add_argument("--snr-db", type=options.snr_db, default=5.0, help="average signal-to-noise ratio in decibels")
    send.add_argument("--channel", type=options.channel, default="awgn", help=options.CHANNEL_HELP)
    send.add_argument("--cbr", default="8/768", help="channel uses per source dimension, such as 2/768")
    send.add_argument(
        "--method",
        nargs="+",
        type=options.choice("method", (*SYSTEMS, "all")),
        default=["jscgc"],
        help=f"{', '.join(SYSTEMS)}; or all: every trained one",
    )
    send.add_argument(
        "--max-side",
        type=options.natural,
        default=0,
        help="first reduce the photo to this longer side in pixels; 0: keep",
    )
    send.add_argument("--out", type=Path, default=Path("received"), metavar="DIR", help="where pictures and metrics go")
    send.add_argument(
        "--samples",
        type=options.count,
        default=1,
        metavar="N",
        help="draw N images for the one received signal; from 2 also their mean and the uncertainty map",
    )
    options.add_sampling(send)

    demo.add_parser(commands, Help)
    evaluation.add_parser(commands, Help)
    sweeping.add_parser(commands, Help)
    report.add_parser(commands, Help)
    bench.add_parser(commands, Help)
    weights_command.add_parser(commands, Help)
    checks = commands.add_parser(
        "theory", help="check the theory through the code", description=THEORY, formatter_class=Help
    )
    checks.add_argument("--json", action="store_true", help="one JSON document on stdout; logs go to stderr")
    costs = commands.add_parser("plan", help="what a configuration costs", description=PLAN, formatter_class=Help)
    costs.add_argument("--params", type=Path, default=Path("params.yaml"), help="the configuration")
    costs.add_argument(
        "--profile", type=Path, metavar="YAML", help="laid over it, such as pipeline/profiles/paper.yaml"
    )
    costs.add_argument(
        "--side", type=options.count, default=256, help="of the square photo that operations are counted for, pixels"
    )
    costs.add_argument("--json", action="store_true", help="one JSON document on stdout; logs go to stderr")
    command("info", "what is trained and what can run here", INFO)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake is one line on stderr and status 1 (2 for the arguments themselves)."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="jscgc: %(message)s", stream=sys.stderr)
    try:
        {
            "transmit": _transmit,
            "demo": demo.run,
            "evaluate": _evaluate,
            "sweep": sweeping.run,
            "report": _report,
            "bench": bench.run,
            "weights": weights_command.run,
            "theory": _theory,
            "plan": _plan,
            "info": _info,
        }[arguments.command](arguments)
    except KeyboardInterrupt as interrupt:
        print(f"jscgc: interrupted; {interrupt or 'nothing was written'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except (ValueError, OSError) as error:
        if os.environ.get("JSCGC_TRACEBACK"):
            raise
        print(f"jscgc: {error}", file=sys.stderr)
        return 1
    return 0


def _emit(document: Any) -> None:
    print(json.dumps(document, indent=2, allow_nan=False))


def _transmit(a: argparse.Namespace) -> None:
    from jscgc.classical.codecs import CannotOperate
    from jscgc.data import open_photo, reduce, to_tensor
    from jscgc.evaluation.grid import pair_names
    from jscgc.metrics import pair_metric
    from jscgc.systems.store import asked_systems, load_system
    from jscgc.training.loop import resolve_device
    from jscgc.transmission import Request, conditions, send

    photo = to_tensor(reduce(open_photo(a.photo), a.max_side))
    device = resolve_device(a.device)
    names = asked_systems(a.method, a.models)
    metrics = [pair_metric(name) for name in pair_names()]
    request = Request(a.channel, a.snr_db, a.cbr, a.seed, a.samples, options.sample(a))
    arrivals: list[Arrival] = []
    cannot: dict[str, str] = {}
    for name in names:
        system = load_system(name, a.models, device)
        try:
            arrivals.append(send(system, photo, a.photo.name, request, metrics, device))
        except CannotOperate as error:
            if len(names) == 1:
                raise
            cannot[name] = str(error)
    if not arrivals:
        raise ValueError("; ".join(cannot.values()))
    common = conditions(str(a.photo), photo, request) | {"models": str(a.models)}
    files = _save(a.out, a.photo.stem, photo, arrivals, request, common)
    rows = [arrival.row for arrival in arrivals]
    document = {**common, "results": rows, "cannot_operate": cannot, "files": files}
    if a.json:
        _emit(document)
    else:
        _print_transmission(document)


def _save(
    out: Path, stem: str, photo: Tensor, arrivals: Sequence[Arrival], request: Request, common: dict[str, Any]
) -> dict[str, str]:
    """Received pictures, a labelled side by side, and the numbers; of several samples also their mean and what differs."""
    from jscgc.data import save_png, to_photo
    from jscgc.files import write_json
    from jscgc.transmission import comparison, pictures

    tag = f"{stem}_{spec.file_name(request.channel)}_{request.snr_db:g}dB_{request.cbr.replace('/', '-')}"
    found = {name: picture for arrival in arrivals for name, picture in pictures(arrival).items()}
    files = {name: str(out / f"{tag}_{name}.png") for name in found}
    for name, picture in found.items():
        save_png(picture, Path(files[name]))
    rows = [arrival.row for arrival in arrivals]
    files["side_by_side"] = str(out / f"{tag}_side_by_side.png")
    save_png(comparison(to_photo(photo), found, rows, request), Path(files["side_by_side"]))
    files["metrics"] = str(out / f"{tag}.json")
    write_json(Path(files["metrics"]), {**common, "results": rows})
    return files


def _print_transmission(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from jscgc.metrics import info

    rows = document["results"]
    first = rows[0]
    console = Console()
    console.print(
        f"{document['photo']}  {document['width']}x{document['height']}, {document['channel']}, SNR "
        f"{document['snr_db']:g} dB, k = {first['k']} channel uses ({first['data_symbols']} data symbols, overhead "
        f"{first['overhead']}) for n = {first['n']}: CBR {first['cbr_exact']:.5f}"
    )
    table = Table("metric", *[row["method"] for row in rows])
    for name in first["metrics"]:
        arrow = "↑" if info(name).direction == "higher" else "↓"
        table.add_row(f"{name} {arrow}", *[f"{row['metrics'][name]:.4g}" for row in rows])
        if any("samples" in row for row in rows):
            means = [f"{row['mean_metrics'][name]:.4g}" if "samples" in row else "" for row in rows]
            table.add_row(f"  of the samples' mean {arrow}", *means)
    for name in ("nfe", "encode_ms", "decode_ms"):
        table.add_row(name, *[f"{row[name]:g}" for row in rows])
    console.print(table)
    for row in rows:
        if chosen := row.get("format"):
            text = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in chosen.items())
            lost = "; the channel decoder failed, mid-gray is shown" if row["failed"] else ""
            console.print(f"{row['method']}: {text}{lost}", markup=False)
    for name, why in document["cannot_operate"].items():
        console.print(f"{name} cannot operate: {why}", markup=False)
    console.print(f"models: {document['models']}", soft_wrap=True, markup=False)
    for name, path in document["files"].items():
        console.print(f"{name}: {path}", soft_wrap=True)


def _evaluate(a: argparse.Namespace) -> None:
    from jscgc.report import print_headline, summarise

    done = evaluation.run(a)
    summary = summarise(done.table)
    page = None
    if a.report:
        # Another run of it makes the same page, with notes and a title of one's own.
        page = report.run(argparse.Namespace(folder=a.report, note=[], params=None, title="evaluation"))["files"][0]
    if a.json:
        jobs = {"jobs": done.jobs, "stored": done.stored}
        found = {"summary": summary["rows"], "paired": summary["paired"], "bd_rate": summary["bd_rate"]}
        photos = len(done.protocol.images)
        _emit(
            {
                "out": str(evaluation.place(a)),
                "photos": photos,
                "protocol": done.protocol.hash,
                **jobs,
                **found,
                "timing": done.timing,
            }
        )
        return
    print_headline(summary)
    print(f"{len(done.table)} rows in {evaluation.place(a)}, protocol {done.protocol.hash}")
    if page:
        print(f"report: {page}")


def _report(a: argparse.Namespace) -> None:
    made = report.run(a)
    if a.json:
        _emit(made)
    else:
        print("\n".join(made["files"]))


def _theory(a: argparse.Namespace) -> None:
    from jscgc.theory import run

    found = run()
    missed = [row["check"] for row in found["rows"] if not row["ok"]]
    if a.json:
        _emit(found)
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("statement", "theory", "measured", "tolerance", "holds")
        for row in found["rows"]:
            sign = "≤ " if row["kind"] == "at most" else ""
            numbers = [f"{sign}{row['expected']:.5g}", f"{row['measured']:.5g}", f"{row['tolerance']:.2g}"]
            table.add_row(row["check"], *numbers, "yes" if row["ok"] else "NO")
        Console().print(table)
    if missed:
        raise ValueError(f"{len(missed)} of {len(found['rows'])} statements do not hold: {'; '.join(missed)}")


def _plan(a: argparse.Namespace) -> None:
    from jscgc.config import load_params
    from jscgc.plan import plan

    found = plan(load_params(a.params, a.profile), a.side, a.side)
    if a.json:
        _emit(found)
        return
    from rich.console import Console
    from rich.table import Table

    title = f"{found['width']}x{found['height']} pixels, rate {found['rate']}/768; GFLOPs of one forward pass"
    table = Table("part", "parameters (M)", "trained (M)", "weights (MB)", "training state (MB)", "GFLOPs", title=title)
    for row in [*found["parts"], {"part": "all", **found["total"]}]:
        numbers = (row["parameters"] / 1e6, row["trained"] / 1e6, row["weights_mb"], row["training_mb"], row["gflops"])
        table.add_row(row["part"], *[f"{value:,.1f}" for value in numbers])
    Console().print(table)
    codecs = Table(
        "codec", "parameters (M)", "transmitter GFLOPs", "receiver GFLOPs", title="with the VAE, where on latents"
    )
    for row in found["codecs"]:
        shown = (row["parameters"] / 1e6, row["transmitter_gflops"], row["receiver_gflops"])
        codecs.add_row(row["method"], *[f"{value:,.2f}" for value in shown])
    Console().print(codecs)
    print(f"The paper's Table I: {found['published_parameters'] / 1e6:,.0f} M parameters in all.")


def _lacks(method: str, models: Path, sionna: str | None) -> str | None:
    """What a method needs and has not; None if it can run."""
    if method in CLASSICAL:
        return sionna if method.endswith("_ldpc") else None
    return None if (models / method / "model.json").exists() else "not trained here"


def _info(a: argparse.Namespace) -> None:
    import torch

    from jscgc.channel.multipath import missing
    from jscgc.encoder.scan import implementation
    from jscgc.files import read_json
    from jscgc.metrics import available
    from jscgc.training.loop import resolve_device

    device = resolve_device("auto")
    scan, why = implementation(device)
    models = []
    for folder in sorted(p.parent for p in a.models.glob("*/model.json")):
        description = read_json(folder / "model.json")
        rates = description.get("architecture", {}).get("rates")
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        models.append(
            {"name": folder.name, "folder": str(folder), "mb": round(size, 1), "cbr": [f"{r}/768" for r in rates or []]}
        )
    document: dict[str, Any] = {
        "version": __version__,
        "torch": torch.__version__,
        "device": str(device),
        "scan": {"implementation": scan, "why": why},
        "models": models,
        "methods": [{"name": name, "missing": _lacks(name, a.models, missing())} for name in SYSTEMS],
        "channels": [
            {
                "name": name,
                "options": spec.describe(name),
                "missing": missing() if spec.parse_channel(name).multipath else None,
            }
            for name in spec.NAMES
        ],
        "channel_options": spec.meanings(),
        "metrics": [
            {"name": name, "available": missing is None, "missing": missing} for name, missing in available().items()
        ],
    }
    if a.json:
        _emit(document)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"jscgc {__version__}, torch {torch.__version__}, device {device}")
    console.print(f"scan: {scan} ({why})", markup=False)
    if models:
        table = Table("trained model", "MB", "CBR", "folder")
        for model in models:
            table.add_row(model["name"], f"{model['mb']:g}", " ".join(model["cbr"]), model["folder"])
        console.print(table)
    else:
        console.print(f"no trained models in {a.models}: `make reproduce` trains them")
    table = Table("method", "can run")
    for method in document["methods"]:
        table.add_row(method["name"], f"no: {method['missing']}" if method["missing"] else "yes")
    console.print(table)
    table = Table("channel", "options with defaults and ranges", "available")
    for channel in document["channels"]:
        table.add_row(channel["name"], channel["options"], f"no: {channel['missing']}" if channel["missing"] else "yes")
    console.print(table)
    for option, meaning in document["channel_options"].items():
        console.print(f"  {option}: {meaning}", markup=False)
    table = Table("metric", "available")
    for metric in document["metrics"]:
        table.add_row(metric["name"], "yes" if metric["available"] else f"no: {metric['missing']}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
