"""`jscgc info`: what is trained and what can run here."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jscgc import __version__, options, printing
from jscgc.channel import spec
from jscgc.files import read_json
from jscgc.method import METHODS, Method
from jscgc.parser import add_json, emit

PHOTO = (768, 512)
"""Pixels, width and height: where a model has no windows, its scans are as long as the photo is large."""
DESCRIPTION = (
    "What is trained, which channels and metrics can run and why the others can't, which devices and kernels are used."
)


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `info` can be told."""
    add_json(sub)
    options.add_models(sub)


def _lacks(method: Method, models: Path) -> str | None:
    """What a method needs and has not; None if it can run."""
    if method.network and not (models / method.name / "model.json").exists():
        return "not trained here"
    return method.lacks()


def _model(folder: Path, device: Any) -> dict[str, Any]:
    """What there is to say of a folder of weights; a description that can't be read says nothing."""
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    description = read_json(folder / "model.json")
    architecture = description.get("architecture") if isinstance(description, dict) else None
    rates = architecture.get("rates") if isinstance(architecture, dict) else None
    return {
        "name": folder.name,
        "folder": str(folder),
        "mb": round(size, 1),
        "cbr": [f"{r}/768" for r in rates or []],
        "scans": _scans(description, device),
    }


def _scans(description: Any, device: Any) -> list[dict[str, Any]] | None:
    """How each stage of a model's Mamba encoder scans; None of a model that has none."""
    from jscgc.encoder.blocks import stage_scans
    from jscgc.encoder.params import EncoderParams
    from jscgc.systems.migration import migrated

    try:
        content = migrated(description)
        encoder = EncoderParams.model_validate(content["architecture"]["network"]["encoder"])
        return [asdict(scan) for scan in stage_scans(encoder, content["latents"]["factor"], *PHOTO[::-1], device)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _in_words(scans: list[dict[str, Any]] | None) -> str:
    """Implementations with the steps that they take, each once."""
    steps: dict[str, list[int]] = {}
    for scan in scans or []:
        known = steps.setdefault(scan["implementation"], [])
        if scan["steps"] not in known:
            known.append(scan["steps"])
    return "; ".join(f"{name}, {' and '.join(map(str, count))} steps" for name, count in steps.items())


def run(a: argparse.Namespace) -> None:
    """Print what is trained and what can run here."""
    import torch

    from jscgc.device import resolve_device
    from jscgc.encoder.kernels import cuda_scan, cuda_selective_scan
    from jscgc.metrics import available

    device = resolve_device("auto")
    kernels = {block: found() for block, found in (("ssd", cuda_scan), ("mambajscc", cuda_selective_scan))}
    models = [_model(path.parent, device) for path in sorted(a.models.glob("*/model.json"))]
    document: dict[str, Any] = {
        "version": __version__,
        "torch": torch.__version__,
        "device": str(device),
        "scan_kernels": [
            {"block": block, "available": kernel is not None, "why": why} for block, (kernel, why) in kernels.items()
        ],
        "scanned_photo": {"width": PHOTO[0], "height": PHOTO[1]},
        "models": models,
        "methods": [{"name": method.name, "missing": _lacks(method, a.models)} for method in METHODS],
        "channels": [
            {"name": kind.name, "options": spec.describe(kind.name), "missing": kind.missing()} for kind in spec.KINDS
        ],
        "channel_options": spec.meanings(),
        "metrics": [
            {"name": name, "available": missing is None, "missing": missing} for name, missing in available().items()
        ],
    }
    if a.json:
        emit(document)
        return
    print(f"jscgc {__version__}, torch {torch.__version__}, device {device}")
    for entry in document["scan_kernels"]:
        print(
            f"mamba-ssm's kernels for encoder.block {entry['block']}: {'yes' if entry['available'] else 'no'} ({entry['why']})"
        )
    if models:
        scanned = f"scan of a {PHOTO[0]}x{PHOTO[1]} photo"
        table = printing.table("trained model", "MB", "CBR", scanned, "folder")
        for model in models:
            cells = (f"{model['mb']:g}", " ".join(model["cbr"]), _in_words(model["scans"]) or "-")
            table.add_row(model["name"], *cells, model["folder"])
        printing.show(table)
    else:
        print(f"no trained models in {a.models}: `make reproduce` trains them")
    table = printing.table("method", "can run")
    for method in document["methods"]:
        table.add_row(method["name"], f"no: {method['missing']}" if method["missing"] else "yes")
    printing.show(table)
    table = printing.table("channel", "options with defaults and ranges", "available")
    for channel in document["channels"]:
        table.add_row(channel["name"], channel["options"], f"no: {channel['missing']}" if channel["missing"] else "yes")
    printing.show(table)
    for option, meaning in document["channel_options"].items():
        print(f"  {option}: {meaning}")
    table = printing.table("metric", "available")
    for metric in document["metrics"]:
        table.add_row(metric["name"], "yes" if metric["available"] else f"no: {metric['missing']}")
    printing.show(table)
