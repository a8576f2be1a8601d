"""Typed parameters: params.yaml is read once into frozen, validated models.

An unknown key, a wrong type or a value out of range is one error that names the key and what is allowed.
Nothing below this module reads YAML.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from jscgc.channel.spec import canonical, parse_channel
from jscgc.methods import CLASSICAL, CODECS, PIXEL_START, LatentName, PixelCodecName, SystemName

ChannelName = Annotated[str, AfterValidator(canonical)]
"""A channel with its options, `NAME:key=value,...`, kept as its canonical text."""


def _each_once(names: list[Any]) -> list[Any]:
    if len(set(names)) < len(names):
        raise ValueError(f"a name is there twice: {names}")
    return names


def _distinct(channels: list[str]) -> list[str]:
    if twice := [channel for channel in channels if channels.count(channel) > 1]:
        raise ValueError(f"{twice[0]} is there twice; options at their default value make no other channel")
    return channels


Positive = Annotated[int, Field(gt=0, lt=2**31)]
Width = Annotated[int, Field(gt=0, le=2**16)]
Depth = Annotated[int, Field(gt=0, le=1024)]
Levels = Annotated[list[Width], Field(max_length=16)]
"""A size for each level of a network."""
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
    parts: Positive = 1
    """Batches whose gradients are averaged in a step (accumulation); the number of workers that share them must divide it."""
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """The learning rate rises over so many, at most a tenth of `steps`, and falls along a cosine from there."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest global gradient norm."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights that evaluation uses; 0 turns averaging off."""
    checkpoint_every: Positive = 200
    log_every: Positive = 10


class CodecParams(TrainParams):
    """Training of the reconstruction codec (mambajscc_psnr)."""

    loss: Literal["squared_error", "decibels"] = "squared_error"
    """decibels: every image's squared error over what its link permits. The worst links, whose errors are the largest, have
    nearly all the say otherwise."""


class SharpenParams(Section):
    """Training of the nano VAE's decoder alone, against a discriminator; the encoder, and so all latents, stay as they are."""

    adversarial_weight: Annotated[float, Field(gt=0)]
    """Of what the discriminator takes for decoded, beside the error of the pixels."""
    perceptual_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the deep-feature distance (EfficientNet-Lite0)."""
    receivers: Annotated[list[LatentName], AfterValidator(_each_once)] = []
    """Trained methods that take turns: latents as they arrive through one of them, over section `link` and sampled as `sample`
    says; empty: the VAE's own latents only."""
    received_share: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Of a batch, what comes from `receivers`, if there are any."""
    width: Width = 48
    """Features of the discriminator's first layer."""
    discriminator_rate: Annotated[float, Field(gt=0)] = 2.0
    """Factor of the learning rate for the discriminator."""
    train: TrainParams


class VaeParams(Section):
    """The image autoencoder: our nano VAE, or any diffusers VAE (frozen)."""

    source: Literal["nano", "pretrained"]
    pretrained_class: Literal["AutoencoderKL", "AutoencoderDC", "AutoencoderTiny"] = "AutoencoderKL"
    pretrained_path: str = ""
    """Folder or hub id of a diffusers VAE (source: pretrained)."""
    pretrained_subfolder: str = ""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """In which a pretrained VAE's weights are held and computed."""
    channels: Literal[4, 8, 16]
    width: Width
    depth: Depth
    """Residual blocks at each of the two resolutions of encoder and decoder."""
    kl_weight: Annotated[float, Field(ge=0)]
    perceptual_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the deep-feature distance (EfficientNet-Lite0) beside the error of the pixels."""
    equivariance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the steps in which half the latents' size must decode to half the photograph's."""
    anchor_weight: Annotated[float, Field(ge=0)] = 1.0
    """init widen: weight of the error by which the first channels differ from the shipped VAE's, over the variance of those."""
    added_shrink: Annotated[float, Field(ge=0, le=1)] = 0.3
    """init widen: share of training crops whose added channels are decoded shrunk, as a receiver that knows little has them."""
    crop: Annotated[int, Field(gt=0, multiple_of=16)]
    """Training crop, pixels."""
    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of training crops whose colours are varied."""
    train: TrainParams
    sharpen: SharpenParams | None = None
    """After `train`; null: not. What is there already, such as the package's, is sharpened by `python -m pipeline.sharpen`."""


class LatentParams(Section):
    """The cache of latent crops on which flow and systems are trained."""

    crops: Positive
    crop: Annotated[int, Field(gt=0, multiple_of=16)]
    """Side of a crop, pixels."""
    min_scale: Annotated[float, Field(gt=0, le=1)]
    """Crops (the VAE's too) are taken at random scales between this and 1."""
    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of crops whose colours are varied."""
    normalise: bool = True
    """To zero mean and unit variance per channel (see also `added_scale`); false for a pretrained generator, which knows its
    VAE's own latents."""
    added_scale: Annotated[float, Field(gt=0, le=1)] = 0.3
    """init widen: standard deviation of the added channels, where the known ones have about 1. Its square is what an added
    channel counts in the losses of codecs and flow, beside a known one."""


class GeneratorParams(Section):
    """The latent flow-matching backbone (diffusers)."""

    backbone: Literal["unet", "sana", "zimage"]
    source: Literal["scratch", "pretrained"] = "scratch"
    """`pretrained`: architecture and weights of `pretrained_path`; the sizes below are then not used."""
    pretrained_path: str = ""
    """Folder or hub id of the diffusers model."""
    pretrained_subfolder: str = ""
    caption_path: str = ""
    """zimage, pretrained: folder or hub id of the pipeline whose text encoder computes the empty prompt's features, once."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """In which a pretrained model's weights are held and computed."""
    gradient_checkpointing: bool = False
    """Recompute the generator's activations in the backward pass instead of keeping them."""
    widths: Levels
    """U-Net: channels per level; transformers: a single width."""
    depth: Depth
    """U-Net: residual blocks per level; transformers: layers."""
    train: TrainParams

    @model_validator(mode="after")
    def _settings_act(self) -> GeneratorParams:
        pretrained = self.source == "pretrained"
        if pretrained and not self.pretrained_path:
            raise ValueError("source pretrained needs pretrained_path, a folder or hub id")
        if self.caption_path and not (pretrained and self.backbone == "zimage"):
            raise ValueError("caption_path is for backbone zimage with source pretrained only")
        if self.dtype != "float32" and not pretrained:
            raise ValueError("dtype bfloat16 is for source pretrained only; what is trained from scratch is float32")
        return self


class ObjectiveParams(Section):
    """At which t the loss (4) looks and how much each t counts; t = 0 is data, t = 1 is noise (the paper's direction)."""

    time_law: Literal["uniform", "logit_normal", "shifted"]
    """Law of t in training: the paper gives none."""
    time_shift: Annotated[float, Field(gt=0)] = 1.0
    """s of the law `shifted`, t = s u / (1 + (s - 1) u): above 1 more noise."""
    weight_power: Annotated[float, Field(ge=0, le=1)] = 0.0
    """a of the weight ((1 - t) / t)^a: 0 the paper's (4), 1 the likelihood weighting."""

    @model_validator(mode="after")
    def _shift_acts(self) -> ObjectiveParams:
        if self.time_shift != 1 and self.time_law != "shifted":
            raise ValueError(f"time_shift {self.time_shift} acts on time_law shifted only, which is {self.time_law}")
        return self


class EncoderParams(Section):
    """The Mamba encoder: stage i down-samples by downsample[i], then applies depths[i] visual state-space blocks."""

    widths: Levels
    depths: list[Depth]
    downsample: list[Literal[1, 2, 4]]
    state: Width
    head: Width
    window: Annotated[int, Field(ge=0, multiple_of=16)] = 0
    """Side in pixels of the photo of the squares within which scans stay; 0: the whole photo, as published."""

    @model_validator(mode="after")
    def _same_lengths(self) -> EncoderParams:
        if not len(self.widths) == len(self.depths) == len(self.downsample) > 0:
            raise ValueError("widths, depths and downsample must have the same length, one entry per stage")
        return self


class LinkParams(Section):
    """What training transmits over: SNR and rate are drawn anew for every image, the channel for every batch."""

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


def _distinct_layers(layers: list[int]) -> list[int]:
    if len(set(layers)) < len(layers):
        raise ValueError(f"a layer is there twice: {layers}")
    return layers


class AdapterParams(Section):
    """The communication-aware adapter."""

    width: Width
    refiner_depth: Depth
    """Blocks in the Refiner."""
    stages: Annotated[int, Field(ge=0, le=1024)] = 0
    """N_I, cascaded stages; 0: one for every layer of the generator that takes a residual."""
    layers: Annotated[list[Annotated[int, Field(ge=0, le=1024)]], AfterValidator(_distinct_layers)] = []
    """L_i, the layers that the stages lead to, counted from 0; empty: evenly spread."""
    sees_x_t: bool = True
    """Whether the stages see x_t beside the condition, as the paper's do; false, to measure what that is worth."""
    controlnet_path: str = ""
    """zimage: folder or hub id of a ZImageControlNetModel whose layers the stages start from."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AdapterParams:
        if self.stages and self.layers and self.stages != len(self.layers):
            raise ValueError(f"stages is {self.stages}, but layers names {len(self.layers)}; give one of the two")
        return self


class WarmStart(Section):
    """The paper's schedule: a first share of the steps on one good link, then the target's (there 100 k of 120 k iterations)."""

    share: Annotated[float, Field(gt=0, lt=1)]
    link: LinkParams


class JscgcParams(Section):
    """Joint training of encoder, adapter and (if set) generator; the same settings train DiffJSCC's receiver."""

    adapter: AdapterParams
    tuning: Literal["full", "lora", "frozen", "receiver", "adapter_only"]
    """What learns beside the adapter. `full`: encoder and generator. `lora`: encoder, and low-rank updates of the generator's
    weights (peft). `frozen`: the encoder, as in the paper; the generator's weights stay bit for bit. `receiver`: the generator;
    the encoder stays. `adapter_only`: nothing."""
    lora_rank: Width = 8
    """Rank of the updates of tuning `lora`."""
    encoder_init: Literal["mambajscc_psnr", "random"]
    """Start of encoder and Refiner. The paper starts from the reconstruction codec's encoder."""
    codec_rate: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the learning rate for encoder and Refiner where they start from the codec's."""
    condition_dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of images whose condition is dropped: they train the unconditional field, by which guidance, the control without
    symbols and the estimate of I(X; Y_hat) need to be right. Where the generator learns and this is 0, they are not."""
    perception_weight: Annotated[float, Field(ge=0)]
    """Multiplier of the unconditional term (condition dropped) beside the conditional one: the Lagrangian of (2)."""
    warm_start: WarmStart | None = None
    """A link to train on first, as the paper does: a high rate. JSCGC's only: DiffJSCC's codec is frozen as `link` trained it."""
    train: TrainParams
    diffjscc_steps: Positive | None = None
    """Training steps of DiffJSCC's receiver; null: as many as JSCGC's. They are cheaper: an equal time takes more of them."""

    @model_validator(mode="after")
    def _term_is_seen(self) -> JscgcParams:
        if self.perception_weight and not self.condition_dropout:
            raise ValueError("perception_weight needs a condition_dropout above 0: its term is the dropped images'")
        return self

    @property
    def generator_learns(self) -> bool:
        """Whether the generator's own weights are trained."""
        return self.tuning in ("full", "receiver")

    @property
    def encoder_learns(self) -> bool:
        """Whether the encoder is trained."""
        return self.tuning not in ("receiver", "adapter_only")


def _guidance(value: Any) -> float | list[tuple[float, float]]:
    """A weight, or points of distinct SNRs."""

    def number(x: Any) -> bool:
        return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)

    if number(value) and value >= 0:
        return float(value)
    if isinstance(value, list | tuple) and value and all(isinstance(p, list | tuple) and len(p) == 2 for p in value):
        points = [(snr_db, weight) for snr_db, weight in value]
        right = all(number(snr_db) and number(weight) and weight >= 0 for snr_db, weight in points)
        if right and len({snr_db for snr_db, _ in points}) == len(points):
            return [(float(snr_db), float(weight)) for snr_db, weight in points]
    raise ValueError(
        "expected a weight from 0, or points [snr_db, weight] of distinct SNRs, such as [[-5, 2], [10, 1.2]]"
    )


class SampleParams(Section):
    """How the receiver samples."""

    steps: Positive
    guidance: Annotated[
        float | list[tuple[float, float]], PlainValidator(_guidance), PlainSerializer(lambda value: value)
    ]
    """1: the conditional field; 0: unconditional; above 1: extrapolated. Or points [snr_db, weight], linear in between."""
    reconstruction_guidance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """diffjscc: how far every step's estimate of the image is pulled to its codec's reconstruction; 1: all the way."""
    solver: Literal["euler", "heun", "multistep", "sde"] = "euler"
    time_shift: Annotated[float, Field(gt=0)] = 1.0
    """Above 1: more of the steps at high noise."""


class FewStepParams(Section):
    """The student jscgc_fast: how many steps it takes, and the teacher that it learns from."""

    steps: Positive
    """Its Euler steps, one network evaluation each."""
    substeps: Positive
    """The teacher's steps in one of the student's."""
    guidance: Annotated[
        float | list[tuple[float, float]], PlainValidator(_guidance), PlainSerializer(lambda value: value)
    ]
    """Of the teacher, as `sample.guidance`; the student has it built in."""
    time_shift: Annotated[float, Field(gt=0)] = 1.0
    """Above 1: more of the steps at high noise."""
    train: TrainParams


class PixelParams(Section):
    """Training of the codecs on pixels."""

    codecs: Annotated[list[PixelCodecName], AfterValidator(_each_once)]
    """Which are trained."""
    crop: Annotated[int, Field(gt=0, multiple_of=16)]
    """Side of a training crop, pixels."""
    train: TrainParams
    steps: dict[PixelCodecName, Positive] = {}
    """Training steps of single codecs, in place of `train.steps`: an equal time takes more of the cheap ones."""

    @model_validator(mode="after")
    def _steps_act(self) -> PixelParams:
        if idle := [name for name in self.steps if name not in self.codecs]:
            raise ValueError(f"steps: {idle[0]} is not trained; list it in codecs")
        return self

    def training(self, codec: PixelCodecName) -> TrainParams:
        """What a codec is trained with."""
        return self.train.model_copy(update={"steps": self.steps.get(codec, self.train.steps)})


class PerceptualParams(Section):
    """Training of a MambaJSCC for a perceptual distance, from the one for least squared error."""

    latents: Annotated[list[Literal["feature", "lpips"]], AfterValidator(_each_once)]
    """For which distances one on latents is trained: mambajscc_feature, mambajscc_lpips."""
    pixels: Annotated[list[Literal["feature", "lpips"]], AfterValidator(_each_once)]
    """For which one on pixels: mambajscc_feature_pixels, mambajscc_lpips_pixels."""
    distortion: Annotated[float, Field(ge=0)]
    """Weight of the squared error (of pixels in [0,1]) beside the perceptual distance."""
    crop: Annotated[int, Field(ge=64, multiple_of=16)]
    """Side of a training crop, pixels; the deep features need 64."""
    train: TrainParams


class DeepJsccParams(Section):
    """DeepJSCC's convolutional network (Bourtsoulatze et al. 2019)."""

    width: Width
    """Channels of the hidden layers."""


class SwinParams(Section):
    """SwinJSCC's network: every stage halves the resolution, four to 1/16."""

    widths: Annotated[list[Width], Field(min_length=4, max_length=4)]
    depths: Annotated[list[Depth], Field(min_length=4, max_length=4)]
    heads: Annotated[list[Width], Field(min_length=4, max_length=4)]
    window: Annotated[int, Field(ge=2, le=256)]
    """Side of the attention windows, positions."""

    @model_validator(mode="after")
    def _divisible(self) -> SwinParams:
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise ValueError(f"a width must be a multiple of its number of heads, got {width} and {heads}")
        return self


class DiffComParams(Section):
    """HiFi-DiffCom's sampling: the trained prior, guided by the received signal and by its reconstruction."""

    steps: Positive
    """From `start` down to 0; each is one network evaluation and its gradient."""
    start: Annotated[float, Field(gt=0, le=1)]
    """t at which the noisy reconstruction enters; 1: from pure noise."""
    likelihood: Annotated[float, Field(ge=0)]
    """Step length along the gradient of the received signal's misfit, relative to the noise that a step removes."""
    reconstruction: Annotated[float, Field(ge=0)]
    """The same for the distance to the codec's reconstruction."""


class BaselineParams(Section):
    """The competitors beside mambajscc_psnr (section codec) and diffjscc (section jscgc)."""

    pixels: PixelParams
    mamba_pixels: EncoderParams
    """The Mamba codec's sizes on pixels."""
    deepjscc: DeepJsccParams
    swinjscc: SwinParams
    perceptual: PerceptualParams
    diffcom: DiffComParams

    @model_validator(mode="after")
    def _has_its_start(self) -> BaselineParams:
        if self.perceptual.pixels and PIXEL_START not in self.pixels.codecs:
            raise ValueError(f"perceptual.pixels are trained on from {PIXEL_START}, which pixels.codecs must list")
        return self

    @property
    def codecs(self) -> list[str]:
        """The methods that these parameters train."""
        latents = [f"mambajscc_{distance}" for distance in self.perceptual.latents]
        return [*self.pixels.codecs, *latents, *(f"mambajscc_{d}_pixels" for d in self.perceptual.pixels)]


class EvaluateParams(Section):
    """The evaluation grid: method x channel x snr_db x rate x image x seed."""

    methods: Annotated[list[SystemName], Field(min_length=1)]
    channels: Annotated[list[ChannelName], Field(min_length=1), AfterValidator(_distinct)]
    snr_db: Annotated[list[float], Field(min_length=1)]
    rates: Annotated[list[Rate], Field(min_length=1)]
    seeds: Positive
    """Independent channel (and sampler) draws per condition."""
    patch: Literal[64, 128, 256]
    """Patch side in pixels for FID and KID; the second grid is shifted by half of it. 256 is the literature's for Kodak."""
    information_points: Annotated[int, Field(ge=0)] = 0
    """Points of the estimate of I(X; Y_hat), two network calls each, first seed only; 0 leaves it out."""
    dial: list[Positive] = []
    """Numbers N of posterior samples whose mean is scored too, at the middle SNR, first channel, highest rate and first seed."""
    dial_steps: Positive = 16
    """Steps of those samples, drawn without guidance: few steps or guidance would draw them together."""
    reference_steps: Annotated[int, Field(ge=0)] = 0
    """At that same condition, all seeds: jscgc with so many steps, which few steps are compared with; 0 leaves it out."""
    metrics: Annotated[list[str], AfterValidator(_each_once)] = []
    """Metrics to score with, by their registered names; empty: all that can run here."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Ray workers, 0 for as many as there is room for: without a GPU one per `cpus_per_worker` cores."""
    cpus_per_worker: Positive = 1
    """Cores, and threads of torch, of a worker. More threads add up in another order: the last digits may move."""
    gpus_per_worker: Annotated[float, Field(gt=0, le=1)] = 1.0
    """GPUs of a worker where there are any: 0.5 lets two share one."""
    store: str = ".jscgc/results"
    """Folder where finished jobs are kept and looked up; empty: every job is run every time."""


class DistributedParams(Section):
    """Training on several workers of Ray. Not part of what a model depends on: any number computes the same to rounding."""

    workers: Positive = 1
    """Processes that share a step's parts, each with a GPU of its own where there are; 1: no Ray."""
    cpus_per_worker: Positive = 1
    """Cores, and threads of torch, of a worker."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """ddp: every worker holds all weights. fsdp: weights, gradients and moments are shared out, for what one GPU cannot hold."""


Init = Literal["shipped", "scratch", "finetune", "widen"]
WIDENING = ("anchor_weight", "added_shrink", "added_scale")
"""Keys of sections vae and latents that are for `init: widen` only."""


class Params(Section):
    """All of params.yaml."""

    profile: str
    init: Init = "scratch"
    """Where models come from. `scratch`: all are trained. `shipped`: VAE and prior are those that come with the package, passed
    through, with the latents' statistics they were trained with; sections vae and generator must then state their sizes.
    `finetune`: mambajscc_psnr, JSCGC and DiffJSCC, too, are trained on from those that come with the package; then also encoder,
    link.rates and jscgc.adapter must be theirs, and jscgc.encoder_init has no say. `widen`: as finetune, but vae.channels is
    more than the shipped VAE's; VAE and prior are trained on, too, and the shipped latents stay the first channels."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products and convolutions in training (autocast); weights and optimiser are float32 always."""
    data: DataParams
    vae: VaeParams
    latents: LatentParams
    objective: ObjectiveParams
    generator: GeneratorParams
    encoder: EncoderParams
    link: LinkParams
    codec: CodecParams
    jscgc: JscgcParams
    few_step: FewStepParams
    sample: SampleParams
    baselines: BaselineParams
    evaluate: EvaluateParams
    distributed: DistributedParams = DistributedParams()

    @model_validator(mode="after")
    def _evaluated_are_trained(self) -> Params:
        for name in self.evaluate.methods:
            if name in CODECS and name not in self.baselines.codecs:
                raise ValueError(f"evaluate.methods: {name} is not trained; list it in section baselines")
        return self

    def check(self) -> None:
        """What the pipeline must not start with, although each section is valid and models may exist that were trained so.

        Raises:
            ValueError: section evaluate asks for rates that are not trained; conditions are dropped to no purpose.
        """
        untrained = sorted(set(self.evaluate.rates) - set(self.link.rates))
        if untrained and not set(self.evaluate.methods) <= set(CLASSICAL):
            raise ValueError(f"evaluate.rates: {untrained} are not trained; link.rates are {self.link.rates}")
        if self.jscgc.condition_dropout and not self.jscgc.perception_weight:
            raise ValueError(
                "jscgc.condition_dropout needs a perception_weight above 0, by which dropped images count: set both, or neither"
            )

    @model_validator(mode="after")
    def _workers_share_parts(self) -> Params:
        workers, own = self.distributed.workers, self.baselines
        trained = {"codec": self.codec, "jscgc.train": self.jscgc.train}
        if self.init in ("scratch", "widen"):
            trained |= {"vae.train": self.vae.train, "generator.train": self.generator.train}
        if self.vae.sharpen:
            trained["vae.sharpen.train"] = self.vae.sharpen.train
        if own.pixels.codecs:
            trained["baselines.pixels.train"] = own.pixels.train
        if own.perceptual.latents or own.perceptual.pixels:
            trained["baselines.perceptual.train"] = own.perceptual.train
        if "jscgc_fast" in self.evaluate.methods:
            trained["few_step.train"] = self.few_step.train
        if odd := [f"{key}.parts ({train.parts})" for key, train in trained.items() if train.parts % workers]:
            raise ValueError(
                f"distributed.workers: {workers} workers can't share the parts of a step evenly; make a multiple of {workers} of "
                f"{', '.join(odd)}, and the batch_size beside each as much smaller as the step shall stay the same"
            )
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> Params:
        for name, source in (("vae", self.vae.source), ("generator", self.generator.source)):
            if self.init != "scratch" and source == "pretrained":
                raise ValueError(f"init {self.init} and {name}.source pretrained: one of them; set init: scratch")
        if self.init != "scratch" and not self.latents.normalise:
            raise ValueError(f"init {self.init} needs latents.normalise: true (its prior knows normalised latents)")
        return self

    @model_validator(mode="after")
    def _widens(self) -> Params:
        for name, section in (("vae", self.vae), ("latents", self.latents)):
            for key, field in type(section).model_fields.items():
                if key in WIDENING and self.init != "widen" and getattr(section, key) != field.default:
                    raise ValueError(f"{name}.{key} is for init widen only, which adds channels to the shipped VAE")
        return self

    @model_validator(mode="after")
    def _pretrained_latents(self) -> Params:
        if self.generator.source == "pretrained" and self.latents.normalise:
            raise ValueError("generator.source pretrained needs latents.normalise: false (its VAE's own latents)")
        if self.generator.dtype != "float32" and self.jscgc.generator_learns:
            raise ValueError(
                f"jscgc.tuning {self.jscgc.tuning} with generator.dtype bfloat16 would train in it and lose small updates; "
                "set dtype float32 and precision: bfloat16"
            )
        if self.jscgc.adapter.controlnet_path and self.generator.backbone != "zimage":
            raise ValueError("jscgc.adapter.controlnet_path is for generator.backbone zimage only")
        return self


class ParamsError(ValueError):
    """params.yaml is wrong; the message names every offending key."""


_MOST_NAMED = 8
_MOST_BITS = 1024
"""Of an integer: what no float holds is no parameter, and Python refuses to print much longer ones."""


def complaints(error: ValidationError) -> str:
    """What pydantic found wrong, in one line: places, reasons and values."""

    def text(entry: Any) -> str:
        where = ".".join(map(str, entry["loc"])) or "top level"
        reason = " ".join(entry["msg"].removeprefix("Value error, ").split())
        got = "" if isinstance(entry["input"], dict) else f" (got {entry['input']!r:.60})"
        return f"{where:.200}: {reason:.400}{got}"

    found = [text(entry) for entry in error.errors()]
    more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return "; ".join(found[:_MOST_NAMED]) + more


MOST_YAML = 200_000
"""Characters, and values after aliases are followed, of a file of parameters."""


def _nodes(content: Any, known: dict[int, int]) -> int:
    """Values in nested mappings and lists, each alias counted where it stands; in time linear in the file.

    Raises:
        ValueError: a number beyond all reason.
        RecursionError: nested too deeply, or in itself.
    """
    if isinstance(content, int) and content.bit_length() > _MOST_BITS:
        raise ValueError(f"an integer of {content.bit_length()} bits")
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        inner = [*content, *content.values()] if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_nodes(value, known) for value in inner)
    return known[id(content)]


RELEASED_FROM = "Tongyi-MAI/Z-Image-Turbo"
"""The hub id whose sizes the code knows: generator and VAE of the paper's profile."""


def read_yaml(path: Path, advice: str = "") -> Any:
    """YAML 1.2 (so that `1e-4`, which `dvc exp run -S` may write, is a number); `advice` is for one whose file is not there."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > MOST_YAML:
            raise ParamsError(f"{path}: {len(text)} characters are no parameters of ours (at most {MOST_YAML})")
        content = YAML(typ="safe", pure=True).load(text)
        if _nodes(content, {}) > MOST_YAML:
            raise ParamsError(f"{path}: its aliases unfold to more than {MOST_YAML} values")
        return content
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file{advice}") from None
    except OSError as error:
        raise ParamsError(f"{path}: can't be read: {error.strerror}") from None
    except ParamsError:
        raise
    except RecursionError:
        raise ParamsError(f"{path}: not valid YAML: nested too deeply") from None
    except (YAMLError, ValueError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def overlay(base: Any, changes: Any, where: str = "") -> None:
    """Change mapping `base` in place by the nested mapping `changes`: a profile over params.yaml.

    Raises:
        ParamsError: the overlay names a section that the base has not.
    """
    for key, value in changes.items():
        if isinstance(value, dict) and base.get(key) is not None:
            if not isinstance(base[key], dict):
                raise ParamsError(f"profile: {where}{key} is no section of params.yaml")
            overlay(base[key], value, f"{where}{key}.")
        elif isinstance(value, dict) and key not in base:
            raise ParamsError(f"profile: {where}{key} is no section of params.yaml")
        else:
            base[key] = value


def load_params(path: Path = Path("params.yaml"), profile: Path | None = None) -> Params:
    """Read and validate params.yaml, with a profile's file laid over it if one is given.

    Raises:
        ParamsError: a file is missing, not YAML, or holds unknown keys or wrong values.
    """
    content = read_yaml(path, "; run from the project's root, or name one with --params")
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected a mapping of sections at the top")
    if profile is not None:
        changes = read_yaml(profile, "; profiles are files, such as pipeline/profiles/paper.yaml")
        if not isinstance(changes, dict):
            raise ParamsError(f"{profile}: expected a mapping of sections at the top")
        overlay(content, changes)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(f"{path}: {complaints(error)}") from None


def digest(*parts: Any) -> str:
    """Twelve hex digits that identify a configuration (pydantic models, JSON-like values)."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
