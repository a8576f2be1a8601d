"""What a finished job is known by: everything its result depends on, and nothing else.

    job        method, control, channel, SNR, rate, seed, sampler settings (of a method that samples), samples, information points
    photo      its name (it enters the draws) and the SHA-256 of its file, the longer side it is reduced to
    scoring    metrics with the SHA-256 of their weights, patch side
    weights    SHA-256 of the model's folder and of its VAE's; of pretrained models that these name, too (the hub's: the commit)
    code       the sources that a job runs, without comments and docstrings, and the versions of the packages that these import
    device     cpu or cuda

One that differs in any of these is another job and is run. What is left out on purpose: who runs it, and with how many workers;
which other jobs are in the grid; `config.py` (it checks values, and the values are in the key); processor and driver, which
may move the last digits: copy a store to another kind of machine, and both kinds of rows are taken for the same.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from jscgc.config import digest
from jscgc.evaluation.grid import ORIGINAL, Job
from jscgc.evaluation.protocol import Protocol
from jscgc.files import read_json, sha256
from jscgc.methods import CLASSICAL, CODECS

PACKAGE = Path(__file__).parents[1]
_SCORING = ("data/images.py", "evaluation/grid.py", "metrics")
_LINK = ("channel", "seeding.py", "systems/base.py")
CODE = {
    "original": _SCORING,
    "classical": (*_SCORING, *_LINK, "classical", "systems/separation.py", "systems/store.py"),
    "learned": (*_SCORING, *_LINK, "encoder", "flow", "generator", "information.py", "latent", "systems"),
}
"""Sources that a job runs, by kind of method: files and folders of this package. A test watches jobs of every kind."""
NOT_SAMPLING = (*CLASSICAL, *CODECS, "mambajscc_psnr")
"""Methods on which the sampler's settings have no effect."""
FORMAT = 1
"""Of the identity: raised if what is in it changes its meaning."""


def kind(method: str) -> str:
    """The key of `CODE` that a method belongs to."""
    return ORIGINAL if method == ORIGINAL else "classical" if method in CLASSICAL else "learned"


@dataclass(frozen=True)
class JobKey:
    """method: of the job. identity: canonical JSON of all that the result depends on. key: its SHA-256."""

    method: str
    identity: str
    key: str


class Identities:
    """Gives jobs their keys; models, sources and versions are looked at once."""

    def __init__(self, protocol: Protocol, models: Path, device: str) -> None:
        self._protocol, self._models, self._device = protocol, models, device
        self._images = {image.name: image.sha256 for image in protocol.images}
        self._weights: dict[str, str] = {}

    def of(self, job: Job) -> JobKey:
        """The key of a job.

        Raises:
            ValueError: its method is not trained; says what to do.
        """
        protocol = self._protocol
        changes = {"steps": job.steps or None, "guidance": job.guidance}
        sample = protocol.sample.model_copy(update={k: v for k, v in changes.items() if v is not None})
        samples = job.method not in (*NOT_SAMPLING, ORIGINAL)
        names = list(self._images)
        following = names[(names.index(job.image) + 1) % len(names)]
        content = {
            "format": FORMAT,
            "method": job.method,
            "control": job.control,
            "channel": job.channel,
            "snr_db": job.snr_db,
            "rate": job.rate,
            "seed": 0 if job.method == ORIGINAL else job.seed,
            "dial": list(job.dial),
            "information_points": job.information_points,
            "sample": sample.model_dump(mode="json") if samples else None,
            "image": job.image,
            "image_sha256": self._images[job.image],
            "other_sha256": self._images[following] if job.control == "wrong_symbols" else None,
            "max_side": protocol.max_side,
            "metrics": [metric.model_dump(mode="json") for metric in protocol.metrics],
            "patch": protocol.patch,
            "weights": self._weights_of(job.method),
            "code": code_digest(kind(job.method)),
            "packages": packages(kind(job.method)),
            "device": self._device,
        }
        identity = json.dumps(content, sort_keys=True)
        return JobKey(job.method, identity, hashlib.sha256(identity.encode()).hexdigest())

    def _weights_of(self, method: str) -> str:
        if method not in self._weights:
            untrained = kind(method) != "learned"
            self._weights[method] = "" if untrained else weights_digest(self._models, method)
        return self._weights[method]


def weights_digest(models: Path, method: str) -> str:
    """Of a trained method and of the VAE that it decodes with: SHA-256 of the folders, and of what they name elsewhere.

    Raises:
        ValueError: not trained.
    """
    from jscgc.systems.store import on_pixels

    if not (models / method / "model.json").exists():
        raise ValueError(
            f"{models / method}: no trained model here; train with `dvc repro`, or name the place with --models"
        )
    folders = [models / method] if on_pixels(method) else [models / method, models / "vae"]
    return digest([[sha256(folder), *_elsewhere(read_json(folder / "model.json"))] for folder in folders])


def _elsewhere(description: Any) -> Iterator[str]:
    """What stands for the content of every pretrained model that a description names by a key ending in `_path`."""
    if isinstance(description, list):
        for value in description:
            yield from _elsewhere(value)
    elif isinstance(description, dict):
        for key, value in sorted(description.items()):
            if key.endswith("_path") and isinstance(value, str) and value:
                yield sha256(Path(value)) if Path(value).exists() else _hub_commit(value)
            else:
                yield from _elsewhere(value)


def _hub_commit(model: str) -> str:
    """The commit that the hub's cache holds of a model; empty if it holds none."""
    from huggingface_hub.constants import HF_HUB_CACHE

    reference = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "refs" / "main"
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else ""


@cache
def code_digest(of: str) -> str:
    """Of what the sources of a kind of method mean: comments, docstrings and layout do not count."""
    return digest([(path.relative_to(PACKAGE).as_posix(), _meaning(path)) for path in _sources(of)])


@cache
def packages(of: str) -> dict[str, str]:
    """Python's version, and by import name those of all packages that the sources import; empty if one is not installed."""
    names = {
        name.split(".")[0]
        for path in _sources(of)
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
    }
    distributions = _distributions()
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in sorted(names - sys.stdlib_module_names - {PACKAGE.name}):
        versions = [metadata.version(distribution) for distribution in sorted(set(distributions.get(name, [])))]
        found[name] = " ".join(versions)
    return found


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: list(found) for name, found in metadata.packages_distributions().items()}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def _sources(of: str) -> list[Path]:
    found: list[Path] = []
    for part in CODE[of]:
        path = PACKAGE / part
        found += [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    return sorted(set(found))


def _meaning(path: Path) -> str:
    if path.suffix != ".py":
        return sha256(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
