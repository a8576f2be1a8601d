"""`~` is the user's home in every path of every command, of the scripts, and of params.yaml."""

from __future__ import annotations

import argparse
import ast
import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from jscgc.cli import COMMANDS, build_parser, main
from jscgc.config import UserPath
from jscgc.generator.params import BackboneParams
from jscgc.options import models_folder
from jscgc.params import Params
from jscgc.registry import PLUGINS, add_plugin

ROOT = Path(__file__).parents[1]
PATH_NAMES = ("_path", "store")
"""Endings of keys of params.yaml that are paths. Folders of photographs are kept as they are written: a manifest names them."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    for name, seed in (("a.png", 0), ("b.png", 1)):
        pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    return tmp_path


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


def options() -> Iterator[tuple[str, argparse.ArgumentParser, argparse.Action]]:
    for name, command in COMMANDS.items():
        (top,) = [parser for parser in parsers(build_parser()) if parser.prog == f"jscgc {name}"]
        command.fill(top)
        for parser in parsers(top):
            yield from ((parser.prog, parser, action) for action in parser._actions if action.type is Path)


def test_every_path_option_of_every_command_knows_home(home: Path):
    found = list(options())
    said = {f"{prog} {(action.option_strings or [action.dest])[0]}" for prog, _, action in found}
    assert {
        "jscgc evaluate --images",
        "jscgc transmit photo",
        "jscgc weights import folder",
        "jscgc bench published --out",
    } <= said
    for prog, parser, action in found:
        assert parser._get_value(action, "~/x") == home / "x", (prog, action.dest)


def test_the_scripts_say_so_too():
    for path in sorted((ROOT / "pipeline").glob("*.py")):
        types = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.keyword) and node.arg == "type"
        ]
        assert "Path" not in map(ast.unparse, (node.value for node in types)), path


def sections(model: type[BaseModel], where: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type | UnionType)]
        for one in inner:
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from sections(one, f"{where}{name}.")
        yield f"{where}{name}", field


def test_every_path_of_params_yaml_is_of_the_one_type():
    expand = get_args(UserPath)[1]
    found = {name: field for name, field in sections(Params) if name.endswith(PATH_NAMES)}
    assert {"vae.pretrained_path", "generator.pretrained_path", "generator.caption_path", "evaluate.store"} <= set(
        found
    )
    assert "jscgc.adapter.controlnet_path" in found
    assert all(expand in field.metadata for field in found.values())


def test_a_hub_id_stays_what_it_is(home: Path, params: Params):
    backbone = params.generator.model_dump() | {"source": "pretrained"}
    del backbone["train"]
    known = {name: value for name, value in backbone.items() if name in BackboneParams.model_fields}
    for given, read in (("~/model", str(home / "model")), ("Tongyi-MAI/Z-Image-Turbo", "Tongyi-MAI/Z-Image-Turbo")):
        assert BackboneParams.model_validate(known | {"pretrained_path": given}).pretrained_path == read


def test_photographs_below_home_are_evaluated(home: Path, models: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(home)
    where = [
        "--images",
        "~/photos",
        "--models",
        str(models),
        "--store",
        "~/store",
        "--out",
        "~/r.csv",
        "--device",
        "cpu",
    ]
    grid = ["--methods", "mambajscc_psnr", "--snr-db", "0", "--cbr", "2/768", "--draws", "1", "--metrics", "psnr"]
    # In a process of its own: Ray keeps the token of the first home that a process has.
    command = [sys.executable, "-m", "jscgc.cli", "evaluate", *where, *grid, "--workers", "1"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with (home / "r.csv").open() as stream:
        assert {row["image"] for row in csv.DictReader(stream)} == {"a.png", "b.png"}
    assert list((home / "store").glob("mambajscc_psnr/*.parquet")) and not (home / "~").exists()


def test_what_the_environment_names_is_below_home_too(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JSCGC_MODELS", "~/models")
    assert models_folder() == home / "models"
    monkeypatch.setenv(PLUGINS, "")
    (home / "of_home.py").write_text("")
    add_plugin("~/of_home.py")


def test_no_path_is_one_line(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["transmit", "photo.png", "--out", ""])
    assert "argument --out: a path must not be empty" in capsys.readouterr().err
