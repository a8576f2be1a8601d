"""Generator backbones: the velocity nu(x_t, t) of a diffusers model, with residuals that steer chosen layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from jscgc.config import GeneratorParams
from jscgc.flow.path import expand, preconditioning

GROUPS = 16
"""Of the U-Net's group normalisation."""


@dataclass(frozen=True)
class ResidualPoint:
    """A layer that takes a residual: its channels, and by what factor it is coarser than the latent."""

    channels: int
    scale: int


class Backbone(Protocol):
    """nu(x_t [B,C,h,w], t [B], residuals) -> [B,C,h,w]; residual i is [B, points[i].channels, h', w'], h' = ceil(h / scale)."""

    points: tuple[ResidualPoint, ...]

    def __call__(self, x_t: Tensor, t: Tensor, residuals: list[Tensor] | None = None) -> Tensor: ...


class UnetBackbone(nn.Module):
    """diffusers' UNet2DConditionModel with plain convolutional blocks: linear cost, any size, most weights at coarse levels.

    Residuals go where a ControlNet's go: into every skip connection and the middle.
    """

    def __init__(self, channels: int, params: GeneratorParams) -> None:
        super().__init__()
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        if any(width % GROUPS for width in params.widths):
            raise ValueError(f"generator.widths: multiples of {GROUPS} needed, got {params.widths}")
        levels = len(params.widths)
        self.net = UNet2DConditionModel(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownBlock2D",) * levels,
            mid_block_type="UNetMidBlock2D",
            up_block_types=("UpBlock2D",) * levels,
            block_out_channels=tuple(params.widths),
            layers_per_block=params.depth,
            norm_num_groups=GROUPS,
        )
        nn.init.zeros_(self.net.conv_out.weight)
        nn.init.zeros_(self.net.conv_out.bias)
        points = [ResidualPoint(params.widths[0], 1)]
        for level, width in enumerate(params.widths):
            points += [ResidualPoint(width, 2**level)] * params.depth
            if level + 1 < levels:
                points.append(ResidualPoint(width, 2 ** (level + 1)))
        self.points = (*points, ResidualPoint(params.widths[-1], 2 ** (levels - 1)))

    def forward(self, x_t: Tensor, t: Tensor, residuals: list[Tensor] | None = None) -> Tensor:
        skip, out, scale = (expand(c, x_t) for c in preconditioning(t))
        output: Tensor = self.net(
            scale * x_t,
            1000 * t,
            encoder_hidden_states=None,
            down_block_additional_residuals=None if residuals is None else tuple(residuals[:-1]),
            mid_block_additional_residual=None if residuals is None else residuals[-1],
            return_dict=False,
        )[0]
        return skip * x_t + out * output


class SanaBackbone(nn.Module):
    """diffusers' SanaTransformer2DModel (linear attention, arXiv 2410.10629), with a constant empty caption.

    Residuals are added after every block but the first (where diffusers adds a ControlNet's).
    """

    head = 32

    def __init__(self, channels: int, params: GeneratorParams) -> None:
        super().__init__()
        from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel

        if len(params.widths) != 1 or params.widths[0] % self.head:
            raise ValueError(f"generator.widths: sana takes one width, a multiple of {self.head}, got {params.widths}")
        if params.depth < 2:
            raise ValueError("generator.depth: sana needs at least 2 layers, the adapter feeds all but the first")
        width = params.widths[0]
        heads = width // self.head
        self.net = SanaTransformer2DModel(
            in_channels=channels,
            out_channels=channels,
            num_attention_heads=heads,
            attention_head_dim=self.head,
            num_layers=params.depth,
            num_cross_attention_heads=heads,
            cross_attention_head_dim=self.head,
            cross_attention_dim=width,
            caption_channels=8,
            patch_size=1,
        )
        nn.init.zeros_(self.net.proj_out.weight)
        nn.init.zeros_(self.net.proj_out.bias)
        self.points = (ResidualPoint(width, 1),) * (params.depth - 1)

    def forward(self, x_t: Tensor, t: Tensor, residuals: list[Tensor] | None = None) -> Tensor:
        skip, out, scale = (expand(c, x_t) for c in preconditioning(t))
        tokens = None if residuals is None else tuple(r.flatten(2).transpose(1, 2) for r in residuals)
        output: Tensor = self.net(
            scale * x_t,
            encoder_hidden_states=torch.zeros(len(x_t), 1, 8, device=x_t.device, dtype=x_t.dtype),
            timestep=1000 * t,
            controlnet_block_samples=tokens,
            return_dict=False,
        )[0]
        return skip * x_t + out * output


def build_backbone(channels: int, params: GeneratorParams) -> UnetBackbone | SanaBackbone:
    """A randomly initialised backbone for latents of `channels` channels; its output starts at the linear velocity."""
    return UnetBackbone(channels, params) if params.backbone == "unet" else SanaBackbone(channels, params)
