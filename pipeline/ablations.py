"""What each of JSCGC's choices is worth: variants of pipeline/ablations.yaml, trained and evaluated alike, into one table.

    dvc repro pretrain_flow train_mambajscc_psnr      # of any profile; bsds is meant for it
    python -m pipeline.ablations --out reports/reference/ablations.csv

Evaluated on the validation photographs, so that what is chosen by it is not chosen on the test's. An interrupted run goes on:
every variant's checkpoints and models are in .jscgc/ablations, under a name made of all that they depend on.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jscgc import cluster, stages, tracking
from jscgc.config import ParamsError, overlay, read_yaml
from jscgc.data.prepared import split_files
from jscgc.evaluation.ablation import compare, write_rows
from jscgc.evaluation.judges import CHOOSING
from jscgc.evaluation.params import EvaluateParams
from jscgc.evaluation.protocol import Protocol
from jscgc.evaluation.run import Evaluation, follow
from jscgc.files import check_file
from jscgc.flow.params import SampleParams
from jscgc.options import natural
from jscgc.params import Params, load_params
from jscgc.parser import user_path
from jscgc.precision import resolve_precision
from jscgc.training.curve import Curve
from pipeline import apart
from pipeline.stage import LATENTS, MODELS, PHOTOS

FILE = Path("pipeline/ablations.yaml")
PLACE = Path(".jscgc/ablations")
BASE = "joint"
CODEC = "mambajscc_psnr"
VARIED = ("jscgc", "diffjscc")
"""Methods that a variant may be of: trained from the prior and the codec that the stages left."""


@dataclass(frozen=True)
class Variant:
    """One trained network, and how it is sampled."""

    name: str
    method: str
    params: Params
    sample: SampleParams
    snr_db: tuple[float, ...]
    """Evaluated at."""
    own_codec: bool = False
    """It starts from a codec trained for it, not from the stage's: its `codec` or `encoder` parameters are others."""


def variants(content: Mapping[str, Any], params: Params) -> Iterator[Variant]:
    """All variants of the file, the base first, then its samplers.

    Raises:
        ParamsError: one of them names a key that params.yaml has not, or a wrong value.
    """
    grid = sorted(float(snr) for snr in content["evaluate"]["snr_db"])
    if BASE not in content["variants"]:
        raise ParamsError(f"{FILE}: variants lacks {BASE}, which all others are compared with")
    for name in sorted(content["variants"], key=lambda name: name != BASE):
        changes = dict(content["variants"][name] or {})
        method = changes.pop("method", "jscgc")
        if method not in VARIED:
            raise ParamsError(f"{FILE}: {name}: method must be {' or '.join(VARIED)}, not {method!r}")
        changed = _changed(params, name, content["common"], changes)
        own_codec = (changed.codec, changed.encoder) != (params.codec, params.encoder)
        yield Variant(name, method, changed, changed.sample, tuple(grid), own_codec)
        if name == BASE:
            for sampler, settings in content["samplers"].items():
                sample = _changed(changed, sampler, {"sample": settings}).sample
                yield Variant(sampler, method, changed, sample, (grid[len(grid) // 2],))


def _changed(params: Params, name: str, *changes: Mapping[str, Any]) -> Params:
    content = params.model_dump(mode="json")
    try:
        for change in changes:
            overlay(content, deepcopy(change))
        return Params.model_validate(content)
    except (ValidationError, ParamsError) as error:
        raise ParamsError(f"{FILE}: {name}: {' '.join(str(error).split())}") from None


def _codec(params: Params) -> tuple[Path, float]:
    """The folder of the codec that `params` describe, and the seconds that its training took; none is trained twice."""
    inputs = {"latents": LATENTS}
    place = PLACE / f"codec-{stages.checkpoint_key(CODEC, params, inputs)}"
    seconds = apart.made(CODEC, params, inputs, place, place, Curve(place / "run").append)
    return place / CODEC, seconds


def train(variant: Variant) -> tuple[Path, float]:
    """The folder of models that holds the variant's, and the seconds that training took, that of a codec of its own included;
    nothing is trained twice."""
    codec, before = _codec(variant.params) if variant.own_codec else (MODELS / CODEC, 0.0)
    inputs = {"latents": LATENTS, "flow": MODELS / "flow", CODEC: codec}
    place = PLACE / stages.checkpoint_key(variant.method, variant.params, inputs)
    tags = {"commit": tracking.commit(Path()), "profile": variant.params.profile, "variant": variant.name}
    params = variant.params.model_dump(mode="json")
    if not (place / "models" / variant.method).exists():
        with tracking.stage_run(f"ablation {variant.name}", params=params, tags=tags, root=Path()) as logged:
            apart.made(variant.method, variant.params, inputs, place, place / "models", logged.log)
        if not (place / "models" / "vae").exists():
            shutil.copytree(MODELS / "vae", place / "models" / "vae")
    return place / "models", before + float((place / "seconds").read_text())


def evaluate(
    variant: Variant, models: Path, grid: Mapping[str, Any], photos: list[tuple[str, Path]], workers: int
) -> Evaluation:
    """Its results; nothing is evaluated twice."""
    asked = {**grid, "methods": [variant.method], "metrics": list(CHOOSING), "snr_db": list(variant.snr_db)}
    asked["information_points"] = grid.get("information_points", 0) if len(variant.snr_db) > 1 else 0
    params = EvaluateParams.model_validate(asked)
    precision = resolve_precision(variant.params.precision, variant.params.device)
    protocol = Protocol.of(photos, params, variant.sample, seed=variant.params.seed, precision=precision)
    out = PLACE / f"results-{os.getpid()}.csv"  # several of these may run at once
    evaluation = follow(
        protocol,
        models,
        photos,
        [variant.method],
        device=variant.params.device,
        out=out,
        workers=cluster.Workers(workers),
        store=Path(".jscgc/results"),
    )
    out.unlink()
    return evaluation


def main() -> None:
    """Train and evaluate all variants; the table is written after each."""
    parser = argparse.ArgumentParser(
        "python -m pipeline.ablations", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--out", type=user_path, default=Path("reports/ablations.csv"), metavar="CSV")
    parser.add_argument("--workers", type=natural, default=0, metavar="N", help="Ray workers; 0: one per core")
    parser.add_argument("--only", nargs="+", default=[], metavar="VARIANT", help="these, and joint")
    a = parser.parse_args()
    check_file(a.out, ("variant", "snr_db", "metric", "mean"))
    content, params = read_yaml(FILE), load_params().settled()
    planned = list(variants(content, params))
    if unknown := set(a.only) - {variant.name for variant in planned}:
        raise ValueError(f"--only: no variant {sorted(unknown)[0]!r} in {FILE}")
    for need in (LATENTS, MODELS / "vae", MODELS / "flow", MODELS / CODEC):
        if not need.exists():
            raise ValueError(f"{need} is missing; run: dvc repro pretrain_flow train_mambajscc_psnr")
    every = split_files(PHOTOS, "validation")
    photos = every[:: max(1, len(every) // content["photos"])][: content["photos"]]
    rows: list[dict[str, Any]] = []
    base = None
    for variant in planned:
        if a.only and variant.name not in (BASE, *a.only):
            continue
        models, seconds = train(variant)
        results = evaluate(variant, models, content["evaluate"], photos, a.workers).of(variant.method)
        rows += compare(variant.name, results, base, seconds)
        base = results if variant.name == BASE else base
        write_rows(rows, a.out)
        print(f"{variant.name}: {len(photos)} photographs, training {seconds:.0f} s", flush=True)
    print(f"{len(rows)} rows in {a.out}")


if __name__ == "__main__":
    apart.as_command("ablations", main)
