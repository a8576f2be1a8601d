"""`jscgc.load(...).transmit(...)`: five lines for a user of the library, and the same photograph as the command line's."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import jscgc
from jscgc.cli import main
from jscgc.data.images import to_tensor
from jscgc.flow.params import SampleParams


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(small).resize((70, 60), Image.Resampling.BICUBIC).save(path)
    return path


def test_it_sends_as_the_command_line_does(models, photo, tmp_path, capsys):
    sent = jscgc.load("jscgc", models).transmit(photo, snr_db=5, cbr="2/768", channel="rayleigh_fast", seed=3)
    options = ["--snr-db", "5", "--cbr", "2/768", "--channel", "rayleigh_fast", "--seed", "3", "--models", str(models)]
    assert main(["transmit", str(photo), *options, "--out", str(tmp_path / "out"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert np.array_equal(sent.received, np.asarray(Image.open(document["files"]["jscgc"])))
    row = document["results"][0]
    assert (sent.reception.bandwidth.k, sent.cbr) == (row["k"], row["cbr_exact"])
    assert sent.psnr_db == pytest.approx(row["metrics"]["psnr"], abs=1e-4)
    sent.save(tmp_path / "received.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "received.png")), sent.received)


def test_a_file_an_image_and_an_array_are_photographs(models, photo):
    transceiver = jscgc.load("mambajscc_psnr", models)
    assert transceiver.cbrs == ("2/768", "4/768")
    array = np.asarray(Image.open(photo))
    of_array, of_image = (transceiver.transmit(p, snr_db=5, cbr="4/768") for p in (array, Image.open(photo)))
    assert np.array_equal(of_array.received, of_image.received)
    assert of_array.received.shape == array.shape and of_array.received.dtype == np.uint8
    assert np.array_equal(of_array.sent, array)


def test_an_image_is_read_as_its_file_is(models, tmp_path):
    transceiver = jscgc.load("mambajscc_psnr", models)
    turned, clear = tmp_path / "turned.jpg", tmp_path / "clear.png"
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(turned, exif=exif)
    layer = image.convert("RGBA")
    layer.putalpha(100)
    layer.save(clear)
    for path in (turned, clear):
        with Image.open(path) as opened:
            of_image = transceiver.transmit(opened, snr_db=5, cbr="4/768")
        assert np.array_equal(of_image.sent, transceiver.transmit(path, snr_db=5, cbr="4/768").sent)


def test_several_samples_have_a_mean_and_a_spread(models, photo):
    sent = jscgc.load("jscgc", models).transmit(photo, snr_db=5, cbr="2/768", samples=3)
    assert sent.reception.samples.shape == (3, 3, 60, 70)
    assert sent.reception.spread.shape == (60, 70) and sent.reception.spread.min() > 0


def test_several_samples_take_the_settings_chosen_for_them_as_on_the_command_line(models, photo, tmp_path, capsys):
    transceiver = jscgc.load("jscgc", models)
    two = transceiver.transmit(photo, snr_db=5, cbr="2/768", samples=2)
    assert (two.reception.steps, two.reception.nfe) == (16, 32)
    assert transceiver.transmit(photo, snr_db=5, cbr="2/768").reception.nfe == 8
    own = SampleParams(steps=2, guidance=1.5)
    assert transceiver.transmit(photo, snr_db=5, cbr="2/768", samples=2, sample=own).reception.nfe == 8
    options = ["--snr-db", "5", "--cbr", "2/768", "--models", str(models), "--out", str(tmp_path / "out"), "--json"]
    assert main(["transmit", str(photo), *options, "--samples", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert np.array_equal(two.received, np.asarray(Image.open(document["files"]["jscgc"])))
    (row,) = document["results"]
    assert (row["steps"], document["guidance"]) == (16, 1.0)
    sent = to_tensor(two.sent)
    assert row["spread_over_error"] == pytest.approx(two.reception.spread_over_error(sent))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m, p: jscgc.load("jscg", m), "unknown method 'jscg': did you mean jscgc"),
        (lambda m, p: jscgc.load("jscgc", m / "nowhere"), "no trained model here"),
        (lambda m, p: jscgc.load("jscgc", m).transmit(p, snr_db=5, cbr="3/768"), "it sends 2/768, 4/768"),
        (lambda m, p: jscgc.load("jscgc", m).transmit(p, snr_db=5, cbr="2/768", channel="awgm"), "did you mean awgn"),
        (lambda m, p: jscgc.load("jscgc", m).transmit(p.with_name("no.png"), snr_db=5, cbr="2/768"), "no.png"),
        (lambda m, p: jscgc.load("jscgc", m).transmit(np.zeros((4, 4)), snr_db=5, cbr="2/768"), r"uint8 \[H,W,3\]"),
        (lambda m, p: jscgc.load("jscgc", m).transmit(p, snr_db=500, cbr="2/768"), "-100..100"),
    ],
)
def test_a_mistake_is_one_line(models, photo, call, said):
    with pytest.raises(ValueError, match=said) as caught:
        call(models, photo)
    assert "\n" not in str(caught.value)


def test_the_shipped_models_need_no_folder(photo):
    received = jscgc.load().transmit(photo, snr_db=10, cbr="8/768")
    assert received.psnr_db > 12


def test_importing_the_package_loads_no_torch():
    code = "import sys, jscgc; print('torch' in sys.modules, jscgc.__version__, hasattr(jscgc, 'nothing'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "0.1.0", "False"]
