"""Names, declarations, availability; nothing may touch the network or import torch to say what there is."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jscgc.metrics import available, create, info, names, pair_metric, registry, set_metric
from jscgc.metrics.weights import ALEXNET, EFFICIENTNET_LITE0, INCEPTION, missing_package, torch_hub_checkpoints


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without optional weights, on which any use of the network fails the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a metric reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("jscgc.metrics.weights.CLEAN_FID_FOLDER", tmp_path)
    return tmp_path


def test_declarations_are_consistent() -> None:
    for name in names():
        declared = info(name)
        assert declared.name == name and declared.label and declared.citation
        assert declared.minimum is None or declared.maximum is None or declared.minimum < declared.maximum
        if "efficientnet_lite0" in name:
            assert "stand-in" in declared.citation or name.startswith("class_change")
            assert "EfficientNet-Lite0" in declared.label
    assert info("psnr").better(30.0, 20.0) and info("lpips").better(0.1, 0.2)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown metric 'ms-ssim': did you mean ms_ssim"):
        create("ms-ssim")
    with pytest.raises(ValueError, match=r"choose from psnr, ms_ssim, lpips"):
        info("qqqqqq")


def test_scopes_are_kept_apart() -> None:
    with pytest.raises(ValueError, match="sets of patches"):
        pair_metric("fid_efficientnet_lite0")
    with pytest.raises(ValueError, match="pairs of images"):
        set_metric("psnr")


def test_embedded_metrics_are_available_and_made_offline(bare: Path) -> None:
    missing = available()
    for name in names():
        if info(name).weights is None or "efficientnet_lite0" in name:
            assert missing[name] is None
            assert create(name).info is info(name)


def test_unavailable_metrics_say_what_is_missing(bare: Path) -> None:
    missing = available()
    assert str(bare / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth") in (missing["lpips"] or "")
    assert "https://download.pytorch.org" in (missing["lpips"] or "")
    for name in ("fid_inception", "kid_inception"):
        assert "inception-2015-12-05.pt is missing" in (missing[name] or "")
    for name in ("lpips", "fid_inception", "kid_inception"):
        with pytest.raises(ValueError, match=f"metric '{name}' is not available: .* is missing"):
            create(name)


def test_inception_is_looked_for_where_clean_fid_does() -> None:
    assert INCEPTION.locate() == Path("/tmp/inception-2015-12-05.pt")


def test_hub_folder_is_torchs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable, value in (("XDG_CACHE_HOME", str(tmp_path)), ("TORCH_HOME", str(tmp_path / "t"))):
        monkeypatch.setenv(variable, value)
        assert torch_hub_checkpoints() == Path(torch.hub.get_dir()) / "checkpoints"


def test_wrong_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    ALEXNET.locate().parent.mkdir(parents=True)
    ALEXNET.locate().write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the published weights"):
        create("lpips")
    assert EFFICIENTNET_LITE0.verified().is_file()


def test_missing_package_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_package("no_such_package", "no-such==1") == (
        "the Python package no_such_package is not installed: pip install 'no-such==1'"
    )
    monkeypatch.setattr(registry, "missing_package", lambda package, requirement: f"no {package}")
    assert available()["ms_ssim"] == "no pytorch_msssim" and available()["psnr"] is None


def test_what_there_is_needs_no_torch() -> None:
    code = "import sys, jscgc.metrics as m; m.available(); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
