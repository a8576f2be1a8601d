"""`jscgc bench NAME --against REV`: the same benchmark in another revision's sources, taking turns with these."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from jscgc.bench.benchmark import Comparison, Row

ROOT = Path(__file__).parents[2]
COMMAND_LINE = f"{__name__.partition('.')[0]}.cli"
"""A module of either tree, which is run and not imported here."""


@dataclass(frozen=True)
class Tree:
    """Sources in a folder, run by this very Python with so many threads."""

    folder: Path
    threads: int

    def rows(self, name: str, arguments: Sequence[str]) -> list[Row]:
        """What its `jscgc bench NAME` measures, with its own params.yaml.

        Raises:
            ValueError: it fails; its last line says why.
        """
        environment = os.environ | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": str(self.threads)}
        command = [sys.executable, "-m", COMMAND_LINE, "bench", name, "--json", *arguments]
        run = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
        )
        if run.returncode:
            raise ValueError(f"{self.folder}: `jscgc bench {name}` fails there: {_last_line(run.stderr)}")
        rows: list[Row] = json.loads(run.stdout)["rows"]
        return rows


def bench_against(
    name: str, comparison: Comparison, arguments: Sequence[str], revision: str, turns: int, threads: int
) -> Iterator[Row]:
    """Rows of the columns that name a row, `then` and `now` (medians of the measured column over the turns) and `faster` (median
    of then by now in the same turn: whatever else slows the machine down meets both).

    Args:
        name: of the benchmark, which both revisions have.
        arguments: for both.
        revision: a commit of this checkout, as git names it; its own params.yaml is measured.
        turns: processes of each, one after the other.
        threads: of each process.

    Raises:
        ValueError: not a git checkout, no such commit, or the benchmark fails in one of them.
    """
    with tempfile.TemporaryDirectory(prefix="jscgc-against-") as folder:
        trees = _sources(revision, Path(folder), threads), Tree(ROOT, threads)
        measured = [[tree.rows(name, arguments) for tree in trees] for _ in range(turns)]
    times = [[{comparison.key(row): float(row[comparison.time]) for row in rows} for rows in turn] for turn in measured]
    for key in times[0][1]:
        if all(key in rows for turn in times for rows in turn):
            then, now = ([turn[side][key] for turn in times] for side in (0, 1))
            yield {
                **dict(zip(comparison.names, key, strict=True)),
                f"then_{comparison.time}": median(then),
                f"now_{comparison.time}": median(now),
                "faster": median(before / after for before, after in zip(then, now, strict=True)),
            }


def _sources(revision: str, folder: Path, threads: int) -> Tree:
    command = ["git", "-C", str(ROOT), "archive", revision, "--", "jscgc", "params.yaml"]
    try:
        packed = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise ValueError("--against needs git") from None
    except subprocess.CalledProcessError as error:
        said = _last_line(error.stderr.decode(errors="replace"))
        raise ValueError(f"--against {revision}: not a commit of {ROOT}: {said}") from None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return Tree(folder, threads)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "it says nothing"
