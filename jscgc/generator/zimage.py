"""The paper's backbone: Z-Image's single-stream transformer, diffusers' ZImageTransformer2DModel.

Its conventions are turned into ours here and nowhere else: its time runs from noise (0) to data (1), it predicts x0 - eps, and
its images are lists of [C, 1, h, w]. The time shift it was trained with (3 in its scheduler's configuration) is
`objective.time_shift` and `sample.time_shift`. Its latents are its VAE's own, scaled and shifted: set latents.normalise to false.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.config import GeneratorParams
from jscgc.generator.backbones import Caption, ResidualPoint, load_pretrained, scaled_input, steered, zero

PATCH = 2
AXES = (8, 12, 12)
"""Rotary dimensions of a head per axis (frame, row, column) of a model from scratch; they add up to the head's 32."""
AXES_LENGTHS = (64, 1024, 1024)


class ZImageBackbone(nn.Module):
    """ZImageTransformer2DModel with a constant caption: zeros, or a pretrained model's features of the empty prompt.

    Residuals are added to the image's tokens after every layer, and to the output. Sides of the latent must be even.

    Raises:
        ValueError: not one width that is a multiple of 32.
    """

    def __init__(self, channels: int, params: GeneratorParams) -> None:
        super().__init__()
        from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel

        self.preconditioned = params.source == "scratch"
        if self.preconditioned:
            head = sum(AXES)
            if len(params.widths) != 1 or params.widths[0] % head:
                raise ValueError(f"generator.widths: zimage takes one width, a multiple of {head}, got {params.widths}")
            width = params.widths[0]
            self.net = ZImageTransformer2DModel(
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
            zero(self.net.all_final_layer[f"{PATCH}-1"].linear)
        else:
            self.net = load_pretrained(ZImageTransformer2DModel, params, channels)
        config = self.net.config
        self.caption = Caption(config.cap_feat_dim)
        self.width_multiple = sum(config.axes_dims)
        self.points = (*[ResidualPoint(config.dim, PATCH)] * config.n_layers, ResidualPoint(channels, 1))

    def forward(self, x_t: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None = None) -> Tensor:
        if x_t.shape[-2] % PATCH or x_t.shape[-1] % PATCH:
            raise ValueError(f"zimage needs latents of even sides, got {tuple(x_t.shape[-2:])}")
        dtype = self.net.dtype
        image = scaled_input(x_t, t, self.preconditioned).to(dtype)
        output = self.net(
            list(image[:, :, None].unbind()),
            1 - t,
            [self.caption.features.to(dtype)] * len(x_t),
            return_dict=False,
            controlnet_block_samples=None if residuals is None else self._tokens(residuals[:-1]),
        )[0]
        # It predicts x0 - eps.
        velocity = -torch.stack(output)[:, :, 0].to(x_t.dtype)
        return steered(velocity, x_t, t, residuals[-1] if residuals else None, self.preconditioned)

    def _tokens(self, residuals: Sequence[Tensor | None]) -> dict[int, Tensor]:
        """Residuals by layer for the whole sequence: the image's tokens, filled up to a multiple of 32, then the caption's."""
        from diffusers.models.transformers.transformer_z_image import SEQ_MULTI_OF

        caption = -(-len(self.caption.features) // SEQ_MULTI_OF) * SEQ_MULTI_OF
        found = {}
        for layer, residual in enumerate(residuals):
            if residual is not None:
                tokens = residual.flatten(2).mT.to(self.net.dtype)
                found[layer] = F.pad(tokens, (0, 0, 0, -tokens.shape[1] % SEQ_MULTI_OF + caption))
        return found

    def stage(self, width: int, embedding: int) -> nn.Module:
        """diffusers' ZImageTransformerBlock, heads as wide as the backbone's."""
        return ZImageStage(width, embedding, tuple(self.net.config.axes_dims))


class ZImageStage(nn.Module):
    """A ZImageTransformerBlock on an image."""

    def __init__(self, width: int, embedding: int, axes: tuple[int, ...]) -> None:
        super().__init__()
        from diffusers.models.transformers.transformer_z_image import (
            ADALN_EMBED_DIM,
            RopeEmbedder,
            ZImageTransformerBlock,
        )

        heads = width // sum(axes)
        self.modulate = nn.Linear(embedding, min(width, ADALN_EMBED_DIM))
        self.block = ZImageTransformerBlock(0, width, heads, heads, norm_eps=1e-5, qk_norm=True)
        self._rotary = RopeEmbedder(axes_dims=list(axes), axes_lens=list(AXES_LENGTHS))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        height, columns = x.shape[-2:]
        rows = torch.arange(height, device=x.device)
        grid = torch.meshgrid(
            torch.zeros(1, dtype=rows.dtype, device=x.device),
            rows,
            torch.arange(columns, device=x.device),
            indexing="ij",
        )
        places = torch.stack(grid, dim=-1).reshape(-1, 3)
        rotations = self._rotary(places)[None].expand(len(x), -1, -1)
        tokens = self.block(x.flatten(2).mT, None, rotations, self.modulate(F.silu(embedding)))
        image: Tensor = tokens.mT.reshape(x.shape)
        return image


def start_from_controlnet(stages: Sequence[nn.Module], path: str) -> int:
    """Give the adapter's stages the weights of a ZImageControlNetModel's control layers, in order; how many were filled.

    Args:
        stages: ZImageStage of the backbone's own width.
        path: folder or hub id of the ZImageControlNetModel.

    Raises:
        ValueError: it can't be loaded, or its layers have another width.
    """
    from diffusers.models.controlnets.controlnet_z_image import ZImageControlNetModel
    from safetensors import SafetensorError

    try:
        control = ZImageControlNetModel.from_pretrained(path, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"adapter.controlnet_path {path!r}: no ZImageControlNetModel can be loaded ({error!s:.200})"
        ) from None
    filled = 0
    for stage, layer in zip(stages, control.control_layers, strict=False):
        assert isinstance(stage, ZImageStage)
        # A control layer has two projections more, around the block that it shares with the transformer.
        own = stage.block.state_dict()
        given = {name: value for name, value in layer.state_dict().items() if name in own}
        if given.keys() != own.keys() or any(given[name].shape != own[name].shape for name in own):
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
