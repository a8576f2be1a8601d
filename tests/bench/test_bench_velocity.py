"""`jscgc bench velocity`: errors known in closed form, noise that gets through, the same draws for everyone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from jscgc.bench.velocity import _smooth, bench_velocity, grain
from jscgc.cli import main
from jscgc.systems.base import Link
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.latent import LatentSystem
from jscgc.systems.load import load_system

LINK = Link("awgn", 5.0, 4)


def system(models: Path, name: str = "jscgc") -> LatentSystem:
    found = load_system(name, models)
    assert isinstance(found, LatentSystem)
    return found


@pytest.fixture
def photos() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_errors_are_those_of_the_field_that_is_measured(
    models: Path, photos: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = system(models)
    net = own.codec
    assert isinstance(net, JscgcNet)
    x0 = torch.cat([own.space.encode(photo[None]) for photo in photos])

    def measured(estimate: torch.Tensor) -> list[dict[str, float]]:
        """Rows of the field that always estimates this."""

        def conditional(condition: object, link: object) -> object:
            return lambda x_t, t: (x_t - estimate) / t[:, None, None, None]

        monkeypatch.setattr(net.receiver, "conditional", conditional)
        return list(bench_velocity({"jscgc": own}, photos, [LINK], [1.0, 0.25], seed=0))

    for row in measured(x0):
        assert row["error"] == pytest.approx(0, abs=1e-10) and row["smooth_grain"] == pytest.approx(1, abs=1e-4)
    for row in measured(torch.zeros_like(x0)):
        assert row["error"] == pytest.approx(x0.square().mean().item(), rel=1e-4)
        assert row["smooth_error"] < row["error"] and row["smooth_grain"] == pytest.approx(0, abs=1e-8)
    noise = 0.3 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    for row in measured(x0 + noise):
        assert row["error"] == pytest.approx(0.09, rel=0.2) and row["smooth_grain"] > 1


def test_smooth_places_are_the_quarter_of_least_variance() -> None:
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x[..., :8] *= 0.01
    x[..., :8] += 5  # level, not variance, must not count
    found = _smooth(x)
    assert found.float().mean() == pytest.approx(0.25, abs=0.01)
    assert not found[..., 6:].any()  # from there on the other half is in sight
    flat = torch.full((1, 1, 8, 8), 3.0)
    assert grain(flat).abs().max() < 1e-10  # at the borders, too


def test_methods_meet_the_same_noise_and_what_is_asked_for_is_in_the_rows(
    models: Path, noise_photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "velocity", "--json", "--models", str(models), "--images", str(noise_photos), "--crop", "64"]
    arguments += ["--snr-db", "-5", "15", "--cbr", "4/768", "--times", "1", "0.5"]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["method"], row["snr_db"], row["t"]) for row in rows] == [
        (method, snr, t) for method in ("jscgc", "diffjscc") for snr in (-5.0, 15.0) for t in (1.0, 0.5)
    ]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows
    assert main([*arguments, "--methods", "diffjscc"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows[4:]  # who else is measured changes nothing


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "mambajscc_psnr"], "choose from jscgc, diffjscc"),
        (["--methods", "hevc_ldpc"], "choose from jscgc, diffjscc"),
        (["--crop", "128"], "a.png has 64x64 pixels, too few for a crop of 128x128"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    own = ["bench", "velocity", "--models", str(models), "--images", str(tmp_path), "--cbr", "4/768", "--crop", "64"]
    assert main([*own, *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("time", ["0", "1.1", "nan"])
def test_times_are_between_data_and_noise(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "velocity", "--images", ".", "--times", time])
    assert "--times" in capsys.readouterr().err
