"""What a finished job is known by: everything its result depends on, and nothing else.

    job        method, control, channel, SNR, rate, seed, sampler settings (of a method that samples), samples, information points
    photo      its name (it enters the draws) and the SHA-256 of its file, the longer side it is reduced to
    scoring    metrics with the SHA-256 of their weights, patch side
    weights    SHA-256 of the model's folder and of its VAE's; of pretrained models that these name, too (the hub's: the commit);
               by these, and by no number, several trainings of a method are told apart
    code       the sources that a job can run (`jscgc.sources`), without comments and docstrings: its method's, its channel's, its
               metrics', and what these import; and the versions of the packages that they import
    device     cpu or cuda
    precision  of the networks, where that is not float32

One that differs in any of these is another job and is run. What is left out on purpose: who runs it, and with how many workers;
which other jobs are in the grid; processor and driver, which may move the last digits: copy a store to another kind of machine,
and both kinds of rows are taken for the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from jscgc import sources
from jscgc.channel import spec
from jscgc.channel.spec import KINDS, parse_channel
from jscgc.config import digest
from jscgc.evaluation.jobs import ORIGINAL, Job, Pictures, Place
from jscgc.evaluation.protocol import Protocol
from jscgc.files import companion, read_json, sha256
from jscgc.flow.params import SampleParams
from jscgc.method import METHODS, network
from jscgc.metrics import registry
from jscgc.sources import PACKAGE, closure, entry

_WORKER = ("evaluation/worker.py", "evaluation/memory.py", "evaluation/jobs.py", "memory.py", "systems/load.py")
"""What a job is run by: it can run any method, so that its imports say nothing of one job's."""
_SCORING = ("jscgc.data.images", "jscgc.metrics.patches", "jscgc.metrics.scoring")
_LINK = ("jscgc.systems.transmit", "jscgc.systems.cost", "jscgc.channel.channels")
_STORE = "jscgc.systems.store"
FORMAT = 1
"""Of the identity: raised if what is in it changes its meaning."""


def entries(method: str, channel: str, metrics: Iterable[str], model: Path, sample: SampleParams) -> tuple[str, ...]:
    """What a job of this kind runs, as `sources.closure` takes it.

    Args:
        method: a method's name, or ORIGINAL, which crosses no channel.
        channel: with its options.
        model: folder of the method's network; its model.json names a backbone.

    Raises:
        ValueError: the method is not trained.
    """
    scored = [*_SCORING, *(registry.module(name) for name in metrics)]
    if method == ORIGINAL:
        return tuple(sorted(scored))
    declared = METHODS[method]
    if declared.system:
        scored.append(entry(declared.system))
    else:
        scored += [_STORE, entry(network(method).build), *_named(model)]
    if declared.samples:
        scored += sample.modules()
    return tuple(
        sorted({*scored, *_LINK, METHODS.module(method) + ":<outside>", KINDS.module(parse_channel(channel).name)})
    )


def _named(folder: Path) -> frozenset[str]:
    from jscgc.systems.store import describe

    _check_trained(folder)
    return frozenset(describe(folder).architecture.network.modules())


@dataclass(frozen=True)
class JobKey:
    """method: of the job. identity: canonical JSON of all that the result depends on. key: its SHA-256."""

    method: str
    identity: str
    key: str


class Identities:
    """Gives jobs their keys; models, sources and versions are looked at once.

    Args:
        models: the folder of training 0; `further`: those of trainings 1, 2, ...
    """

    def __init__(
        self,
        protocol: Protocol,
        models: Path,
        device: str,
        further: Sequence[Path] = (),
        received: Pictures | None = None,
    ) -> None:
        self._protocol, self._models, self._device = protocol, (models, *further), device
        self._received = received or {}
        self._images = {image.name: image.sha256 for image in protocol.images}
        self._weights: dict[tuple[str, Path], str] = {}
        self._entries: dict[tuple[str, str, str, Path, tuple[str, ...]], tuple[str, ...]] = {}

    def of(self, job: Job) -> JobKey:
        """The key of a job.

        Raises:
            ValueError: its method is not trained; says what to do.
        """
        protocol = self._protocol
        changes = {"steps": job.steps or None, "guidance": job.guidance}
        sample = protocol.sample.model_copy(update={k: v for k, v in changes.items() if v is not None})
        runs = job.method != ORIGINAL and not job.received
        trained = runs and METHODS[job.method].network is not None
        samples = runs and METHODS[job.method].samples
        models = self._models[job.training]
        scored = [metric for metric in protocol.metrics if metric.name not in job.without]
        names = tuple(metric.name for metric in scored)
        run = self._run(job.method if runs else ORIGINAL, job.channel, sample, models / job.sender, names)
        reads_other = job.control == "wrong_symbols" or job.information_points > 0
        images = list(self._images)
        following = images[(images.index(job.image) + 1) % len(images)]
        content: dict[str, Any] = {
            "format": FORMAT,
            "method": job.method,
            "control": job.control,
            "channel": job.channel,
            "channel_files": spec.identity(job.channel) if job.channel else "",
            "snr_db": job.snr_db + 0.0,
            "rate": job.rate,
            "seed": 0 if job.method == ORIGINAL else job.seed,
            "dial": list(job.dial),
            "information_points": job.information_points,
            "sample": sample.model_dump(mode="json", exclude={"calibrated"}) if samples else None,
            "image": job.image,
            "image_sha256": self._images[job.image],
            "other_sha256": self._images[following] if reads_other else None,
            "max_side": protocol.max_side,
            "metrics": [metric.model_dump(mode="json") for metric in scored],
            "patch": protocol.patch,
            "weights": self._weights_of(job.method, models / job.sender) if trained else "",
            "code": code_digest(run),
            "packages": packages(run),
            "device": self._device,
        }
        if trained and protocol.precision != "float32":  # keys from before there was a choice stay what they are
            content["precision"] = protocol.precision
        if job.received:
            given = self._received[Place.of(job)]
            content["received"] = [sha256(given.file) if given.file else "", given.steps, given.told]
        identity = json.dumps(content, sort_keys=True)
        return JobKey(job.method, identity, hashlib.sha256(identity.encode()).hexdigest())

    def _run(
        self, method: str, channel: str, sample: SampleParams, model: Path, scored: tuple[str, ...]
    ) -> tuple[str, ...]:
        if (place := (method, channel, sample.solver, model, scored)) not in self._entries:
            self._entries[place] = entries(method, channel, scored, model, sample)
        return self._entries[place]

    def _weights_of(self, method: str, model: Path) -> str:
        if (place := (method, model)) not in self._weights:
            self._weights[place] = weights_digest(model, method)
        return self._weights[place]


def weights_digest(model: Path, method: str) -> str:
    """Of a method's model and of the VAE that it decodes with: SHA-256 of the folders, and of what they name elsewhere.

    Raises:
        ValueError: not trained.
    """
    _check_trained(model)
    folders = [model] if network(method).pixels else [model, companion(model, "vae")]
    return digest([[sha256(folder), *_elsewhere(read_json(folder / "model.json"))] for folder in folders])


def _check_trained(folder: Path) -> None:
    if not (folder / "model.json").exists():
        raise ValueError(f"{folder}: no trained model here; train with `dvc repro`, or name the place with --models")


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
def code_digest(run: tuple[str, ...]) -> str:
    """Of what the sources mean that `run` (see `entries`) can run: comments, docstrings and layout do not count."""
    return digest(sources.code(_sources(run)))


@cache
def packages(run: tuple[str, ...]) -> dict[str, str]:
    """Python's version, and by import name those of all packages that the sources import; empty if one is not installed."""
    distributions = _distributions()
    installed = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in sorted(sources.packages(_sources(run)) - sys.stdlib_module_names):
        versions = [metadata.version(distribution) for distribution in sorted(set(distributions.get(name, [])))]
        installed[name] = " ".join(versions)
    return installed


def _sources(run: tuple[str, ...]) -> list[Path]:
    return sorted({*closure(*run), *(PACKAGE / path for path in _WORKER)})


_distributions = cache(metadata.packages_distributions)
