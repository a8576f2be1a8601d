"""`jscgc bench`: arguments and tables. Heavy imports wait until a benchmark runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jscgc import options

DESCRIPTION = """\
Measurements in one run, taking turns, medians of pairs.

  jscgc bench scan                     the state-space scan beside mamba-ssm's reference and mambapy
  jscgc bench encoder                  latency, multiply-adds, memory from 256x256 to 4096x4096, beside DeepJSCC's CNN
  jscgc bench transmit --steps 8       where the time of a transmission goes, for three sizes of photo
  jscgc bench train                    training steps beside this machine's matrix products
  jscgc bench velocity --images val/   how well the velocity is learnt, time by time, and whether noise gets through
  jscgc bench ceiling --images val/    what the VAE alone leaves, beside the methods: metrics, and detail by size
  jscgc bench evaluate                 a part of the grid as a bare loop, and on Ray with one worker and two
  jscgc bench rates --snr-db 0 10      one model for every SNR and rate beside models trained for one (minutes each)
  jscgc bench published --images kodak HEVC with an ideal code and with 5G's, beside published figures (15 minutes)
"""


def add_parser(commands: Any, formatter: Any) -> None:
    """Add `bench` and its benchmarks to the command line."""
    bench = commands.add_parser(
        "bench",
        help="measure scan, encoder, transmission, training, velocity, the VAE's ceiling, rates, separation",
        description=DESCRIPTION,
        formatter_class=formatter,
    )
    kinds = bench.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")

    def kind(name: str, text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text, formatter_class=formatter)
        sub.add_argument("--json", action="store_true", help="one JSON document on stdout; logs go to stderr")
        return sub

    scan = kind("scan", "our scan beside its peers: time and memory, forward and with gradients")
    scan.add_argument("--lengths", nargs="+", type=_count, default=[256, 1024, 4096, 16384], help="steps")
    scan.add_argument("--batch", type=_count, default=1, help="sequences at once")
    scan.add_argument("--heads", type=_count, default=2, help="of 32 channels and a state of 16 each")
    scan.add_argument("--rounds", type=_count, default=5, help="runs of each, taking turns")
    scan.add_argument("--limit-s", type=_count, default=20, help="skip what would need longer for one run")

    encoder = kind("encoder", "the encoder of params.yaml beside DeepJSCC's CNN on the same latents")
    encoder.add_argument("--params", type=Path, default=Path("params.yaml"), help="whose encoder section is measured")
    encoder.add_argument(
        "--sides", nargs="+", type=_side, default=[256, 512, 1024, 2048, 4096], help="pixels, multiples of 16"
    )
    encoder.add_argument("--rate", type=_count, default=8, help="complex symbols per 1/16 position")
    encoder.add_argument("--cnn-width", type=_count, default=64, help="hidden channels of DeepJSCC's CNN")
    encoder.add_argument("--vae", action="store_true", help="also the whole transmitter, with an untrained nano VAE")
    encoder.add_argument("--rounds", type=_count, default=3, help="runs of each, taking turns")

    whole = kind("transmit", "the time of every part of a transmission, median and 95th percentile")
    options.add_models(whole)
    whole.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help="on latents; none: every trained one")
    whole.add_argument(
        "--sizes", nargs="+", type=_size, default=[(256, 256), (768, 512), (2048, 1365)], metavar="WxH", help="pixels"
    )
    whole.add_argument("--channel", type=options.channel, default="awgn", help="to send over")
    whole.add_argument("--snr-db", type=options.snr_db, default=5.0, help="decibels")
    whole.add_argument("--cbr", default="8/768", help="such as 2/768")
    whole.add_argument("--rounds", type=_count, default=10, help="transmissions of each, taking turns")
    options.add_sampling(whole)

    train = kind("train", "training steps of params.yaml's networks beside this machine's matrix products")
    train.add_argument("--params", type=Path, default=Path("params.yaml"), help="sizes, batches and what learns")
    train.add_argument("--rounds", type=_count, default=5, help="steps of each, taking turns")

    velocity = kind("velocity", "the error of generative receivers' estimates at each time of the sampler")
    options.add_models(velocity)
    velocity.add_argument("--images", nargs="+", type=Path, required=True, metavar="FOLDER", help="photographs")
    velocity.add_argument("--methods", nargs="+", default=["jscgc", "diffjscc"], metavar="METHOD")
    velocity.add_argument("--channel", type=options.channel, default="awgn", help="to send over")
    velocity.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[-5.0, 5.0], help="decibels")
    velocity.add_argument("--cbr", nargs="+", default=["2/768", "8/768"], help="such as 2/768 8/768")
    velocity.add_argument("--times", nargs="+", type=_time, default=[1.0, 0.75, 0.5, 0.25], help="1: noise alone")
    velocity.add_argument("--crop", type=_side, default=256, help="side of the crop from each centre, pixels")
    velocity.add_argument("--seed", type=_whole, default=0, help="of channel and noise")

    ceiling = kind("ceiling", "the VAE alone, which no receiver of its latents can exceed, beside methods")
    options.add_models(ceiling)
    ceiling.add_argument("--images", nargs="+", type=Path, required=True, metavar="FOLDER", help="photographs")
    ceiling.add_argument("--methods", nargs="+", default=["jscgc", "diffjscc"], metavar="METHOD", help="on latents")
    ceiling.add_argument("--channel", type=options.channel, default="awgn", help="to send over")
    ceiling.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[5.0], help="decibels")
    ceiling.add_argument("--cbr", nargs="+", default=["2/768", "8/768"], help="such as 2/768 8/768")
    options.add_sampling(ceiling)

    grid = kind("evaluate", "a part of the evaluation grid as a bare loop, and on Ray with one worker and more")
    options.add_models(grid)
    grid.add_argument("--methods", nargs="+", default=["mambajscc_psnr", "jscgc", "diffjscc"], metavar="METHOD")
    grid.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[0.0, 10.0], help="decibels")
    grid.add_argument("--cbr", nargs="+", default=["8/768"], help="such as 2/768 8/768")
    grid.add_argument("--draws", type=_count, default=2, help="of every condition")
    grid.add_argument("--information-points", type=_whole, default=6, help="of the first draw's estimate")
    grid.add_argument("--max-side", type=_whole, default=256, help="reduce the test photographs to it; 0: keep")
    grid.add_argument("--workers", nargs="+", type=_count, default=[1, 2], help="numbers of Ray workers")
    grid.add_argument("--rounds", type=_count, default=1, help="of everything, taking turns")

    rates = kind("rates", "train one codec for all conditions and one for each, and compare their errors")
    rates.add_argument("--params", type=Path, default=Path("params.yaml"), help="codec, encoder and link sections")
    rates.add_argument("--data", type=Path, default=Path("data"), help="where `dvc repro extract_latents` wrote")
    rates.add_argument("--channel", default="awgn", help="where to compare")
    rates.add_argument("--snr-db", nargs="+", type=float, default=[0.0, 10.0], help="decibels")
    rates.add_argument("--cbr", nargs="+", default=["2/768", "8/768"], help="such as 2/768 8/768")
    rates.add_argument(
        "--steps", type=_count, default=None, help="training steps of each model; default: params.yaml's"
    )
    rates.add_argument(
        "--universal-steps", type=_count, default=None, help="of the model for all conditions; default: as the others"
    )
    rates.add_argument(
        "--checkpoints",
        type=Path,
        metavar="FOLDER",
        help="keep the progress of the model for all conditions here, and go on",
    )
    rates.add_argument(
        "--cnn-width",
        nargs="*",
        type=_count,
        default=[],
        help="also DeepJSCC's CNNs of these widths, one condition each",
    )
    rates.add_argument("--cnn-steps", type=_count, default=None, help="of DeepJSCC's CNNs; default: as the others")
    rates.add_argument("--batch-size", type=_count, default=None, help="of all trainings; default: params.yaml's")

    published = kind("published", "separation beside published figures, and 5G's LDPC codes beside the theory")
    published.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="the 24 images of Kodak")
    published.add_argument("--workers", type=_whole, default=0, help="Ray workers; 0: one per core")
    published.add_argument("--out", type=Path, default=Path("published.csv"), metavar="CSV", help="the table")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print a table or JSON."""
    title, rows, summary = {
        "scan": _scan,
        "encoder": _encoder,
        "transmit": _transmit,
        "train": _train,
        "velocity": _velocity,
        "ceiling": _ceiling,
        "evaluate": _evaluate,
        "rates": _rates,
        "published": _published,
    }[arguments.benchmark](arguments)
    shown = list(rows)
    found = summary(shown)
    if arguments.json:
        print(json.dumps({"benchmark": arguments.benchmark, "rows": shown, **found}, indent=2, allow_nan=False))
    else:
        _print(title, shown, found)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return int(text)


def _whole(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not cross:
        raise argparse.ArgumentTypeError(f"{text!r} must be WIDTHxHEIGHT in pixels, such as 768x512")
    return _count(width), _count(height)


def _side(text: str) -> int:
    side = _count(text)
    if side % 16:
        raise argparse.ArgumentTypeError(f"{text} must be a multiple of 16 pixels")
    return side


def _time(text: str) -> float:
    t = options.number(text)
    if not 0 < t <= 1:
        raise argparse.ArgumentTypeError(f"{text} must be above 0 and at most 1")
    return t


def _machine() -> dict[str, Any]:
    import platform

    import torch

    from jscgc.training.loop import resolve_device

    return {
        "device": str(resolve_device("auto")),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _scan(a: argparse.Namespace) -> Any:
    from jscgc.bench.scan import bench_scan

    device = _machine()["device"]
    rows = bench_scan(a.lengths, batch=a.batch, heads=a.heads, rounds=a.rounds, limit_s=float(a.limit_s), device=device)
    return f"scan, batch {a.batch}, {a.heads} heads of 32 channels, state 16", rows, lambda _: {"machine": _machine()}


def _encoder(a: argparse.Namespace) -> Any:
    import torch

    from jscgc.bench.encoder import bench_encoder, exponent
    from jscgc.config import load_params
    from jscgc.latent.nano_vae import NanoVae

    params = load_params(a.params)
    vae = NanoVae(params.vae.channels, params.vae.width, params.vae.depth).eval() if a.vae else None
    device = _machine()["device"]
    rows = bench_encoder(
        params.encoder,
        a.sides,
        channels=params.vae.channels,
        factor=8,
        rate=a.rate,
        cnn_width=a.cnn_width,
        rounds=a.rounds,
        device=device,
        transmitter=None if vae is None else torch.no_grad()(vae.to(device).encode),
    )

    def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
        exponents = {}
        for name in dict.fromkeys(row["encoder"] for row in found):
            own = [row for row in found if row["encoder"] == name]
            if len(own) > 1:
                exponents[name] = exponent([row["side"] for row in own], [row["ms"] for row in own])
        return {"time_exponent_in_pixels": exponents, "machine": _machine()}

    return "encoder", rows, summary


def _transmit(a: argparse.Namespace) -> Any:
    from jscgc.bench.transmission import bench_transmission
    from jscgc.channel.accounting import parse_rate
    from jscgc.systems.base import Link
    from jscgc.systems.latent import LatentSystem
    from jscgc.systems.store import load_system, trained_systems
    from jscgc.training.loop import resolve_device

    device = resolve_device(a.device)
    names = a.methods or trained_systems(a.models)
    systems = {name: load_system(name, a.models, device) for name in dict.fromkeys(names)}
    if not systems:
        raise ValueError(f"{a.models}: no trained models here; name the place with --models")
    learned = {name: system for name, system in systems.items() if isinstance(system, LatentSystem)}
    if other := [name for name in systems if name not in learned]:
        raise ValueError(f"{other[0]} is no learned method; its times are in `jscgc transmit`")
    rate = parse_rate(a.cbr, tuple(set.intersection(*(set(system.rates) for system in learned.values()))))
    link = Link(a.channel, a.snr_db, rate)
    rows = bench_transmission(learned, a.sizes, link, options.sample(a), a.rounds, str(device))
    machine = _machine() | {"device": str(device)}
    return f"transmission, {a.channel}, CBR {a.cbr}", rows, lambda _: {"machine": machine}


def _train(a: argparse.Namespace) -> Any:
    from jscgc.bench.training import bench_training
    from jscgc.config import load_params
    from jscgc.training.loop import resolve_device

    params = load_params(a.params)
    if params.vae.source != "nano":
        raise ValueError(f"{a.params}: vae.source is {params.vae.source}; nano's networks are what is measured")
    device = str(resolve_device(params.device))
    rows = bench_training(params, a.rounds, device)
    return f"training steps, profile {params.profile}", rows, lambda _: {"machine": _machine() | {"device": device}}


def _on_air(a: argparse.Namespace, device: Any) -> tuple[dict[str, Any], list[Any]]:
    """The methods asked for, and every CBR with every SNR as links that all of them can send."""
    from jscgc.channel.accounting import parse_rate
    from jscgc.systems.base import Link
    from jscgc.systems.store import load_system

    systems = {name: load_system(name, a.models, device) for name in dict.fromkeys(a.methods)}
    common = tuple(set.intersection(*(set(system.rates) for system in systems.values())))
    return systems, [Link(a.channel, snr, parse_rate(cbr, common)) for cbr in a.cbr for snr in a.snr_db]


def _velocity(a: argparse.Namespace) -> Any:
    import torch

    from jscgc.bench.velocity import bench_velocity
    from jscgc.data.crops import centre_crop
    from jscgc.data.images import find_photos, open_photo, to_tensor

    device = _machine()["device"]
    systems, links = _on_air(a, device)
    photos = torch.stack(
        [to_tensor(centre_crop(open_photo(path), a.crop, str(path))) for path in find_photos(a.images)]
    )
    rows = bench_velocity(systems, photos.to(device), links, a.times, a.seed)
    measured = {"photographs": len(photos), "crop": a.crop, "seed": a.seed, "machine": _machine()}
    return "velocity", rows, lambda _: measured


def _ceiling(a: argparse.Namespace) -> Any:
    from jscgc.bench.ceiling import bench_ceiling
    from jscgc.data.images import find_photos, open_photo, to_tensor
    from jscgc.training.loop import resolve_device

    device = resolve_device(a.device)
    systems, links = _on_air(a, device)
    paths = find_photos(a.images)
    distinct = len({path.name for path in paths}) == len(paths)
    photos = {path.name if distinct else str(path): to_tensor(open_photo(path)).to(device) for path in paths}
    rows = bench_ceiling(systems, photos, links, options.sample(a), a.seed)
    measured = {"photographs": len(photos), "seed": a.seed, "machine": _machine() | {"device": str(device)}}
    return "ceiling", rows, lambda _: measured


def _evaluate(a: argparse.Namespace) -> Any:
    from jscgc.bench.evaluating import bench_evaluation
    from jscgc.channel.accounting import parse_rate
    from jscgc.config import EvaluateParams, SampleParams
    from jscgc.data.builtin import builtin_photos
    from jscgc.evaluation.grid import Setup, plan
    from jscgc.evaluation.protocol import Protocol
    from jscgc.systems.store import load_system

    common = set.intersection(*(set(load_system(name, a.models).rates) for name in a.methods))
    params = EvaluateParams(
        methods=a.methods,
        channels=["awgn"],
        snr_db=a.snr_db,
        rates=[parse_rate(cbr, tuple(common)) for cbr in a.cbr],
        seeds=a.draws,
        patch=64,
        information_points=a.information_points,
    )
    photos = [(photo.name, photo.path) for photo in builtin_photos() if photo.split == "test"]
    protocol = Protocol.of(photos, params, SampleParams(steps=4, guidance=1.5), seed=0, max_side=a.max_side)
    metrics = tuple(metric.name for metric in protocol.metrics)
    setup = Setup(a.models.absolute(), tuple(photos), a.max_side, protocol.sample, protocol.patch, "cpu", metrics)
    names = [name for name, _ in photos]
    jobs = plan(
        a.methods,
        protocol.channels,
        protocol.snr_db,
        protocol.rates,
        names,
        protocol.seeds,
        0,
        False,
        information_points=protocol.information_points,
    )
    rows = bench_evaluation(setup, protocol, jobs, a.workers, a.rounds)
    return "evaluation grid, one thread a worker", rows, lambda _: {"machine": _machine()}


def _rates(a: argparse.Namespace) -> Any:
    from jscgc.bench.rates import Condition, bench_rates
    from jscgc.channel.accounting import parse_rate
    from jscgc.channel.spec import canonical
    from jscgc.config import load_params
    from jscgc.training.loop import resolve_device

    params = load_params(a.params)
    low, high = params.link.snr_db
    if outside := [snr for snr in a.snr_db if not low <= snr <= high]:
        raise ValueError(
            f"snr-db {outside[0]:g} is outside link.snr_db {low:g}..{high:g}, which the universal model knows"
        )
    if not (a.data / "latents" / "latents.safetensors").exists():
        raise ValueError(f"{a.data}/latents: no latents here; make them with `dvc repro extract_latents`")
    changes = {"steps": a.steps or params.codec.steps, "batch_size": a.batch_size or params.codec.batch_size}
    params = params.model_copy(update={"codec": params.codec.model_copy(update=changes)})
    rates = [parse_rate(cbr, tuple(params.link.rates)) for cbr in a.cbr]
    conditions = [Condition(canonical(a.channel), snr, rate) for snr in a.snr_db for rate in rates]
    longer = a.universal_steps or params.codec.steps
    rows = bench_rates(params, a.data / "latents", conditions, a.cnn_width, longer, a.checkpoints, a.cnn_steps)
    machine = _machine() | {"device": str(resolve_device(params.device)), "batch_size": params.codec.batch_size}
    return "one model for all against one for each", rows, lambda _: {"machine": machine}


def _published(a: argparse.Namespace) -> Any:
    from jscgc.bench.published import bench_published, write_table
    from jscgc.data import find_photos

    photos = find_photos([a.images])
    if not photos:
        raise ValueError(f"{a.images}: no photographs here")

    def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
        write_table(found, a.out)
        beyond = [f"{row['figure']}, {row['setting']}" for row in found if abs(row["difference"]) > row["tolerance"]]
        return {"beyond_tolerance": beyond, "out": str(a.out)}

    return "beside published figures", bench_published(photos, a.workers), summary


def _print(title: str, rows: Iterable[dict[str, Any]], found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown, console = list(rows), Console()
    lines = [list(shown[0]), *(list(_cells(row)) for row in shown)] if shown else [[]]

    def table(lines: Iterable[Iterable[str]]) -> Table:
        made = Table(title=title, title_justify="left")
        names, *others = lines
        for name in names:
            made.add_column(name, overflow="fold")
        for cells in others:
            made.add_row(*cells)
        return made

    def width(made: Table) -> int:
        return console.measure(made, options=console.options.update(width=10_000)).maximum

    made = table(lines)
    if shown and width(made) > console.width:
        # Few rows of many columns are turned: no name is folded into ten lines then.
        made = min(made, table(zip(*lines, strict=True)), key=width)
    console.print(made)
    for key, value in found.items():
        console.print(f"{key}: {value}", markup=False)


def _cells(row: dict[str, Any]) -> Iterator[str]:
    for value in row.values():
        if value is None:
            yield ""
        else:
            yield f"{value:.4g}" if isinstance(value, float) else str(value)
