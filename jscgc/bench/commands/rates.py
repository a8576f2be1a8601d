"""`jscgc bench rates`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from jscgc import options
from jscgc.bench.benchmark import Benchmark, Measurement, count, machine


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--params", type=Path, default=Path("params.yaml"), help="codec, encoder and link sections")
    sub.add_argument("--data", type=Path, default=Path("data"), help="where `dvc repro extract_latents` wrote")
    sub.add_argument("--channel", type=options.channel, default="awgn", help="where to compare")
    sub.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[0.0, 10.0], help="decibels")
    sub.add_argument("--cbr", nargs="+", default=["2/768", "8/768"], help="such as 2/768 8/768")
    sub.add_argument("--steps", type=count, help="training steps of each model; default: params.yaml's")
    sub.add_argument("--universal-steps", type=count, help="of the model for all conditions; default: as the others")
    sub.add_argument(
        "--checkpoints",
        type=Path,
        metavar="FOLDER",
        help="keep the progress of the model for all conditions here, and go on",
    )
    sub.add_argument(
        "--cnn-width",
        nargs="*",
        type=count,
        default=[],
        help="also DeepJSCC's CNNs of these widths, one condition each",
    )
    sub.add_argument("--cnn-steps", type=count, help="of DeepJSCC's CNNs; default: as the others")
    sub.add_argument("--batch-size", type=count, help="of all trainings; default: params.yaml's")


def run(a: argparse.Namespace) -> Measurement:
    from jscgc.bench.rates import Condition, bench_rates
    from jscgc.channel.accounting import parse_rate
    from jscgc.channel.spec import canonical
    from jscgc.device import resolve_device
    from jscgc.params import load_params

    params = load_params(a.params)
    low, high = params.link.snr_db
    if outside := [snr for snr in a.snr_db if not low <= snr <= high]:
        raise ValueError(
            f"snr-db {outside[0]:g} is outside link.snr_db {low:g}..{high:g}, which the universal model knows"
        )
    if not (a.data / "latents" / "statistics.json").exists():
        raise ValueError(f"{a.data}/latents: no latents here; make them with `dvc repro extract_latents`")
    changes = {"steps": a.steps or params.codec.steps, "batch_size": a.batch_size or params.codec.batch_size}
    params = params.model_copy(update={"codec": params.codec.model_copy(update=changes)})
    rates = [parse_rate(cbr, tuple(params.link.rates)) for cbr in a.cbr]
    conditions = [Condition(canonical(a.channel), snr, rate) for snr in a.snr_db for rate in rates]
    longer = a.universal_steps or params.codec.steps
    rows = bench_rates(params, a.data / "latents", conditions, a.cnn_width, longer, a.checkpoints, a.cnn_steps)
    where = machine() | {"device": str(resolve_device(params.device)), "batch_size": params.codec.batch_size}
    return Measurement("one model for all against one for each", rows, lambda _: {"machine": where})


RATES = Benchmark(
    "rates",
    "train one codec for all conditions and one for each, and compare their errors (minutes each)",
    add_arguments,
    run,
    order=8,
)
