"""Trained systems on disk: a folder each with model.json (what it is) and weights.safetensors, never pickle."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
from pydantic import Field, ValidationError, model_validator
from torch import nn

from jscgc.config import EncoderParams, FewStepParams, GeneratorParams, JscgcParams, Params, Rate, Section, SystemName
from jscgc.files import atomic, read_json, write_json
from jscgc.generator.lora import add_lora
from jscgc.latent.autoencoder import LatentSpace, LatentStatistics, load_weights, save_weights
from jscgc.systems.base import LatentSystem
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.jscgc_fast import FastJscgcNet
from jscgc.systems.mambajscc import Codec
from jscgc.systems.receiver import Generator

Kind = Literal["flow", "jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc"]
MODELS = Path("data/models")


class Architecture(Section):
    """All that is needed to build a network again; written beside its weights."""

    kind: Kind
    rates: Annotated[list[Rate], Field(min_length=1)]
    max_rate: Rate
    """Symbols per position that the networks have planes for: the largest rate ever trained, in a warm start too."""
    encoder: EncoderParams
    generator: GeneratorParams
    jscgc: JscgcParams
    few_step: FewStepParams

    @model_validator(mode="after")
    def _has_the_planes(self) -> Architecture:
        if max(self.rates) > self.max_rate:
            raise ValueError(f"rates {self.rates} go beyond max_rate {self.max_rate}")
        return self

    @classmethod
    def of(cls, kind: Kind, params: Params) -> Architecture:
        return cls(
            kind=kind,
            rates=sorted(params.link.rates),
            max_rate=max(params.link.rates + (params.jscgc.warm_start.link.rates if params.jscgc.warm_start else [])),
            encoder=params.encoder,
            generator=params.generator,
            jscgc=params.jscgc,
            few_step=params.few_step,
        )

    def elsewhere(self, name: str) -> bool:
        """Whether a weight of that name is a pretrained generator's, unchanged: it stays where it came from."""
        changed = self.kind != "flow" and self.jscgc.tuning == "full"
        return self.generator.source == "pretrained" and not changed and "backbone.net." in name and "lora_" not in name


def build(
    architecture: Architecture, latents: LatentStatistics
) -> Generator | Codec | JscgcNet | FastJscgcNet | DiffJsccNet:
    """A randomly initialised network."""
    a, channels, factor, max_rate = architecture, latents.channels, latents.factor, architecture.max_rate
    if a.kind == "flow":
        return Generator(channels, a.generator)
    if a.kind == "mambajscc_psnr":
        return Codec.mamba(channels, a.encoder, max_rate, factor)
    prior = Generator(channels, a.generator)
    if a.jscgc.tuning == "lora":
        add_lora(prior.backbone, a.jscgc.lora_rank)
    if a.kind in ("jscgc", "jscgc_fast"):
        net = JscgcNet(channels, a.encoder, prior, a.jscgc, max_rate, factor)
        return net if a.kind == "jscgc" else FastJscgcNet(net, a.few_step)
    codec = Codec.mamba(channels, a.encoder, max_rate, factor)
    return DiffJsccNet(channels, codec, prior, a.jscgc)


def save(folder: Path, architecture: Architecture, latents: LatentStatistics, net: nn.Module) -> None:
    """Write a trained network: whole or not at all."""
    with atomic(folder) as temporary:
        temporary.mkdir()
        content = {"architecture": architecture.model_dump(mode="json"), "latents": asdict(latents)}
        write_json(temporary / "model.json", content)
        save_weights(net, temporary / "weights.safetensors", architecture.elsewhere)


@dataclass(frozen=True)
class Trained:
    """A network from disk, in evaluation mode, with what it is."""

    architecture: Architecture
    latents: LatentStatistics
    net: Any


def load(folder: Path) -> Trained:
    """Read a folder that `save` wrote.

    Raises:
        ValueError: missing or damaged; says what to do.
    """
    if not (folder / "model.json").exists():
        raise ValueError(f"{folder}: no trained model here; train with `dvc repro`, or name the place with --models")
    content: Any = read_json(folder / "model.json")
    try:
        architecture = Architecture.model_validate(content["architecture"])
        latents = LatentStatistics(**content["latents"])
    except (ValidationError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'model.json'}: not a model description ({str(error).splitlines()[0]})") from None
    net = build(architecture, latents)
    load_weights(net, folder / "weights.safetensors", architecture.elsewhere)
    return Trained(architecture, latents, net.eval())


def trained_systems(models: Path) -> list[str]:
    """Names of the systems that lie trained in a folder of models."""
    return [name for name in get_args(SystemName) if (models / name / "model.json").exists()]


def load_system(name: str, models: Path = MODELS, device: torch.device | str = "cpu") -> LatentSystem:
    """A trained system by name.

    Raises:
        ValueError: no such method (suggests the nearest), or it is not trained.
    """
    if name not in get_args(SystemName):
        near = difflib.get_close_matches(name, get_args(SystemName), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"unknown method {name!r}: {hint}available: {', '.join(get_args(SystemName))}")
    trained = load(models / name)
    space = LatentSpace.load(models / "vae", trained.latents)
    return LatentSystem(name, space.to(device), trained.net.to(device), tuple(trained.architecture.rates))
