"""A transformer with linear attention: diffusers' SanaTransformer2DModel (arXiv 2410.10629), with a constant caption of zeros.

Residuals are added after every block but the first (where diffusers adds a ControlNet's), and to the output. Its time is
ours (0 data, 1 noise) times 1000 and its `timestep_scale`, and it predicts eps - x0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jscgc.generator.backbones import BackboneKind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from jscgc.generator.backbone import DiffusersBackbone
    from jscgc.generator.params import BackboneParams

HEAD = 32


def build(channels: int, params: BackboneParams) -> DiffusersBackbone:
    """As `build_backbone`.

    Raises:
        ValueError: not one width that is a multiple of 32, fewer than two layers.
    """
    from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel

    from jscgc.generator.backbone import Caption, DiffusersBackbone, ResidualPoint, load_pretrained, zero

    scratch = params.source == "scratch"
    if scratch:
        if len(params.widths) != 1 or params.widths[0] % HEAD:
            raise ValueError(f"generator.widths: sana takes one width, a multiple of {HEAD}, got {params.widths}")
        if params.depth < 2:
            raise ValueError("generator.depth: sana needs at least 2 layers, the adapter feeds all but the first")
        width = params.widths[0]
        net = SanaTransformer2DModel(
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
        zero(net.proj_out)
    else:
        net = load_pretrained(SanaTransformer2DModel, params, channels)
    config = net.config
    block = ResidualPoint(config.num_attention_heads * config.attention_head_dim, config.patch_size)
    points = [*[block] * (config.num_layers - 1), ResidualPoint(channels, 1)]
    caption = Caption(config.caption_channels)
    return DiffusersBackbone(net, points, HEAD, _run, _stage, preconditioned=scratch, caption=caption)


def _run(backbone: DiffusersBackbone, x: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None) -> Tensor:
    assert backbone.caption is not None
    tokens = None
    if residuals is not None:
        tokens = tuple(x.new_zeros(()) if r is None else r.flatten(2).mT.to(x.dtype) for r in residuals)
    output: Tensor = backbone.net(
        x,
        encoder_hidden_states=backbone.caption.features.to(x.dtype).expand(len(x), -1, -1),
        timestep=1000 * t * backbone.net.config.timestep_scale,
        controlnet_block_samples=tokens,
        return_dict=False,
    )[0]
    return output


def _stage(backbone: DiffusersBackbone, width: int, embedding: int) -> nn.Module:
    from diffusers.models.transformers.sana_transformer import SanaTransformerBlock
    from torch import nn

    from jscgc.generator.backbone import TokenStage

    heads = width // HEAD
    modulate = nn.Linear(embedding, 6 * width)
    block = SanaTransformerBlock(
        dim=width,
        num_attention_heads=heads,
        attention_head_dim=HEAD,
        num_cross_attention_heads=heads,
        cross_attention_head_dim=HEAD,
        cross_attention_dim=width,
    )
    return TokenStage(modulate, block, _run_block)


def _run_block(block: Any, tokens: Tensor, modulation: Tensor, size: tuple[int, int]) -> Tensor:
    # Its cross attention, which it can't be without, reads one constant token.
    nothing = tokens.new_zeros(len(tokens), 1, tokens.shape[-1])
    height, width = size
    output: Tensor = block(tokens, encoder_hidden_states=nothing, timestep=modulation, height=height, width=width)
    return output


SANA = BackboneKind("sana", build, order=20)
