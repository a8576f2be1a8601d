"""`jscgc bench ceiling`: energies known in closed form, the VAE alone, the same transmissions as everywhere else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jscgc.bench.ceiling import VAE, _measured
from jscgc.bench.command import _print
from jscgc.cli import main
from jscgc.data.images import open_photo, to_tensor
from jscgc.flow.params import SampleParams
from jscgc.latent.autoencoder import load_vae
from jscgc.metrics import pair_metric
from jscgc.systems.base import Link
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit


def test_energies_are_those_of_the_detail_that_is_left() -> None:
    rng = torch.Generator().manual_seed(0)
    fine = torch.rand(3, 128, 128, generator=rng) - 0.5
    blocks = (torch.rand(3, 8, 8, generator=rng) - 0.5).repeat_interleave(16, 1).repeat_interleave(16, 2)
    smooth = torch.ones(1, 128, 128)
    smooth[:, :64, :64] = 0.1  # patches of less detail, in which less of it arrives, too
    photo = {"a": 0.5 + 0.2 * blocks + 0.2 * fine * smooth}
    same = _measured(photo, photo)
    assert [same[name] for name in ("fine", "coarse", "smooth_fine", "smooth_coarse")] == pytest.approx([1] * 4)
    for metric in ("fid_efficientnet_lite2", "feature_distance_efficientnet_lite2", "lpips_alex"):
        assert same[metric] == pytest.approx(0, abs=1e-4)
    # 16x16 blocks have no detail within themselves, but their edges differ from the 3x3 means across them.
    flat = _measured(photo, {"a": 0.5 + 0.2 * blocks})
    assert flat["coarse"] == pytest.approx(0, abs=1e-6) and 0 < flat["fine"] < 0.2
    only = {"a": 0.5 + 0.2 * fine}
    half = _measured(only, {"a": 0.5 + 0.1 * fine})
    assert [half[name] for name in ("fine", "coarse", "smooth_fine")] == pytest.approx([0.25] * 3, rel=1e-4)
    worse = _measured(photo, {"a": photo["a"] + 0.05 * (smooth < 1) * fine})
    assert worse["smooth_fine"] > worse["fine"] > 1


def test_the_vae_alone_and_methods_as_they_are_elsewhere(
    models: Path, noise_photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "ceiling", "--json", "--models", str(models), "--images", str(noise_photos), "--steps", "2"]
    arguments += ["--methods", "jscgc", "mambajscc_psnr", "--snr-db", "5", "--cbr", "2/768", "4/768"]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["method"], row["cbr"]) for row in rows] == [
        (VAE, None),
        *((method, cbr) for method in ("jscgc", "mambajscc_psnr") for cbr in ("2/768", "4/768")),
    ]
    photos = {path.name: to_tensor(open_photo(path)) for path in sorted(noise_photos.iterdir())}
    psnr = pair_metric("psnr")
    vae, found = load_vae(models / "vae"), []
    for photo in photos.values():
        padded = torch.nn.functional.pad(photo[None], (0, 6, 0, 10), mode="replicate")
        found.append(float(psnr(photo[None], vae.decode(vae.encode(padded))[..., :70, :90])[0]))
    assert rows[0]["psnr"] == pytest.approx(np.mean(found), abs=1e-3)
    system, sample = load_system("jscgc", models), SampleParams(steps=2, guidance=1.5)
    sent = [
        transmit(system, photo, Link("awgn", 5.0, 4), sample=sample, seed=0, key=key) for key, photo in photos.items()
    ]
    values = [float(psnr(photo[None], s.samples)[0]) for photo, s in zip(photos.values(), sent, strict=True)]
    assert rows[2]["psnr"] == pytest.approx(np.mean(values), abs=1e-3)


@pytest.mark.parametrize("method", ["deepjscc", "hevc_ldpc"])
def test_what_has_no_vae_is_one_line(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    arguments = ["bench", "ceiling", "--models", str(models), "--images", str(tmp_path), "--cbr", "4/768"]
    assert main([*arguments, "--methods", "jscgc", method]) == 1
    error = capsys.readouterr().err
    assert f"{method} has no VAE" in error and error.count("\n") == 1


def test_few_rows_of_many_columns_are_shown_on_their_side(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    wide = {f"a_metric_with_a_long_name_{i}": i / 8 for i in range(6)}
    _print("wide", [wide, wide], {})
    lines = capsys.readouterr().out.splitlines()
    assert all(any(name in line for line in lines) for name in wide)  # whole, each on a line of its own
    _print("long", [{"name": "x", "value": i} for i in range(30)], {})
    assert len(capsys.readouterr().out.splitlines()) > 30
