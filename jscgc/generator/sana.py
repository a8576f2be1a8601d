"""A transformer with linear attention: diffusers' SanaTransformer2DModel (arXiv 2410.10629)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from jscgc.config import GeneratorParams
from jscgc.generator.backbones import Caption, ResidualPoint, load_pretrained, scaled_input, steered, zero

HEAD = 32


class SanaBackbone(nn.Module):
    """SanaTransformer2DModel with a constant caption of zeros.

    Residuals are added after every block but the first (where diffusers adds a ControlNet's), and to the output. Its time is
    ours (0 data, 1 noise) times 1000 and its `timestep_scale`, and it predicts eps - x0.

    Raises:
        ValueError: not one width that is a multiple of 32, fewer than two layers.
    """

    width_multiple = HEAD

    def __init__(self, channels: int, params: GeneratorParams) -> None:
        super().__init__()
        from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel

        self.preconditioned = params.source == "scratch"
        if self.preconditioned:
            if len(params.widths) != 1 or params.widths[0] % HEAD:
                raise ValueError(f"generator.widths: sana takes one width, a multiple of {HEAD}, got {params.widths}")
            if params.depth < 2:
                raise ValueError("generator.depth: sana needs at least 2 layers, the adapter feeds all but the first")
            width = params.widths[0]
            self.net = SanaTransformer2DModel(
                in_channels=channels,
                out_channels=channels,
                num_attention_heads=width // HEAD,
                attention_head_dim=HEAD,
                num_layers=params.depth,
                num_cross_attention_heads=width // HEAD,
                cross_attention_head_dim=HEAD,
                cross_attention_dim=width,
                caption_channels=8,
                patch_size=1,
            )
            zero(self.net.proj_out)
        else:
            self.net = load_pretrained(SanaTransformer2DModel, params, channels)
        config = self.net.config
        width = config.num_attention_heads * config.attention_head_dim
        self.caption = Caption(config.caption_channels)
        self.points = (*[ResidualPoint(width, config.patch_size)] * (config.num_layers - 1), ResidualPoint(channels, 1))

    def forward(self, x_t: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None = None) -> Tensor:
        dtype = self.net.dtype
        tokens = None
        if residuals is not None:
            tokens = tuple(x_t.new_zeros(()) if r is None else r.flatten(2).mT.to(dtype) for r in residuals[:-1])
        output: Tensor = self.net(
            scaled_input(x_t, t, self.preconditioned).to(dtype),
            encoder_hidden_states=self.caption.features.to(dtype).expand(len(x_t), -1, -1),
            timestep=1000 * t * self.net.config.timestep_scale,
            controlnet_block_samples=tokens,
            return_dict=False,
        )[0]
        return steered(output.to(x_t.dtype), x_t, t, residuals[-1] if residuals else None, self.preconditioned)

    def stage(self, width: int, embedding: int) -> nn.Module:
        """diffusers' SanaTransformerBlock."""
        return SanaStage(width, embedding)


class SanaStage(nn.Module):
    """A SanaTransformerBlock on an image; its cross attention, which it can't be without, reads one constant token."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        from diffusers.models.transformers.sana_transformer import SanaTransformerBlock

        heads = width // HEAD
        self.modulate = nn.Linear(embedding, 6 * width)
        self.block = SanaTransformerBlock(
            dim=width,
            num_attention_heads=heads,
            attention_head_dim=HEAD,
            num_cross_attention_heads=heads,
            cross_attention_head_dim=HEAD,
            cross_attention_dim=width,
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        batch, width, height, columns = x.shape
        tokens = self.block(
            x.flatten(2).mT,
            encoder_hidden_states=x.new_zeros(batch, 1, width),
            timestep=self.modulate(nn.functional.silu(embedding)),
            height=height,
            width=columns,
        )
        image: Tensor = tokens.mT.reshape(x.shape)
        return image
