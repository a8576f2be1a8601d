"""Names, declarations, availability; nothing may touch the network or import torch to say what there is."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jscgc.metrics import (
    available,
    create,
    info,
    names,
    pair_metric,
    pair_names,
    registry,
    set_metric,
    set_names,
)
from jscgc.metrics.networks import vgg
from jscgc.metrics.packages import missing_package
from jscgc.metrics.scoring import score
from jscgc.metrics.weights import (
    ALEXNET,
    CLEAN_FID_FOLDER,
    CLIP_CONVNEXT_LARGE,
    DINOV2_VITL14,
    DINOV2_VITS14,
    DREAMSIM_ENSEMBLE,
    EFFICIENTNET_LITE0,
    FILES,
    INCEPTION,
    VGG16,
    torch_hub_checkpoints,
)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without optional weights, on which any use of the network fails the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a metric reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("JSCGC_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("jscgc.metrics.weights.CLEAN_FID_FOLDER", tmp_path)
    return tmp_path


EVERY = [
    "psnr", "ms_ssim", "flip",
    "lpips_alex", "lpips_vgg", "dists", "clip_score", "dino_score", "dino_score_vits14", "dreamsim",
    "feature_distance_efficientnet_lite2", "semantic_cosine_efficientnet_lite2", "class_change_efficientnet_lite2",
    "fid_efficientnet_lite2", "kid_efficientnet_lite2", "text_error_ppocr",
    "feature_distance_efficientnet_lite0", "semantic_cosine_efficientnet_lite0", "class_change_efficientnet_lite0",
    "fid_efficientnet_lite0", "kid_efficientnet_lite0", "fid_inception", "kid_inception",
]  # fmt: skip


RANDOM = [
    f"{name}_random"
    for name in (
        "lpips_alex", "lpips_vgg", "dists", "clip_score", "dino_score", "dino_score_vits14", "dreamsim", "fid_inception",
        "kid_inception",
    )
]  # fmt: skip


def test_every_metric_is_there_and_offline_is_the_default(bare: Path) -> None:
    assert names() == list(available()) == EVERY and list(registry.METRICS.names) == [*EVERY, *RANDOM]
    here = {name for name, missing in available().items() if missing is None}
    carried = ("psnr", "ms_ssim", "flip", "text_error_ppocr")
    assert here == {name for name in EVERY if name in carried or "efficientnet" in name}
    assert pair_names() == [name for name in EVERY if name in here and info(name).scope == "pair"]
    assert set_names() == [name for name in EVERY if name in here and info(name).scope == "set"]


def test_a_metric_with_weights_names_its_network() -> None:
    for name in names():
        files = registry.weights(name)
        assert set(files) == {file for file in registry.files() if name in registry.needing(file)}
        assert bool(files) == (info(name).network is not None)
        assert not files or info(name).network in {file.key for file in files}
    assert all(registry.needing(file) for file in registry.files())
    assert registry.files() == (*FILES, *registry.weights("text_error_ppocr"))


def test_each_metric_stands_in_one_file_of_its_own() -> None:
    modules = {name: registry.module(name) for name in registry.METRICS.names}
    assert modules["psnr"] == "jscgc.metrics.kinds.psnr"
    assert modules["lpips_alex"] == modules["lpips_vgg"] == "jscgc.metrics.kinds.lpips"
    folder = Path(registry.__file__).parent / "kinds"
    assert {name.rpartition(".")[2] for name in modules.values()} == {f.stem for f in folder.glob("[!_]*.py")}
    for file in folder.glob("*.py"):
        # A score depends on one such file, but for a number on a random network, which is none.
        assert ("jscgc.metrics.kinds" in file.read_text(encoding="utf-8")) == (file.stem == "random_networks")
    with pytest.raises(ValueError, match="unknown metric 'pnsr': did you mean psnr"):
        registry.module("pnsr")


def test_one_package_has_one_requirement() -> None:
    asked = {package for metric in registry.METRICS for package in metric.packages}
    assert len({package for package, _ in asked}) == len(asked)


def test_declarations_are_consistent() -> None:
    for name in names():
        declared = info(name)
        assert declared.name == name and declared.label and declared.citation
        assert declared.minimum is None or declared.maximum is None or declared.minimum < declared.maximum
        assert declared.stand_in == ("efficientnet_lite" in name)
        if declared.stand_in:
            assert "stand-in" in declared.citation or name.startswith("class_change")
            assert name.endswith(declared.network or "-") and f"EfficientNet-Lite{name[-1]}" in declared.label
        assert (declared.axis == "pixels") == (declared.network is None) or name == "text_error_ppocr"
    assert info("psnr").better(30.0, 20.0) and info("lpips_alex").better(0.1, 0.2)


def test_both_sizes_of_the_stand_ins_differ_in_network_and_name_alone() -> None:
    lite0 = [name for name in names() if name.endswith("_lite0")]
    assert len(lite0) == 5
    for name in lite0:
        judge = info(name.replace("lite0", "lite2"))
        assert judge.judge and not info(name).judge
        alike = {"name": name, "label": info(name).label, "network": EFFICIENTNET_LITE0.key, "judge": False}
        assert replace(judge, **alike) == info(name)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown metric 'ms-ssim': did you mean ms_ssim"):
        create("ms-ssim")
    with pytest.raises(ValueError, match=r"choose from psnr, ms_ssim, flip, lpips_alex, lpips_vgg"):
        info("qqqqqq")


def test_scopes_are_kept_apart() -> None:
    with pytest.raises(ValueError, match="sets of patches"):
        pair_metric("fid_efficientnet_lite0")
    with pytest.raises(ValueError, match="pairs of images"):
        set_metric("psnr")


def test_embedded_metrics_are_available_and_made_offline(bare: Path) -> None:
    missing = available()
    for name in names():
        if not registry.weights(name) or "efficientnet_lite" in name:
            assert missing[name] is None
            assert create(name).info is info(name)


def test_unavailable_metrics_say_what_is_missing(bare: Path) -> None:
    missing = available()
    first = {
        "lpips_alex": ALEXNET, "lpips_vgg": VGG16, "dists": VGG16,
        "clip_score": CLIP_CONVNEXT_LARGE, "dreamsim": DREAMSIM_ENSEMBLE,
        "dino_score": DINOV2_VITL14, "dino_score_vits14": DINOV2_VITS14, "fid_inception": INCEPTION, "kid_inception": INCEPTION,
    }  # fmt: skip
    for name, file in first.items():
        said = missing[name] or ""
        assert said.startswith(f"{file.file} is missing") and "\n" not in said
        assert f"`jscgc weights fetch {file.key}`" in said and "`jscgc weights import FOLDER`" in said
        with pytest.raises(ValueError, match=f"metric '{name}' is not available: .* is missing"):
            create(name)


def test_the_places_of_torch_hub_and_clean_fid_are_looked_at_too(bare: Path) -> None:
    assert Path("/tmp") == CLEAN_FID_FOLDER  # as cleanfid.features.feature_extractor has it
    hub = torch_hub_checkpoints()
    for file, place in ((INCEPTION, bare), (DINOV2_VITL14, hub), (DINOV2_VITS14, hub)):
        assert file.locate() == bare / "weights" / file.file
        place.mkdir(parents=True, exist_ok=True)
        (place / file.file).write_bytes(b"")
        assert file.locate() == place / file.file and file.missing() is None
        (bare / "weights").mkdir(exist_ok=True)
        (bare / "weights" / file.file).write_bytes(b"")
        assert file.locate() == bare / "weights" / file.file


def test_hub_folder_is_torchs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable, value in (("XDG_CACHE_HOME", str(tmp_path)), ("TORCH_HOME", str(tmp_path / "t"))):
        monkeypatch.setenv(variable, value)
        assert torch_hub_checkpoints() == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize(
    "name", ["lpips_alex", "lpips_vgg", "dists", "clip_score", "dino_score", "dino_score_vits14", "fid_inception"]
)
def test_wrong_weights_are_refused(name: str, bare: Path) -> None:
    (file,) = (f for f in FILES if not f.package and name in registry.needing(f))
    vgg.shared.cache_clear()  # another test's
    file.locate().parent.mkdir(parents=True)
    file.locate().write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the published weights"):
        create(name)
    assert EFFICIENTNET_LITE0.verified().is_file()


def test_missing_package_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_package("no_such_package", "no-such==1") == (
        "the Python package no_such_package is not installed: pip install 'no-such==1'"
    )
    monkeypatch.setattr("jscgc.metrics.base.missing_package", lambda package, requirement: f"no {package}")
    assert available()["ms_ssim"] == "no pytorch_msssim" and available()["psnr"] is None


def test_what_there_is_needs_no_torch() -> None:
    heavy = "torch torchvision numpy scipy PIL jaxtyping lpips timm open_clip cleanfid dreamsim"
    code = f"import sys, jscgc.metrics as m; m.available(); print(*set('{heavy}'.split()) & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], capture_output=True)
    assert told.stdout == b"\n"


def test_a_photo_too_small_for_a_metric_is_scored_by_the_others(caplog: pytest.LogCaptureFixture) -> None:
    photo = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(0))
    assert score([pair_metric("ms_ssim"), pair_metric("psnr")], photo, photo) == {"psnr": 100.0}
    assert caplog.messages == ["ms_ssim is left out: MS-SSIM needs at least 11 pixels on the smaller side, not 8"]
