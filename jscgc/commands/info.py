"""`jscgc info`: what is trained and what can run here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jscgc import __version__, options, printing
from jscgc.channel import spec
from jscgc.method import METHODS, Method
from jscgc.parser import add_json, emit

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


def run(a: argparse.Namespace) -> None:
    """Print what is trained and what can run here."""
    import torch

    from jscgc.device import resolve_device
    from jscgc.encoder.scan import implementation
    from jscgc.files import read_json
    from jscgc.metrics import available

    device = resolve_device("auto")
    scan, why = implementation(device)
    models = []
    for folder in sorted(p.parent for p in a.models.glob("*/model.json")):
        description = read_json(folder / "model.json")
        rates = description.get("architecture", {}).get("rates")
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        models.append(
            {"name": folder.name, "folder": str(folder), "mb": round(size, 1), "cbr": [f"{r}/768" for r in rates or []]}
        )
    document: dict[str, Any] = {
        "version": __version__,
        "torch": torch.__version__,
        "device": str(device),
        "scan": {"implementation": scan, "why": why},
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
    print(f"scan: {scan} ({why})")
    if models:
        table = printing.table("trained model", "MB", "CBR", "folder")
        for model in models:
            table.add_row(model["name"], f"{model['mb']:g}", " ".join(model["cbr"]), model["folder"])
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
