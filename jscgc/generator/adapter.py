"""The communication-aware adapter (CA-Adapter, paper Fig. 2): received symbols in, residuals for the generator out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.config import AdapterParams
from jscgc.generator.backbones import GROUPS, ResidualPoint


class CaAdapter(nn.Module):
    """Refiner, then one cascaded stage per residual point of the generator.

        condition [B,F,h,w]   -> Refiner -> features [B,W,h,w] --+
        x_t       [B,C,h,w] ------------------------------------+-> stage 1 -> zero conv -> residual 1
                                                                      |
                                                                    stage 2 -> zero conv -> residual 2 ...

    Stages are the generator's own block type (diffusers' ResnetBlock2D), each told t and the SNR. The zero convolutions
    start at zero: an untrained adapter leaves the unconditional generator exactly as it is. The paper does not give
    the number of stages or the layers they feed; ours feed every layer that takes a residual.

    Args:
        condition_channels: planes F of the condition.
        channels: latent channels C.
        points: the generator's residual points, finest first.
        params: width W at the finest scale (multiple of 32) and the Refiner's depth.
    """

    def __init__(
        self,
        condition_channels: int,
        channels: int,
        points: tuple[ResidualPoint, ...],
        params: AdapterParams,
    ) -> None:
        super().__init__()
        from diffusers.models.embeddings import TimestepEmbedding, Timesteps

        width = params.width
        if width % (2 * GROUPS):
            # With one channel per group, normalisation would take away what time and SNR add to a channel.
            raise ValueError(f"adapter.width must be a multiple of {2 * GROUPS}, got {width}")
        embedding = 4 * width
        self.project = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.embed_time = TimestepEmbedding(width, embedding)
        self.embed_snr = TimestepEmbedding(width, embedding)
        self.refine_in = nn.Conv2d(condition_channels, width, 3, padding=1)
        self.refiner = nn.ModuleList(_block(width, embedding) for _ in range(params.refiner_depth))
        self.refine_out = nn.Conv2d(width, width, 1)
        self.stage_in = nn.Conv2d(width + channels, width, 3, padding=1)
        changes: list[nn.Module] = []
        stages: list[nn.Module] = []
        heads: list[nn.Module] = []
        previous, scale = width, 1
        for point in points:
            # Wider where the grid is coarser, as the generator is: that is where a channel costs least.
            inner = min(point.channels, width * point.scale)
            stride = point.scale // scale
            change = (
                nn.Conv2d(previous, inner, 3, stride, padding=1) if stride > 1 or inner != previous else nn.Identity()
            )
            changes.append(change)
            stages.append(_block(inner, embedding))
            head = nn.Conv2d(inner, point.channels, 1)
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
            heads.append(head)
            previous, scale = inner, point.scale
        self.changes, self.stages, self.heads = (nn.ModuleList(part) for part in (changes, stages, heads))

    def _embed(self, t: Tensor, snr_db: Tensor) -> Tensor:
        embedded: Tensor = self.embed_time(self.project(1000 * t)) + self.embed_snr(self.project(10 * snr_db))
        return embedded

    def forward(
        self, condition: Tensor, snr_db: Tensor, x_t: Tensor, t: Tensor, keep: Tensor | None = None
    ) -> list[Tensor]:
        """Residuals, one per point.

        Args:
            condition: [B,F,h,w]; snr_db [B]; x_t [B,C,h,w]; t [B].
            keep: float [B], 0 drops an image's condition: its residuals are exactly zero.
        """
        embedding = self._embed(t, snr_db)
        x = self.refine_in(condition)
        for block in self.refiner:
            x = block(x, embedding)
        x = self.refine_out(F.silu(x))
        x = self.stage_in(torch.cat([x, x_t], dim=1))
        residuals = []
        for change, block, head in zip(self.changes, self.stages, self.heads, strict=True):
            x = block(change(x), embedding)
            residual = head(x)
            residuals.append(residual if keep is None else residual * keep[:, None, None, None])
        return residuals


def _block(width: int, embedding: int) -> nn.Module:
    from diffusers.models.resnet import ResnetBlock2D

    block: nn.Module = ResnetBlock2D(in_channels=width, out_channels=width, temb_channels=embedding, groups=GROUPS)
    return block
