"""Trained systems on disk: a folder each with model.json (what it is) and weights.safetensors, never pickle."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationError, model_validator
from torch import nn

from jscgc.channel.accounting import GRID
from jscgc.config import (
    BaselineParams,
    EncoderParams,
    FewStepParams,
    GeneratorParams,
    JscgcParams,
    Params,
    Rate,
    Section,
)
from jscgc.encoder.cnn import CnnDecoder, CnnEncoder
from jscgc.files import atomic, read_json, write_json
from jscgc.generator.lora import add_lora
from jscgc.latent.autoencoder import LatentSpace, LatentStatistics, load_weights, save_weights
from jscgc.latent.pixels import PIXELS, PixelVae
from jscgc.methods import CLASSICAL, CODECS, PIXEL, PIXEL_START, SYSTEMS, CodecName
from jscgc.systems.base import LatentSystem, SeparatedSystem
from jscgc.systems.diffcom import DiffComNet
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.jscgc_fast import FastJscgcNet
from jscgc.systems.mambajscc import Codec
from jscgc.systems.receiver import Generator

Kind = Literal["flow", "jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc", "diffcom"] | CodecName
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
    baselines: BaselineParams

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
            baselines=params.baselines,
        )

    def elsewhere(self, name: str) -> bool:
        """Whether a weight of that name is a pretrained generator's, unchanged: it stays where it came from."""
        changed = self.kind not in ("flow", "diffcom") and self.jscgc.tuning == "full"
        return self.generator.source == "pretrained" and not changed and "backbone.net." in name and "lora_" not in name


def on_pixels(name: str) -> bool:
    """Whether a method sends pixels and no VAE's latents."""
    return name in PIXEL or name.endswith("_pixels")


def perceptual_start(name: str) -> str:
    """The codec for least squared error that one for a perceptual distance is trained on from."""
    return PIXEL_START if on_pixels(name) else "mambajscc_psnr"


def build(
    architecture: Architecture, latents: LatentStatistics
) -> Generator | Codec | JscgcNet | FastJscgcNet | DiffJsccNet | DiffComNet:
    """A randomly initialised network; `latents` are those of `PIXELS` for codecs on pixels."""
    a, channels, factor, max_rate = architecture, latents.channels, latents.factor, architecture.max_rate
    if a.kind == "flow":
        return Generator(channels, a.generator)
    if a.kind == "deepjscc":
        width = a.baselines.deepjscc.width
        return Codec(CnnEncoder(channels, width, max_rate, GRID), CnnDecoder(channels, width, max_rate, GRID))
    if a.kind == "swinjscc":
        # Only here: torchvision takes a second to import.
        from jscgc.encoder.swin import SwinDecoder, SwinEncoder

        swin = a.baselines.swinjscc
        return Codec(SwinEncoder(channels, swin, max_rate), SwinDecoder(channels, swin, max_rate))
    if a.kind == "mambajscc_psnr" or a.kind in CODECS:
        sizes = a.baselines.mamba_pixels if on_pixels(a.kind) else a.encoder
        return Codec.mamba(channels, sizes, max_rate, factor)
    prior = Generator(channels, a.generator)
    if a.kind == "diffcom":
        return DiffComNet(Codec.mamba(channels, a.encoder, max_rate, factor), prior, a.baselines.diffcom)
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


def latent_space(vae: Path, latents: LatentStatistics) -> LatentSpace:
    """The space that a model's latents belong to: the VAE's in a folder, or the pixels themselves.

    Raises:
        ValueError: the model was trained on another VAE.
    """
    return LatentSpace(PixelVae(), PIXELS) if latents == PIXELS else LatentSpace.load(vae, latents)


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
    return [name for name in SYSTEMS if (models / name / "model.json").exists()]


def load_system(name: str, models: Path = MODELS, device: torch.device | str = "cpu") -> LatentSystem | SeparatedSystem:
    """A system by name; the classical ones need no models.

    Raises:
        ValueError: no such method (suggests the nearest), or it is not trained.
    """
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, SYSTEMS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"unknown method {name!r}: {hint}available: {', '.join(SYSTEMS)}")
    if name in CLASSICAL:
        # Only here: scipy's statistics take as long as half of torch to import.
        from jscgc.systems.separation import Separation

        codec, code = name.split("_")
        return Separation(codec, "capacity" if code == "capacity" else "ldpc")
    trained = load(models / name)
    space = latent_space(models / "vae", trained.latents)
    return LatentSystem(name, space.to(device), trained.net.to(device), tuple(trained.architecture.rates))
