"""Typed parameters: params.yaml is read once into frozen, validated models.

An unknown key, a wrong type or a value out of range is one error that names the key and what is allowed.
Nothing below this module reads YAML.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from jscgc.channel.spec import canonical, parse_channel

ChannelName = Annotated[str, AfterValidator(canonical)]
"""A channel with its options, `NAME:key=value,...`, kept as its canonical text."""


def _distinct(channels: list[str]) -> list[str]:
    if twice := [channel for channel in channels if channels.count(channel) > 1]:
        raise ValueError(f"{twice[0]} is there twice; options at their default value make no other channel")
    return channels


SystemName = Literal["jscgc", "mambajscc_psnr", "diffjscc"]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[int, Field(gt=0, le=60)]
"""Complex symbols per position of the 1/16 grid: CBR = rate / 768."""


class Section(BaseModel):
    """A frozen part of params.yaml; unknown keys are errors, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class DataParams(Section):
    """Where photographs come from and how they are split (always by photograph)."""

    source: Literal["builtin", "folder", "kodak", "cifar10", "div2k"]
    train: list[str] = []
    """Folders of training photographs (source: folder)."""
    validation: list[str] = []
    """Folders of validation photographs; empty: a seeded share of `train` is set aside."""
    test: list[str] = []
    """Folders of test photographs; empty: a seeded share of `train` is set aside."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    max_photos: Annotated[int, Field(ge=0)] = 0
    """Upper bound of photographs per split, 0 for all."""
    test_max_side: Annotated[int, Field(ge=0)] = 0
    """Validation and test photographs are reduced (Lanczos) to this longer side in pixels, 0 to keep their size."""


class TrainParams(Section):
    """What every training run has in common."""

    steps: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest global gradient norm."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights that evaluation uses; 0 turns averaging off."""
    checkpoint_every: Positive = 200
    log_every: Positive = 10


class VaeParams(Section):
    """The image autoencoder: our nano VAE, or any diffusers VAE (frozen)."""

    source: Literal["nano", "pretrained"]
    pretrained_class: Literal["AutoencoderKL", "AutoencoderDC", "AutoencoderTiny"] = "AutoencoderKL"
    pretrained_path: str = ""
    """Folder or hub id of a diffusers VAE (source: pretrained)."""
    pretrained_subfolder: str = ""
    channels: Literal[4, 8, 16]
    width: Positive
    depth: Positive
    """Residual blocks at each of the two resolutions of encoder and decoder."""
    kl_weight: Annotated[float, Field(ge=0)]
    crop: Positive
    """Training crop, pixels."""
    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of training crops whose colours are varied."""
    train: TrainParams


class LatentParams(Section):
    """The cache of latent crops on which flow and systems are trained."""

    crops: Positive
    crop: Annotated[int, Field(gt=0, multiple_of=16)]
    """Side of a crop, pixels."""
    min_scale: Annotated[float, Field(gt=0, le=1)]
    """Crops (the VAE's too) are taken at random scales between this and 1."""
    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of crops whose colours are varied."""


class GeneratorParams(Section):
    """The latent flow-matching backbone (diffusers)."""

    backbone: Literal["unet", "sana"]
    widths: list[Positive]
    """U-Net: channels per level; Sana: a single width."""
    depth: Positive
    """U-Net: residual blocks per level; Sana: layers."""
    time_law: Literal["uniform", "logit_normal"]
    """Law of t in training; t = 0 is data, t = 1 is noise (the paper's direction)."""
    train: TrainParams


class EncoderParams(Section):
    """The Mamba encoder: stage i down-samples by downsample[i], then applies depths[i] visual state-space blocks."""

    widths: list[Positive]
    depths: list[Positive]
    downsample: list[Literal[1, 2, 4]]
    state: Positive
    head: Positive

    @model_validator(mode="after")
    def _same_lengths(self) -> EncoderParams:
        if not len(self.widths) == len(self.depths) == len(self.downsample) > 0:
            raise ValueError("widths, depths and downsample must have the same length, one entry per stage")
        return self


class LinkParams(Section):
    """What training transmits over: drawn anew for every image."""

    channels: Annotated[list[ChannelName], Field(min_length=1)]
    snr_db: tuple[float, float]
    """Lowest and highest SNR in dB, uniform in between."""
    rates: Annotated[list[Rate], Field(min_length=1)]
    """Complex symbols per 1/16 position to train for; symbols are ordered, a prefix is a valid transmission."""

    @model_validator(mode="before")
    @classmethod
    def _range(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("snr_db"), list):
            values = {**values, "snr_db": tuple(values["snr_db"])}
        return values

    @model_validator(mode="after")
    def _ordered(self) -> LinkParams:
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError(f"snr_db must be [lowest, highest], got {list(self.snr_db)}")
        for channel in self.channels:
            # One training batch holds many rates, planes not sent being zero: the moments of such an image tell no SNR.
            if parse_channel(channel).snr == "blind":
                raise ValueError(
                    f"channels: {channel} is for evaluation; train with snr=told, the same model serves blind"
                )
        return self


class AdapterParams(Section):
    """The communication-aware adapter."""

    width: Positive
    refiner_depth: Positive
    """Residual blocks in the Refiner."""


class JscgcParams(Section):
    """Joint training of encoder, adapter and (if set) generator; the same settings train DiffJSCC's receiver."""

    adapter: AdapterParams
    train_generator: bool
    """False keeps the generator's weights frozen bit for bit."""
    encoder_init: Literal["mambajscc_psnr", "random"]
    """Start of encoder and Refiner. The paper starts from the reconstruction codec's encoder."""
    condition_dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of images whose condition is dropped, so that the unconditional field stays available."""
    train: TrainParams


class SampleParams(Section):
    """How the receiver samples."""

    steps: Positive
    guidance: Annotated[float, Field(ge=0)]
    """1: the conditional field; 0: unconditional; above 1: extrapolated."""


class EvaluateParams(Section):
    """The evaluation grid: method x channel x snr_db x rate x image x seed."""

    methods: Annotated[list[SystemName], Field(min_length=1)]
    channels: Annotated[list[ChannelName], Field(min_length=1), AfterValidator(_distinct)]
    snr_db: Annotated[list[float], Field(min_length=1)]
    rates: Annotated[list[Rate], Field(min_length=1)]
    seeds: Positive
    """Independent channel (and sampler) draws per condition."""
    patch: Literal[64, 128]
    """Patch side in pixels for FID and KID."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Ray workers, 0 for one per core."""


class Params(Section):
    """All of params.yaml."""

    profile: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    device: Literal["auto", "cpu", "cuda"]
    data: DataParams
    vae: VaeParams
    latents: LatentParams
    generator: GeneratorParams
    encoder: EncoderParams
    link: LinkParams
    codec: TrainParams
    """Training of the reconstruction codec (mambajscc_psnr)."""
    jscgc: JscgcParams
    sample: SampleParams
    evaluate: EvaluateParams


class ParamsError(ValueError):
    """params.yaml is wrong; the message names every offending key."""


def read_yaml(path: Path) -> Any:
    """YAML 1.2 (so that `1e-4`, which `dvc exp run -S` may write, is a number)."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's root, or name one with --params") from None
    except OSError as error:
        raise ParamsError(f"{path}: can't be read: {error.strerror}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml.

    Raises:
        ParamsError: the file is missing, not YAML, or holds unknown keys or wrong values.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected a mapping of sections at the top")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])) or 'top level'}: {e['msg']} (got {e['input']!r:.60})"
            for e in error.errors()
        ]
        raise ParamsError(f"{path}: " + "; ".join(lines)) from None


def digest(*parts: Any) -> str:
    """Twelve hex digits that identify a configuration (pydantic models, JSON-like values)."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
