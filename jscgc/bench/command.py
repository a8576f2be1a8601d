"""`jscgc bench`: benchmarks by name, each declared in its own file in `commands`, and their tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from jscgc import printing
from jscgc.bench.benchmark import Benchmark, Measurement, count, machine
from jscgc.extras import need
from jscgc.machine import cores
from jscgc.parser import add_json, emit
from jscgc.registry import Registry

DESCRIPTION = "Measurements in one run, taking turns, medians of pairs."
BENCHMARKS: Registry[Benchmark] = Registry("benchmark", Benchmark, "jscgc.bench.commands", "jscgc.benchmarks")


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `bench` can be told: its benchmarks."""
    kinds = sub.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for benchmark in BENCHMARKS:
        added: argparse.ArgumentParser = kinds.add_parser(
            benchmark.name, help=benchmark.text, description=benchmark.text
        )
        add_json(added)
        benchmark.add_arguments(added)
        if benchmark.comparison:
            added.add_argument("--against", metavar="REV", help="a commit of this checkout, measured in turns with it")
            added.add_argument("--turns", type=count, default=3, help="processes of each, with --against")
            added.add_argument("--threads", type=count, default=cores(), help="of each, with --against")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print a table or JSON."""
    benchmark = BENCHMARKS[arguments.benchmark]
    need(f"bench {benchmark.name}", benchmark.needs)
    measurement = _against(benchmark, arguments) if getattr(arguments, "against", None) else benchmark.run(arguments)
    shown = list(measurement.rows)
    beside = measurement.beside(shown)
    if arguments.json:
        emit({"benchmark": benchmark.name, "rows": shown, **beside})
    else:
        _print(measurement.title, shown, beside)


def _against(benchmark: Benchmark, a: argparse.Namespace) -> Measurement:
    from jscgc.bench.against import bench_against

    assert benchmark.comparison is not None
    given = benchmark.comparison.arguments(a)
    rows = bench_against(benchmark.name, benchmark.comparison, given, a.against, a.turns, a.threads)
    where = machine() | {"threads": a.threads}
    return Measurement(f"{benchmark.name}, against {a.against}", rows, lambda _: {"machine": where})


def _print(title: str, shown: list[dict[str, Any]], beside: dict[str, Any]) -> None:
    console = printing.console()
    lines = [list(shown[0]), *([_cell(value) for value in row.values()] for row in shown)] if shown else [[]]

    def table(lines: Iterable[Iterable[str]]) -> Any:
        names, *others = lines
        made = printing.table(*names, title=title)
        for cells in others:
            made.add_row(*cells)
        return made

    def width(made: Any) -> int:
        return console.measure(made, options=console.options.update(width=10_000)).maximum

    made = table(lines)
    if shown and width(made) > console.width:
        # Few rows of many columns are turned: no name is folded into ten lines then.
        made = min(made, table(zip(*lines, strict=True)), key=width)
    console.print(made)
    for key, value in beside.items():
        print(f"{key}: {value}")


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
