"""What a user named is printed as it is: in lines, tables and bars, and where the encoding has no letters for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jscgc import printing
from jscgc.cluster.progress import Bar
from jscgc.data.progress import progress

NAMES = ["IMG [final].png", "photos[/red].png", "[bold]a.png", ":smile:.png", "[link=x]", "a\\[b].png"]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_names_as_they_are(name, capsys):
    made = printing.table("metric", name, title=f"of {name}")
    made.add_row("cell", f"{name}!")
    printing.show(made)
    said = capsys.readouterr().out
    assert f"of {name}" in said and said.count(name) == 3 and f"{name}!" in said


def test_a_long_name_is_folded_and_not_cut(capsys):
    name = "/".join(f"folder{number}" for number in range(40))
    made = printing.table("model", "folder")
    made.add_row("jscgc", name)
    printing.show(made)
    said = capsys.readouterr().out
    assert "…" not in said
    folded = "".join(line.split("│")[2].strip() for line in said.splitlines() if "│" in line)
    assert folded == name


@pytest.mark.parametrize("name", NAMES)
def test_a_bar_has_names_as_they_are(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with Bar(name, [1], type) as bar:
        bar.advance(1, 0.1, 1)
    list(progress(range(60), name))
    assert capsys.readouterr().err.count(name) == 2


def test_a_figure_takes_no_name_for_a_formula():
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from jscgc.report.paper import RC

    with mpl.rc_context(RC):
        figure = Figure()
        figure.text(0, 0, "set$_$x")
        figure.draw_without_rendering()  # as a formula this is an error


def test_a_name_that_the_encoding_cannot_say_ends_no_command(tmp_path: Path):
    """`info` names the folder it was given."""
    folder = os.fsencode(tmp_path) + b"/mod\xe8les"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "jscgc.cli", "info", "--models", folder],
        capture_output=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"mod\\udce8les" in done.stdout
