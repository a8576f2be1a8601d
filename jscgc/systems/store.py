"""Trained systems on disk: a folder each with model.json (what it is) and weights.safetensors, never pickle.

A model may share parts with the models beside it (DiffJSCC's codec is mambajscc_psnr): model.json then names them and their
checksum, and the weights lie there once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, ValidationError, model_validator
from safetensors.torch import load_file
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
    complaints,
)
from jscgc.encoder.cnn import CnnDecoder, CnnEncoder
from jscgc.files import atomic, read_json, sha256, write_json
from jscgc.generator.lora import add_lora
from jscgc.latent.autoencoder import LatentSpace, LatentStatistics, check_weights, load_weights, save_weights
from jscgc.latent.pixels import PIXELS, PixelVae
from jscgc.methods import CLASSICAL, CODECS, PIXEL, PIXEL_START, SHIPPED, SYSTEMS, CodecName
from jscgc.systems.base import LatentSystem, SeparatedSystem
from jscgc.systems.diffcom import DiffComNet
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.jscgc_fast import FastJscgcNet
from jscgc.systems.mambajscc import Codec
from jscgc.systems.receiver import Prior

Kind = Literal["flow", "jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc", "diffcom"] | CodecName
NAMED = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


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
        changed = self.kind not in ("flow", "diffcom") and self.jscgc.generator_learns
        return self.generator.source == "pretrained" and not changed and "backbone.net." in name and "lora_" not in name


def on_pixels(name: str) -> bool:
    """Whether a method sends pixels and no VAE's latents."""
    return name in PIXEL or name.endswith("_pixels")


def perceptual_start(name: str) -> str:
    """The codec for least squared error that one for a perceptual distance is trained on from."""
    return PIXEL_START if on_pixels(name) else "mambajscc_psnr"


def build(
    architecture: Architecture, latents: LatentStatistics
) -> Prior | Codec | JscgcNet | FastJscgcNet | DiffJsccNet | DiffComNet:
    """A randomly initialised network; `latents` are those of `PIXELS` for codecs on pixels."""
    a, channels, factor, max_rate = architecture, latents.channels, latents.factor, architecture.max_rate
    if a.kind == "flow":
        return Prior(channels, a.generator)
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
    prior = Prior(channels, a.generator)
    if a.kind == "diffcom":
        return DiffComNet(Codec.mamba(channels, a.encoder, max_rate, factor), prior, a.baselines.diffcom)
    if a.jscgc.tuning == "lora":
        add_lora(prior.backbone, a.jscgc.lora_rank)
    if a.kind in ("jscgc", "jscgc_fast"):
        net = JscgcNet(channels, a.encoder, prior, a.jscgc, max_rate, factor)
        return net if a.kind == "jscgc" else FastJscgcNet(net, a.few_step)
    codec = Codec.mamba(channels, a.encoder, max_rate, factor)
    return DiffJsccNet(channels, codec, prior, a.jscgc)


class Shared(Section):
    """A part of a network that is another model, which lies beside it: `model`, with this SHA-256 of its weights."""

    model: NAMED
    sha256: str


class Description(Section):
    """What model.json says."""

    architecture: Architecture
    latents: Annotated[LatentStatistics, BeforeValidator(LatentStatistics.of)]
    shared: dict[str, Shared] = Field(default={})


def save(
    folder: Path,
    architecture: Architecture,
    latents: LatentStatistics,
    net: nn.Module,
    shared: Mapping[str, str] | None = None,
) -> None:
    """Write a trained network: whole or not at all.

    Args:
        shared: part of the network (such as `codec`) -> the model beside `folder` that it is, bit for bit, and not written again.

    Raises:
        ValueError: a shared part differs from that model.
    """
    parts = {part: Shared(model=name, sha256=sha256(_weights(folder, name))) for part, name in (shared or {}).items()}
    for part, at in parts.items():
        other = load_file(_weights(folder, at.model))
        own = net.get_submodule(part).state_dict()
        if own.keys() != other.keys() or any(not torch.equal(own[n].cpu().to(other[n].dtype), other[n]) for n in own):
            raise ValueError(f"{folder}: its {part} is not the {at.model} beside it")
    with atomic(folder) as temporary:
        temporary.mkdir()
        content: dict[str, Any] = {"architecture": architecture.model_dump(mode="json"), "latents": asdict(latents)}
        if parts:
            content["shared"] = {part: at.model_dump() for part, at in parts.items()}
        write_json(temporary / "model.json", content)
        save_weights(
            net,
            temporary / "weights.safetensors",
            lambda name: architecture.elsewhere(name) or name.split(".")[0] in parts,
        )


def _weights(folder: Path, model: str) -> Path:
    return folder.parent / model / "weights.safetensors"


def _fill_shared(
    net: nn.Module, folder: Path, shared: Mapping[str, Shared], fill: Callable[[nn.Module, Path], None]
) -> None:
    """Load (or check) the parts that lie with the models beside `folder`.

    Raises:
        ValueError: one is missing, damaged or not the one that the model was made with.
    """
    for part, at in shared.items():
        path = _weights(folder, at.model)
        if not path.is_file():
            raise ValueError(f"{folder}: its {part} is the {at.model} beside it, and {path} is missing")
        if sha256(path) != at.sha256:
            raise ValueError(f"{path}: not the {at.model} that {folder.name} was made with")
        child = getattr(net, part, None)
        if not isinstance(child, nn.Module):
            raise ValueError(f"{folder / 'model.json'}: the network has no part {part!r}")
        fill(child, path)


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
        description = Description.model_validate(content)
    except ValidationError as error:
        raise ValueError(f"{folder / 'model.json'}: not a model description: {complaints(error)}") from None
    architecture, latents, shared = description.architecture, description.latents, description.shared

    def elsewhere(name: str) -> bool:
        return architecture.elsewhere(name) or name.split(".")[0] in shared

    if architecture.generator.source == "scratch":
        # First without memory: a description may ask for more than there is, its weights have the sizes that they have.
        with torch.device("meta"):
            sketch = _built(architecture, latents, folder)
        _fill_shared(sketch, folder, shared, check_weights)
        check_weights(sketch, folder / "weights.safetensors", elsewhere)
    net = _built(architecture, latents, folder)
    _fill_shared(net, folder, shared, load_weights)
    load_weights(net, folder / "weights.safetensors", elsewhere)
    return Trained(architecture, latents, net.eval())


def _built(architecture: Architecture, latents: LatentStatistics, folder: Path) -> Any:
    try:
        return build(architecture, latents)
    except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{folder / 'model.json'}: no such network can be built ({reason:.600})") from None


def trained_systems(models: Path) -> list[str]:
    """Names of the systems that lie trained in a folder of models."""
    return [name for name in SYSTEMS if (models / name / "model.json").exists()]


def asked_systems(asked: Sequence[str], models: Path) -> list[str]:
    """Names as a user gives them, each once; `all` stands for every trained one.

    Raises:
        ValueError: nothing is left, because nothing is trained.
    """
    trained = trained_systems(models) if "all" in asked else []
    names = list(dict.fromkeys(name for one in asked for name in (trained if one == "all" else [one])))
    if not names:
        raise ValueError(
            f"{models}: no trained models here; train with `make reproduce`, or name the place with --models"
        )
    return names


def load_system(
    name: str, models: Path = SHIPPED, device: torch.device | str = "cpu"
) -> LatentSystem | SeparatedSystem:
    """A system by name, from a folder of models (those that come with the package unless told otherwise); the classical ones
    need none.

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
