"""What was chosen: the command that does the same, what changed, channels and bandwidths; and the two results, bit for bit."""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jscgc.cli import main
from jscgc.data.images import read_photo, reduce, to_tensor
from jscgc.demo.choice import OFFERED, Choice, channel_text, common_cbr
from jscgc.demo.shown import Refused, Transmission, best, shown
from jscgc.demo.workplace import Workplace
from jscgc.systems.load import load_system
from jscgc.transmission import scorers, send

CHOICE = Choice(
    photo="it's a; photo.png",
    place="it's a; photo.png",
    content="",
    methods=("jscgc", "mambajscc_psnr", "jp2k_capacity"),
    channel="rayleigh_block:csi=lmmse",
    snr_db=-2.5,
    cbr="4/768",
    max_side=48,
    steps=3,
    guidance=1.2,
    samples=2,
    seed=7,
)


def test_the_page_receives_what_its_command_line_receives(models, tmp_path, capsys, monkeypatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8))
    stream = io.BytesIO()
    noise.save(stream, format="PNG")
    pixels = reduce(read_photo(stream.getvalue(), CHOICE.photo), CHOICE.max_side)
    sent = Transmission(CHOICE, pixels)
    metrics = scorers()
    for name in ("jscgc", "mambajscc_psnr"):
        system = load_system(name, models, precision="bfloat16")
        sent.done[name] = shown(send(system, to_tensor(pixels), CHOICE.photo, CHOICE.request, metrics))
    sent.done["jp2k_capacity"] = Refused("jp2k_capacity", "too small", cannot_operate=True)

    monkeypatch.chdir(tmp_path)
    Path(CHOICE.place).write_bytes(stream.getvalue())
    words = shlex.split(CHOICE.command(Workplace(models, "cpu", "bfloat16")))
    assert words[0] == "jscgc" and main([*words[1:], "--json", "--out", "out"]) == 0
    document = json.loads(capsys.readouterr().out)
    for name, png in [item for found in sent.arrived for item in found.pngs.items()]:
        assert Path(document["files"][name]).read_bytes() == png, name
    assert {name for found in sent.arrived for name in found.pngs} == document["files"].keys() - {
        "side_by_side",
        "metrics",
    }
    assert Path(document["files"]["side_by_side"]).read_bytes() == sent.side_by_side()
    timeless = [
        {key: value for key, value in row.items() if not key.endswith("_ms")}
        for row in (*document["results"], *sent.document()["results"])
    ]
    assert len(timeless) == 4 and timeless[:2] == timeless[2:]
    assert json.loads(sent.metrics()) == json.loads(json.dumps(sent.document()))
    same = ("photo", "height", "width", "channel", "snr_db", "cbr", "seed", "guidance", "solver")
    assert {key: document[key] for key in same} == {key: sent.document()[key] for key in same}
    assert document["cannot_operate"].keys() == sent.document()["cannot_operate"].keys()
    with zipfile.ZipFile(io.BytesIO(sent.archive())) as archive:
        assert archive.read("jscgc_mean.png") == sent.done["jscgc"].pngs["jscgc_mean"]
        assert len(archive.namelist()) == 1 + 4 + 1


def test_what_is_done_stays_and_what_is_not_waits():
    sent = Transmission(CHOICE, np.zeros((16, 16, 3), np.uint8))
    assert sent.waiting == list(CHOICE.methods) and not sent.arrived
    sent.done["mambajscc_psnr"] = Refused("mambajscc_psnr", "why", cannot_operate=False)
    assert sent.waiting == ["jscgc", "jp2k_capacity"] and [r.method for r in sent.refused] == ["mambajscc_psnr"]
    sent.stopped = True
    assert sent.waiting == []


@pytest.mark.parametrize("name", ["-rf.png", "a b.png", "$(reboot).png", "é'\"`.png"])
def test_the_command_is_quoted(name):
    words = shlex.split(replace(CHOICE, place=name).command(Workplace(Path("my models"), "auto", "auto")))
    assert words[2] in (name, f"./{name}") and not words[2].startswith("-")
    assert words[words.index("--models") + 1] == "my models" and not {"--device", "--precision"} & {*words}


def test_changes_are_named():
    assert CHOICE.changes(CHOICE) == []
    now = replace(CHOICE, snr_db=5.0, seed=8, methods=("jscgc",), content="other")
    assert CHOICE.changes(now) == ["photo", "methods", "SNR -2.5 → 5 dB", "seed 7 → 8"]


@pytest.mark.parametrize(
    "name, options, text",
    [
        ("awgn", "", "awgn"),
        ("rician_block", " k_db=3,csi=lmmse ", "rician_block:k_db=3,csi=lmmse"),
        ("rician_block", "rician_block:csi=lmmse,k_db=3", "rician_block:k_db=3,csi=lmmse"),
        ("rician_block", "k_db=6", "rician_block"),
    ],
)
def test_channels_by_name_and_options(name, options, text):
    assert channel_text(name, options) == text


@pytest.mark.parametrize("options, said", [("kdb=3", "did you mean k_db"), ("awgn:snr=blind", "unknown option")])
def test_a_wrong_option_is_said_with_the_nearest(options, said):
    with pytest.raises(ValueError, match=said):
        channel_text("rician_block", options)


def test_cbr_that_all_methods_send():
    every = tuple(range(1, 61))
    assert common_cbr([(2, 4, 8), (4, 8), every]) == ["4/768", "8/768"]
    assert common_cbr([every, every]) == [f"{rate}/768" for rate in OFFERED]
    assert common_cbr([(2,), (4,)]) == common_cbr([]) == []


def test_the_best_value_is_the_best_of_all_methods_and_means():
    rows = [
        {"metrics": {"psnr": 20.0, "flip": 0.2}, "mean_metrics": {"psnr": 22.0}},
        {"metrics": {"psnr": 21.0, "flip": 0.1}},
    ]
    assert best(rows, "psnr") == 22.0 and best(rows, "flip") == 0.1
    assert best(rows[:1], "psnr") is None
    assert best([{"metrics": {"psnr": 1.0}}, {"metrics": {"psnr": 1.0}}], "psnr") is None
