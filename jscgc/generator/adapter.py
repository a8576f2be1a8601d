"""The communication-aware adapter (CA-Adapter, paper Fig. 2): received symbols in, residuals for the generator out."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.generator.backbone import Backbone, zero
from jscgc.generator.params import AdapterParams

WIDEST_EMBEDDING = 256
"""Largest base width of the embeddings and of the linear reading: neither has to grow with a wide adapter."""


class LinkState(Protocol):
    """What the receiver knows of a link as a whole: `channel.receiver.Received` is one.

    snr_db: float [B], average. bits: float [B], what the symbols of a position can carry.
    """

    @property
    def snr_db(self) -> Tensor: ...

    @property
    def bits(self) -> Tensor: ...


class LinearReading(nn.Module):
    """The residual of the generator's output: for a given t and link, linear in condition and x_t, without normalisation.

        conv1x1(condition, x_t) * (1 + gains(t, SNR, bits)) -> zero conv -> [B,C,h,w]

    Of a Gaussian source with posterior mean m and variance c, the velocity of Prop. 2 is exactly of this form (with r = (1-t) c /
    ((1-t)^2 c + t^2), E[x0|x_t,y] = m + r (x_t - (1-t) m)); what is not Gaussian is left to generator and stages. Blocks
    that normalise lose the very scale and mean that such a reading keeps. Our choice; the paper has no such stage.
    """

    def __init__(self, inputs: int, channels: int, width: int, embedding: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(inputs, width, 1, bias=False)
        self.gains = nn.Linear(embedding, width)
        self.head = zero(nn.Conv2d(width, channels, 1))

    def forward(self, content: Tensor, embedding: Tensor) -> Tensor:
        gains = 1 + self.gains(F.silu(embedding))
        residual: Tensor = self.head(self.read(content) * gains[:, :, None, None])
        return residual


class CaAdapter(nn.Module):
    """Refiner, then a cascade of stages, each feeding a layer of the generator; unless it is switched off, a linear reading for
    its output.

        condition [B,F,h,w]   -> Refiner -> features [B,W,h,w] --+
        x_t       [B,C,h,w] ------------------------------------+-> stage 1 -> zero conv -> residual of layer L_1
                                                                      |
                                                                    stage 2 -> zero conv -> residual of layer L_2 ...
        condition, x_t -> linear reading -> residual of the output

    Stages are the generator's own block type, each told t, the SNR and how many bits the symbols of a position can carry. The
    zero convolutions start at zero: an untrained adapter leaves the unconditional generator exactly as it is. The paper
    gives neither the number of stages N_I nor the layers L_i; both are settings, by default every layer has its stage.

    Args:
        condition_channels: planes F of the condition.
        channels: latent channels C.
        backbone: the generator, which builds the stages and says where they lead.
        params: width W at the finest scale, the Refiner's depth, stages and layers.

    Raises:
        ValueError: a width that does not fit the block type, a layer that the backbone does not have.
    """

    def __init__(self, condition_channels: int, channels: int, backbone: Backbone, params: AdapterParams) -> None:
        super().__init__()
        from diffusers.models.embeddings import TimestepEmbedding, Timesteps

        width, points = params.width, backbone.points[:-1]
        if width % backbone.width_multiple:
            raise ValueError(f"adapter.width must be a multiple of {backbone.width_multiple}, got {width}")
        embedding = 4 * min(width, WIDEST_EMBEDDING)
        base = embedding // 4
        self.layers = chosen_layers(len(points), params)
        self.sees_x_t = params.sees_x_t
        self.outputs = len(backbone.points)
        self.scale = points[0].scale
        self.project = Timesteps(base, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.embed_time = TimestepEmbedding(base, embedding)
        self.embed_snr = TimestepEmbedding(base, embedding)
        self.embed_bits = TimestepEmbedding(base, embedding)
        # Transformers work on patches of the latent; condition and x_t are read patch by patch then.
        patch = self.scale**2
        self.refine_in = nn.Conv2d(condition_channels * patch, width, 3, padding=1)
        self.refiner = nn.ModuleList(backbone.stage(width, embedding) for _ in range(params.refiner_depth))
        self.refine_out = nn.Conv2d(width, width, 1)
        self.stage_in = nn.Conv2d(width + channels * patch, width, 3, padding=1)
        changes: list[nn.Module] = []
        stages: list[nn.Module] = []
        heads: list[nn.Module] = []
        previous, scale = width, self.scale
        for layer in self.layers:
            point = points[layer]
            # Wider where the grid is coarser, as the generator is: that is where a channel costs least.
            inner = min(point.channels, width * point.scale // self.scale)
            stride = point.scale // scale
            change = (
                nn.Conv2d(previous, inner, 3, stride, padding=1) if stride > 1 or inner != previous else nn.Identity()
            )
            changes.append(change)
            stages.append(backbone.stage(inner, embedding))
            heads.append(zero(nn.Conv2d(inner, point.channels, 1)))
            previous, scale = inner, point.scale
        self.changes, self.stages, self.heads = (nn.ModuleList(part) for part in (changes, stages, heads))
        self.reading = (
            LinearReading(condition_channels + channels, channels, min(width, WIDEST_EMBEDDING), embedding)
            if params.reading
            else None
        )

    def _embed(self, t: Tensor, link: LinkState) -> Tensor:
        # The sinusoids' periods suit arguments of tens to hundreds.
        bits = 100 * torch.log2(1 + link.bits)
        embedded: Tensor = (
            self.embed_time(self.project(1000 * t))
            + self.embed_snr(self.project(10 * link.snr_db))
            + self.embed_bits(self.project(bits))
        )
        return embedded

    def forward(
        self, condition: Tensor, link: LinkState, x_t: Tensor, t: Tensor, keep: Tensor | None = None
    ) -> list[Tensor | None]:
        """Residuals, one per point of the backbone; None where no stage leads.

        Args:
            condition: [B,F,h,w]; link: what the receiver knows of it; x_t [B,C,h,w]; t [B].
            keep: float [B], 0 drops an image's condition: its residuals are exactly zero.
        """
        embedding = self._embed(t, link)
        x = self.refine_in(F.pixel_unshuffle(condition, self.scale))
        for block in self.refiner:
            x = block(x, embedding)
        x = self.refine_out(F.silu(x))
        seen = x_t if self.sees_x_t else torch.zeros_like(x_t)
        x = self.stage_in(torch.cat([x, F.pixel_unshuffle(seen, self.scale)], dim=1))
        residuals: list[Tensor | None] = [None] * self.outputs
        for layer, change, block, head in zip(self.layers, self.changes, self.stages, self.heads, strict=True):
            x = block(change(x), embedding)
            residuals[layer] = head(x)
        if self.reading is not None:
            residuals[-1] = self.reading(torch.cat([condition, seen], dim=1), embedding)
        if keep is None:
            return residuals
        return [None if r is None else r * keep[:, None, None, None] for r in residuals]


def chosen_layers(count: int, params: AdapterParams) -> list[int]:
    """Indices L_i of the layers that stages lead to, rising: those named, or `stages` of them evenly spread, or all.

    Raises:
        ValueError: a layer that does not exist, or more stages than layers.
    """
    if params.layers:
        if wrong := [layer for layer in params.layers if layer >= count]:
            raise ValueError(f"adapter.layers: {wrong[0]} does not exist, the generator's layers are 0..{count - 1}")
        return sorted(params.layers)
    stages = params.stages or count
    if stages > count:
        raise ValueError(f"adapter.stages: {stages} asked for, the generator has {count} layers that take a residual")
    return [i * count // stages for i in range(stages)]
