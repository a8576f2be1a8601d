"""The command line, in this process: channels by text, exact prices, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jscgc.channel import multipath
from jscgc.channel.spec import NAMES
from jscgc.cli import main


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def transmit(picture: Path, models: Path, *more: str) -> list[str]:
    out = str(picture.parent / "out")
    return ["transmit", str(picture), "--models", str(models), "--out", out, "--method", "mambajscc_psnr", *more]


def test_a_channel_with_options_is_priced_to_the_last_use(picture, models, capsys):
    channel = "rayleigh_block:csi=lmmse,pilots=5"
    assert main(transmit(picture, models, "--channel", channel, "--cbr", "4/768", "--device", "cpu", "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["channel"] == "rayleigh_block:pilots=5,csi=lmmse"
    (row,) = document["results"]
    assert (row["data_symbols"], row["overhead"], row["k"], row["side_information_bits"]) == (48, 5, 53, 0)
    assert row["n"] == 6000 and row["cbr_exact"] == 53 / 6000
    names = [Path(path).name for path in document["files"].values()]
    assert "photo_rayleigh_block--pilots-5--csi-lmmse_5dB_4-768.json" in names
    assert all(Path(path).is_file() for path in document["files"].values())


def test_people_read_the_same_numbers(picture, models, capsys):
    assert main(transmit(picture, models, "--channel", "tdl_c", "--cbr", "4/768", "--device", "cpu")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "k = 959 channel uses (48 data symbols, overhead 911) for n = 6000: CBR 0.15983" in said


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--channel", "awgm"], "did you mean awgn?"),
        (["--channel", "rician_block:kdb=3"], "did you mean k_db?"),
        (["--channel", "rayleigh_fast:csi=ls"], "allowed: perfect, none"),
        (["--channel", "tdl_a:speed_mps=inf"], "in 0..500 m/s"),
        (["--snr-db", "nan"], "must be finite"),
        (["--snr-db", "1000"], "out of range: -100 to 100"),
        (["--cbr", "3/768"], "it sends 2/768, 4/768"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(picture, models, capsys, arguments, said):
    try:
        status = main(transmit(picture, models, *arguments))
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    last = capsys.readouterr().err.splitlines()[-1]
    assert said in last
    assert not (picture.parent / "out").exists()


def test_info_lists_every_channel_and_why_one_cannot_run(models, capsys, monkeypatch):
    monkeypatch.setattr(multipath, "find_spec", lambda name: None)
    assert main(["info", "--models", str(models), "--json"]) == 0
    channels = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["channels"]}
    assert tuple(channels) == NAMES
    assert channels["awgn"] == {"name": "awgn", "options": "csi=perfect, snr=told|blind|+3|-3", "missing": None}
    assert channels["cdl_e"]["missing"] == "pip install sionna-no-rt"
    assert "delay_spread_ns=100 (0..5000)" in channels["tdl_a"]["options"]
    assert main(["info", "--models", str(models)]) == 0
    assert "pip install sionna-no-rt" in " ".join(capsys.readouterr().out.split())


def test_the_help_says_the_grammar(capsys):
    with pytest.raises(SystemExit):
        main(["transmit", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "NAME:key=value,key=value" in said and "tdl_a .. tdl_e" in said
