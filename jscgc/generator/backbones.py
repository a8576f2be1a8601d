"""What a generator backbone is, and building one: the velocity nu(x_t, t) of a diffusers model, with residuals that steer it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from jscgc.config import RELEASED_FROM, GeneratorParams
from jscgc.flow.path import expand, preconditioning

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResidualPoint:
    """A layer that takes a residual: its channels, and by what factor it is coarser than the latent."""

    channels: int
    scale: int


class Backbone(Protocol):
    """nu(x_t [B,C,h,w], t [B], residuals) -> [B,C,h,w]; residual i is [B, points[i].channels, h', w'], h' = ceil(h / scale).

    A residual may be None: its layer is left alone. The last point is the network's output itself, C channels at scale 1.
    """

    points: tuple[ResidualPoint, ...]
    net: nn.Module
    """The diffusers model."""
    width_multiple: int
    """The adapter's width must be a multiple of it."""

    def __call__(self, x_t: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None = None) -> Tensor: ...

    def stage(self, width: int, embedding: int) -> nn.Module:
        """A block of the backbone's own type for the adapter: x [B,width,h,w], e [B,embedding] -> [B,width,h,w]."""
        ...


def steered(output: Tensor, x_t: Tensor, t: Tensor, residual: Tensor | None, preconditioned: bool) -> Tensor:
    """The velocity from a network's output F and the residual r of that output: skip x_t + out (F + r), see `preconditioning`.

    A pretrained network predicts the velocity itself: skip 0, out 1.
    """
    if residual is not None:
        output = output + residual
    if not preconditioned:
        return output
    skip, out, _ = (expand(c, x_t) for c in preconditioning(t))
    return skip * x_t + out * output


def scaled_input(x_t: Tensor, t: Tensor, preconditioned: bool) -> Tensor:
    """What the network sees of x_t."""
    return expand(preconditioning(t)[2], x_t) * x_t if preconditioned else x_t


class Caption(nn.Module):
    """The constant text features [L, D] that a text-to-image backbone reads: zeros, until others are loaded or set."""

    features: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(1, width))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # Prompts differ in length.
        given = state_dict.get(f"{prefix}features")
        if given is not None and given.ndim == 2 and given.shape[1] == self.features.shape[1]:
            self.features = self.features.new_zeros(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def zero(layer: Any) -> None:
    """Start a last layer at zero: a fresh preconditioned network is then the best linear velocity."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def build_backbone(channels: int, params: GeneratorParams) -> Any:
    """A backbone for latents of `channels` channels: randomly initialised, or with the architecture and weights of
    params.pretrained_path.

    Raises:
        ValueError: sizes that do not fit, or a pretrained model that can't be loaded or has other channels.
    """
    from jscgc.generator.sana import SanaBackbone
    from jscgc.generator.unet import UnetBackbone
    from jscgc.generator.zimage import ZImageBackbone

    kinds = {"unet": UnetBackbone, "sana": SanaBackbone, "zimage": ZImageBackbone}
    backbone: Any = kinds[params.backbone](channels, params)
    if params.gradient_checkpointing:
        backbone.net.enable_gradient_checkpointing()
    return backbone


def load_pretrained(cls: Any, params: GeneratorParams, channels: int) -> Any:
    """A diffusers model of class `cls` from a folder or hub id (safetensors only).

    On the meta device only its shape: from its configuration, or where that can't be reached, as the class was released.

    Raises:
        ValueError: it can't be loaded, or is for latents of other channels; says what to do.
    """
    from safetensors import SafetensorError

    path, subfolder = params.pretrained_path, params.pretrained_subfolder or None
    if torch.get_default_device().type == "meta":
        if path == RELEASED_FROM:
            net = cls()  # the class's own sizes: nobody need be asked for them
        else:
            try:
                net = cls.from_config(cls.load_config(path, subfolder=subfolder))
            except (OSError, ValueError):
                log.warning(
                    "generator.pretrained_path %r can't be reached: %s's released sizes are taken", path, cls.__name__
                )
                net = cls()
        return _fitting(net.to(getattr(torch, params.dtype)), path, channels)
    try:
        net = cls.from_pretrained(
            path, subfolder=subfolder, use_safetensors=True, torch_dtype=getattr(torch, params.dtype)
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"generator.pretrained_path {path!r}: no {cls.__name__} can be loaded ({reason:.200}); give a folder with "
            "config.json and safetensors weights, or a hub id with internet access, or set generator.source: scratch"
        ) from None
    return _fitting(net, path, channels)


def _fitting(net: Any, path: str, channels: int) -> Any:
    if net.config.in_channels != channels:
        raise ValueError(
            f"generator.pretrained_path {path!r} generates latents of {net.config.in_channels} channels, the VAE's have "
            f"{channels}; use the VAE that belongs to it"
        )
    return net
