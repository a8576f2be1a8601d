"""The paper's backbone: Z-Image's single-stream transformer, diffusers' ZImageTransformer2DModel.

Its caption is constant: zeros, or a pretrained model's features of the empty prompt. Residuals are added to the image's tokens
after every layer, and to the output. Sides of the latent must be even.

Its conventions are turned into ours here and nowhere else: its time runs from noise (0) to data (1), it predicts x0 - eps, and
its images are lists of [C, 1, h, w]. The time shift it was trained with (3 in its scheduler's configuration) is
`objective.time_shift` and `sample.time_shift`. Its latents are its VAE's own, scaled and shifted: set latents.normalise to false.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc.generator.backbones import BackboneKind

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from jscgc.generator.backbone import DiffusersBackbone
    from jscgc.generator.params import BackboneParams

PATCH = 2
AXES = (8, 12, 12)
"""Rotary dimensions of a head per axis (frame, row, column) of a model from scratch; they add up to the head's 32."""
AXES_LENGTHS = (64, 1024, 1024)


def build(channels: int, params: BackboneParams) -> DiffusersBackbone:
    """As `build_backbone`.

    Raises:
        ValueError: not one width that is a multiple of 32.
    """
    from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel

    from jscgc.generator.backbone import Caption, DiffusersBackbone, ResidualPoint, load_pretrained, zero

    scratch = params.source == "scratch"
    if scratch:
        head = sum(AXES)
        if len(params.widths) != 1 or params.widths[0] % head:
            raise ValueError(f"generator.widths: zimage takes one width, a multiple of {head}, got {params.widths}")
        width = params.widths[0]
        net = ZImageTransformer2DModel(
            in_channels=channels,
            dim=width,
            n_layers=params.depth,
            n_refiner_layers=1,
            n_heads=width // head,
            n_kv_heads=width // head,
            cap_feat_dim=8,
            axes_dims=list(AXES),
            axes_lens=list(AXES_LENGTHS),
        )
        zero(net.all_final_layer[f"{PATCH}-1"].linear)
    else:
        net = load_pretrained(ZImageTransformer2DModel, params, channels)
    config = net.config
    points = [*[ResidualPoint(config.dim, PATCH)] * config.n_layers, ResidualPoint(channels, 1)]
    caption, head = Caption(config.cap_feat_dim), sum(config.axes_dims)
    return DiffusersBackbone(net, points, head, _run, _stage, preconditioned=scratch, caption=caption)


def _run(backbone: DiffusersBackbone, x: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None) -> Tensor:
    import torch

    if x.shape[-2] % PATCH or x.shape[-1] % PATCH:
        raise ValueError(f"zimage needs latents of even sides, got {tuple(x.shape[-2:])}")
    assert backbone.caption is not None
    caption = backbone.caption.features.to(x.dtype)
    output = backbone.net(
        list(x[:, :, None].unbind()),
        1 - t,
        [caption] * len(x),
        return_dict=False,
        controlnet_block_samples=None if residuals is None else _tokens(residuals, len(caption), x.dtype),
    )[0]
    # It predicts x0 - eps.
    return -torch.stack(output)[:, :, 0]


def _tokens(residuals: Sequence[Tensor | None], caption: int, dtype: torch.dtype) -> dict[int, Tensor]:
    """Residuals by layer for the whole sequence: the image's tokens, filled up to a multiple of 32, then the caption's."""
    from diffusers.models.transformers.transformer_z_image import SEQ_MULTI_OF
    from torch.nn.functional import pad

    caption = -(-caption // SEQ_MULTI_OF) * SEQ_MULTI_OF
    by_layer = {}
    for layer, residual in enumerate(residuals):
        if residual is not None:
            tokens = residual.flatten(2).mT.to(dtype)
            by_layer[layer] = pad(tokens, (0, 0, 0, -tokens.shape[1] % SEQ_MULTI_OF + caption))
    return by_layer


def _stage(backbone: DiffusersBackbone, width: int, embedding: int) -> nn.Module:
    """diffusers' ZImageTransformerBlock, heads as wide as the backbone's."""
    from diffusers.models.transformers.transformer_z_image import ADALN_EMBED_DIM, RopeEmbedder, ZImageTransformerBlock
    from torch import nn

    from jscgc.generator.backbone import TokenStage

    axes = list(backbone.net.config.axes_dims)
    heads = width // sum(axes)
    modulate = nn.Linear(embedding, min(width, ADALN_EMBED_DIM))
    block = ZImageTransformerBlock(0, width, heads, heads, norm_eps=1e-5, qk_norm=True)
    return TokenStage(modulate, block, partial(_run_block, RopeEmbedder(axes_dims=axes, axes_lens=list(AXES_LENGTHS))))


def _run_block(rotary: Any, block: Any, tokens: Tensor, modulation: Tensor, size: tuple[int, int]) -> Tensor:
    import torch

    frame, rows, columns = (torch.arange(count, device=tokens.device) for count in (1, *size))
    places = torch.stack(torch.meshgrid(frame, rows, columns, indexing="ij"), dim=-1).reshape(-1, 3)
    rotations = rotary(places)[None].expand(len(tokens), -1, -1)
    output: Tensor = block(tokens, None, rotations, modulation)
    return output


def start_from_controlnet(stages: Sequence[nn.Module], path: str) -> int:
    """Give the adapter's stages the weights of a ZImageControlNetModel's control layers, in order; how many were filled.

    Args:
        stages: of the backbone's own width.
        path: folder or hub id of the ZImageControlNetModel.

    Raises:
        ValueError: it can't be loaded, or its layers have another width.
    """
    from diffusers.models.controlnets.controlnet_z_image import ZImageControlNetModel
    from safetensors import SafetensorError

    from jscgc.generator.backbone import TokenStage

    try:
        control = ZImageControlNetModel.from_pretrained(path, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"adapter.controlnet_path {path!r}: no ZImageControlNetModel can be loaded ({error!s:.200})"
        ) from None
    filled = 0
    for stage, layer in zip(stages, control.control_layers, strict=False):
        assert isinstance(stage, TokenStage)
        # A control layer has two projections more, around the block that it shares with the transformer.
        state = stage.block.state_dict()
        given = {name: value for name, value in layer.state_dict().items() if name in state}
        if given.keys() != state.keys() or any(given[name].shape != state[name].shape for name in state):
            raise ValueError(
                f"adapter.controlnet_path {path!r}: its control layers do not fit the adapter's stages; "
                f"set adapter.width so that a stage is as wide as the backbone ({control.config.dim})"
            )
        stage.block.load_state_dict(given)
        filled += 1
    return filled


def empty_prompt(path: str, device: torch.device | str = "cpu") -> Tensor:
    """Caption features [L, D] of the empty prompt, as diffusers' ZImagePipeline computes them; needed once.

    Args:
        path: folder or hub id of the whole pipeline, with text_encoder/ and tokenizer/.

    Raises:
        ValueError: they can't be loaded.
    """
    import torch
    from diffusers.pipelines.z_image.pipeline_z_image import ZImagePipeline
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = (
            AutoTokenizer.from_pretrained(path, subfolder="tokenizer")
            if not Path(path).is_dir()
            else (AutoTokenizer.from_pretrained(str(Path(path) / "tokenizer")))
        )
        encoder: Any = AutoModel.from_pretrained(path, subfolder="text_encoder", use_safetensors=True).to(device).eval()
    except (OSError, ValueError) as error:
        raise ValueError(f"generator.caption_path {path!r}: no text encoder can be loaded ({error!s:.200})") from None
    parts: Any = ZImagePipeline
    pipeline = parts(scheduler=None, vae=None, text_encoder=encoder, tokenizer=tokenizer, transformer=None)
    with torch.no_grad():
        features: Tensor = pipeline._encode_prompt("", device=torch.device(device))[0]
    return features.float().cpu()


ZIMAGE = BackboneKind("zimage", build, order=30, empty_prompt=empty_prompt, start_stages=start_from_controlnet)
