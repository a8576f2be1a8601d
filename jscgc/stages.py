"""The graph of stages, stated once: what each reads, by which code and which keys of params.yaml it makes what.

`pipeline.graph` makes dvc.yaml of it; sweeps, ablations, checkpoints' names and the identity of results read it, too. The stages
of the networks follow from their declarations (`jscgc.method`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jscgc.channel.spec import KINDS
from jscgc.config import Section, digest
from jscgc.files import SHIPPED, sha256
from jscgc.flow.solver import SOLVERS
from jscgc.generator.backbones import BACKBONES
from jscgc.method import METHODS, PARTS, Network, network, parted, trainable
from jscgc.metrics import registry as metrics
from jscgc.params import Params
from jscgc.sources import PACKAGE, closure, code, entry

PLACES = {"photos": Path("photos"), "latents": Path("latents")}
"""Results that are no models, by their folder below the data's."""
LEAVES = (PACKAGE / "params.py",)
"""Sources of all stages, whose own imports count only where a stage's keys name them: defaults of the sections stand there."""


@dataclass(frozen=True)
class Stage:
    """How one result is made.

    makes: its name: `photos`, `vae`, `latents` or a network's. needs: results that it reads. entries: code, as of
    `sources.closure`. keys: of params.yaml, beside the device.
    """

    makes: str
    about: str
    needs: tuple[str, ...]
    entries: tuple[str, ...]
    keys: tuple[str, ...]

    def sources(self, params: Params) -> tuple[Path, ...]:
        """The files of ours that its result depends on: its code, what its sections name (channels, a
        backbone), and their defaults."""
        entries = {*self.entries, *(_module(params, key) for key in self.keys)}
        known = trainable()
        shapes = [known[one].describe(params) for one in (self.makes, *self.needs) if one in known]
        for section in (*shapes, *(params.at(key) for key in self.keys)):
            entries |= section.modules() if isinstance(section, Section) else set()
        return tuple(sorted({*closure(*sorted(entries)), *LEAVES}))

    def values(self, params: Params) -> dict[str, Any]:
        """What of params.yaml it depends on itself."""
        content = params.model_dump(mode="json")
        return {key: value_at(content, key) for key in sorted(self.keys)}


def name_of(result: str) -> str:
    """DVC's stage that makes a result."""
    names = {"photos": "prepare", "vae": "train_vae", "latents": "extract_latents", "flow": "pretrain_flow"}
    method, link = parted(result)
    return f"finetune_{method}@{link}" if link else names.get(result, f"train_{result}")


def file_of(stage: str) -> str:
    """What a stage's files are named by: MLflow takes no `@`."""
    return stage.replace("@", "-")


def starts_from_shipped(result: str) -> bool:
    """Whether an `init` other than scratch reads the one that comes with the package."""
    return result == "vae" or (result in trainable() and network(result).starts_from_shipped)


def place(result: str) -> Path:
    """Where a result lies, below the data's folder."""
    return PLACES.get(result, Path("models") / result)


def stage(result: str) -> Stage:
    """How a result is made.

    Raises:
        ValueError: nothing makes it.
    """
    if result in _FIXED:
        return _FIXED[result]
    method, link = parted(result)
    return _finetuning(method, link) if link else _training(result)


def trains(result: str) -> bool:
    """Whether something is learnt on the way to it, so that there is a curve."""
    method, _ = parted(result)
    return result == "vae" or (method in trainable() and bool(network(method).trained_by))


def before(result: str) -> list[str]:
    """The results that lead to one, in the order in which they can be made."""
    results = [name for need in stage(result).needs for name in (*before(need), need)]
    return list(dict.fromkeys(results))


def evaluation_sources() -> tuple[Path, ...]:
    """What an evaluation can run: every method's, channel's and metric's code, since it can be asked for any of them."""
    return tuple(sorted({*closure("jscgc.evaluation.run", *declared(), *_receiving()), *LEAVES}))


def report_sources() -> tuple[Path, ...]:
    """What a report is made by: its code, and the names and looks that methods, channels and metrics declare."""
    return closure("jscgc.report", "jscgc.report.build", *declared())


def theory_sources() -> tuple[Path, ...]:
    """What the theory is checked by."""
    return closure("jscgc.theory.run", "jscgc.theory", "jscgc.latent.spectrum", KINDS.module("awgn"))


def declared() -> list[str]:
    """Every module that declares, as entries of `sources.closure`; of methods what stands outside of their functions."""
    methods = [f"{registry.module(name)}:<outside>" for registry in (PARTS, METHODS) for name in registry.names]
    named = (KINDS, BACKBONES, SOLVERS, metrics.METRICS)
    return [*methods, *(registry.module(name) for registry in named for name in registry.names)]


def _receiving() -> list[str]:
    made = [entry(method.system) for method in METHODS if method.system]
    return [*made, *(entry(network.build) for network in trainable().values())]


def checkpoint_key(result: str, params: Params, inputs: Mapping[str, Path]) -> str:
    """What a training's checkpoints are named by: its parameters, code, inputs, and what it starts from of the package's.

    Args:
        inputs: each of what it needs -> its folder.
    """
    made_by, read = stage(result), dict(inputs)
    if "photos" in read and (manifest := read["photos"] / "manifest.json").exists():
        read["photos"] = manifest  # it holds the checksum of every photograph
    if params.init != "scratch" and starts_from_shipped(result):
        read["shipped"] = SHIPPED / result
    content = {name: sha256(path) for name, path in read.items()}
    return digest(made_by.values(params), params.device, content, code(made_by.sources(params)))


@cache
def _training(name: str) -> Stage:
    how = network(name)
    return Stage(name, how.about, how.needs, _code(name, how), ("seed", "precision", *how.keys, how.section))


@cache
def _finetuning(method: str, link: str) -> Stage:
    how, joint = network(method), _training(method)
    if not how.finetunes:
        raise ValueError(f"{method} can't be fine-tuned")
    keys = (*(key for key in joint.keys if key != "link"), f"finetune.links.{link}", "finetune.train")
    return Stage(
        f"{method}-{link}", f"{method} from its joint model, for link {link}", ("latents", method), joint.entries, keys
    )


def _code(name: str, how: Network) -> tuple[str, ...]:
    """Its recipe, what builds it and what it needs, what declares these, and the distances it is trained for."""
    known = trainable()
    built = [name, *(need for need in how.needs if need in known)]
    builders = [entry(function) for one in built for function in (known[one].build, known[one].describe)]
    declared = [f"{(PARTS if one in PARTS else METHODS).module(one)}:<outside>" for one in built]
    return (entry(how.recipe), *builders, *declared, *(metrics.module(metric) for metric in how.metrics))


def _module(params: Params, key: str) -> str:
    """The module of the section that a key is in."""
    value: Any = params.at(key)
    while not isinstance(value, Section):
        key, _, _ = key.rpartition(".")
        value = params.at(key) if key else params
    return "jscgc.config" if value is params else type(value).__module__


def value_at(content: Any, key: str) -> Any:
    """The value at a dotted key of nested mappings; None where there is none."""
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


_FIXED = {
    "photos": Stage(
        "photos",
        "Photographs, split by photograph, with a manifest of checksums and licences",
        (),
        ("jscgc.data.prepared",),
        ("seed", "data"),
    ),
    "vae": Stage(
        "vae",
        "The nano VAE (or a pretrained one, passed through)",
        ("photos",),
        ("jscgc.training.vae", "jscgc.metrics.kinds.feature_distance"),
        ("seed", "precision", "init", "vae", "latents.min_scale"),
    ),
    "latents": Stage(
        "latents",
        "Latents of random crops, normalised per channel and cached",
        ("photos", "vae"),
        ("jscgc.training.latents",),
        ("seed", "init", "latents"),
    ),
}
