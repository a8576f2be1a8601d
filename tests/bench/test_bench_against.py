"""`--against REV`: two revisions of a checkout, measured in turns."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import pytest

from jscgc.bench import against
from jscgc.bench.command import BENCHMARKS
from jscgc.cli import main

FAKE = """
import json, os, sys
from pathlib import Path
log = Path({log!r})
with log.open("a") as file:
    print(json.dumps([{name!r}, sys.argv[1:], os.environ["OMP_NUM_THREADS"], Path("params.yaml").read_text()]), file=file)
turn = len(log.read_text().splitlines())
print(json.dumps({{"rows": [{{"network": n, "ms": {ms} * turn}} for n in {networks}]}}))
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose first commit takes 30 ms times the number of runs so far, and whose working tree takes 10."""
    root = tmp_path / "checkout"
    (root / "jscgc").mkdir(parents=True)

    def write(name: str, ms: int, networks: list[str]) -> None:
        text = FAKE.format(log=str(tmp_path / "log"), name=name, ms=ms, networks=networks)
        (root / "jscgc" / "cli.py").write_text(text)
        (root / "jscgc" / "__init__.py").touch()
        (root / "params.yaml").write_text(name)

    write("then", 30, ["flow", "gone"])
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    write("now", 10, ["flow", "added"])
    monkeypatch.setattr(against, "ROOT", root)
    return root


def test_revisions_take_turns_and_are_compared_by_rows(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "train", "--against", "HEAD", "--turns", "3", "--threads", "1", "--rounds", "7", "--json"]
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    # Runs 1, 3, 5 take 30, 90, 150 ms, runs 2, 4, 6 take 20, 40, 60: neighbours are compared.
    assert document["rows"] == [{"network": "flow", "then_ms": 90, "now_ms": 40, "faster": 2.25}]
    assert document["machine"]["threads"] == 1
    runs = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    given = ["bench", "train", "--json", "--rounds", "7"]
    assert runs == [[name, given, "1", name] for _ in range(3) for name in ("then", "now")]


def test_what_can_be_compared_gives_arguments_that_its_command_knows() -> None:
    compared = [benchmark for benchmark in BENCHMARKS if benchmark.comparison]
    assert {benchmark.name for benchmark in compared} >= {"train", "transmit"}
    for benchmark in compared:
        parser = argparse.ArgumentParser()
        benchmark.add_arguments(parser)
        defaults = parser.parse_args([])
        assert benchmark.comparison is not None
        assert vars(parser.parse_args(benchmark.comparison.arguments(defaults))) == vars(defaults)


def test_mistakes_are_one_line(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "train", "--against", "nowhere"]) == 1
    said = capsys.readouterr().err.strip()
    assert "nowhere: not a commit of" in said and "\n" not in said
    (checkout / "jscgc" / "cli.py").write_text("raise SystemExit('it broke')")
    assert main(["bench", "train", "--against", "HEAD", "--turns", "1"]) == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith("`jscgc bench train` fails there: it broke") and "\n" not in said
