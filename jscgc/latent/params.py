"""Sections `vae` and `latents` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jscgc.config import Depth, Positive, Section, TrainParams, UserPath, Width, each_once


class SharpenParams(Section):
    """Training of the nano VAE's decoder alone, against a discriminator; the encoder, and so all latents, stay as they are."""

    adversarial_weight: Annotated[float, Field(gt=0)]
    """Of what the discriminator takes for decoded, beside the error of the pixels."""
    perceptual_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the deep-feature distance (EfficientNet-Lite0)."""
    receivers: Annotated[list[str], AfterValidator(each_once)] = Field(default=[])
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
    pretrained_path: UserPath = ""
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
