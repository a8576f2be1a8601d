"""The nano backbone: a convolutional U-Net."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from jscgc.config import GeneratorParams
from jscgc.generator.backbones import ResidualPoint, load_pretrained, scaled_input, steered, zero

GROUPS = 16
"""Of the U-Net's group normalisation."""


class UnetBackbone(nn.Module):
    """diffusers' UNet2DConditionModel with plain convolutional blocks: linear cost, any size, most weights at coarse levels.

    Residuals go where a ControlNet's go, into every skip connection and the middle, and to the output.

    Raises:
        ValueError: widths that are no multiples of 16.
    """

    width_multiple = 2 * GROUPS
    """With one channel per group, normalisation would take away what time and SNR add to a channel."""

    def __init__(self, channels: int, params: GeneratorParams) -> None:
        super().__init__()
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        self.preconditioned = params.source == "scratch"
        if self.preconditioned:
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
            zero(self.net.conv_out)
        else:
            self.net = load_pretrained(UNet2DConditionModel, params, channels)
        config = self.net.config
        widths, depth = config.block_out_channels, config.layers_per_block
        points = [ResidualPoint(widths[0], 1)]
        for level, width in enumerate(widths):
            points += [ResidualPoint(width, 2**level)] * depth
            if level + 1 < len(widths):
                points.append(ResidualPoint(width, 2 ** (level + 1)))
        self.points = (*points, ResidualPoint(widths[-1], 2 ** (len(widths) - 1)), ResidualPoint(channels, 1))

    def forward(self, x_t: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None = None) -> Tensor:
        # diffusers wants a residual everywhere; what has none gets a zero that broadcasts.
        inner = None if residuals is None else [x_t.new_zeros(()) if r is None else r for r in residuals[:-1]]
        output: Tensor = self.net(
            scaled_input(x_t, t, self.preconditioned).to(self.net.dtype),
            1000 * t,
            encoder_hidden_states=None,
            down_block_additional_residuals=None if inner is None else tuple(inner[:-1]),
            mid_block_additional_residual=None if inner is None else inner[-1],
            return_dict=False,
        )[0]
        return steered(output.to(x_t.dtype), x_t, t, residuals[-1] if residuals else None, self.preconditioned)

    def stage(self, width: int, embedding: int) -> nn.Module:
        """diffusers' ResnetBlock2D."""
        from diffusers.models.resnet import ResnetBlock2D

        block: nn.Module = ResnetBlock2D(in_channels=width, out_channels=width, temb_channels=embedding, groups=GROUPS)
        return block
