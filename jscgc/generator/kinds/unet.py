"""The nano backbone: a convolutional U-Net, diffusers' UNet2DConditionModel with plain blocks.

Linear cost, any size, most weights at coarse levels. Residuals go where a ControlNet's go, into every skip connection and the
middle, and to the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jscgc.generator.backbones import BackboneKind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from jscgc.generator.backbone import DiffusersBackbone
    from jscgc.generator.params import BackboneParams

GROUPS = 16
"""Of the U-Net's group normalisation."""
WIDTH_MULTIPLE = 2 * GROUPS
"""With one channel per group, normalisation would take away what time and SNR add to a channel."""


def build(channels: int, params: BackboneParams) -> DiffusersBackbone:
    """As `build_backbone`.

    Raises:
        ValueError: widths that are no multiples of 16.
    """
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    from jscgc.generator.backbone import DiffusersBackbone, ResidualPoint, load_pretrained, zero

    scratch = params.source == "scratch"
    if scratch:
        if any(width % GROUPS for width in params.widths):
            raise ValueError(f"generator.widths: multiples of {GROUPS} needed, got {params.widths}")
        levels = len(params.widths)
        net = UNet2DConditionModel(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownBlock2D",) * levels,
            mid_block_type="UNetMidBlock2D",
            up_block_types=("UpBlock2D",) * levels,
            block_out_channels=tuple(params.widths),
            layers_per_block=params.depth,
            norm_num_groups=GROUPS,
        )
        zero(net.conv_out)
    else:
        net = load_pretrained(UNet2DConditionModel, params, channels)
    widths, depth = net.config.block_out_channels, net.config.layers_per_block
    points = [ResidualPoint(widths[0], 1)]
    for level, width in enumerate(widths):
        points += [ResidualPoint(width, 2**level)] * depth
        if level + 1 < len(widths):
            points.append(ResidualPoint(width, 2 ** (level + 1)))
    points += [ResidualPoint(widths[-1], 2 ** (len(widths) - 1)), ResidualPoint(channels, 1)]
    return DiffusersBackbone(net, points, WIDTH_MULTIPLE, _run, _stage, preconditioned=scratch, unreached=_unreached)


def _unreached(net: Any) -> list[nn.Module]:
    """Residuals are added to what goes up: the way down and the middle are the same for all."""
    return [net.time_embedding, net.conv_in, *net.down_blocks, net.mid_block]


def _run(backbone: DiffusersBackbone, x: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None) -> Tensor:
    # diffusers wants a residual everywhere; what has none gets a zero that broadcasts.
    inner = None if residuals is None else [x.new_zeros(()) if r is None else r for r in residuals]
    output: Tensor = backbone.net(
        x,
        1000 * t,
        encoder_hidden_states=None,
        down_block_additional_residuals=None if inner is None else tuple(inner[:-1]),
        mid_block_additional_residual=None if inner is None else inner[-1],
        return_dict=False,
    )[0]
    return output


def _stage(backbone: DiffusersBackbone, width: int, embedding: int) -> nn.Module:
    from diffusers.models.resnet import ResnetBlock2D

    block: nn.Module = ResnetBlock2D(in_channels=width, out_channels=width, temb_channels=embedding, groups=GROUPS)
    return block


UNET = BackboneKind("unet", build, order=10)
