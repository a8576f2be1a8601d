"""Patches of images for the set metrics, as HiFiC cuts them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor


def patches(images: Iterable[Float[Tensor, "3 _ _"]], size: int) -> Float[Tensor, "n 3 {size} {size}"]:
    """Square patches of images of any sizes: a non-overlapping grid, and a second one shifted by half a patch.

    From each image, floor(H/s) floor(W/s) patches from its upper left corner and, where they fit, as many more of the
    grid that starts at (s/2, s/2); incomplete patches at the right and lower border are left out. With s = 256, Kodak
    (768x512) gives 6 + 2 per photograph, the 192 patches of the literature. An image smaller than s is first continued
    by reflection at the right and lower border, up to s.

    Source: Mentzer et al., High-Fidelity Generative Image Compression, NeurIPS 2020, appendix A.7.

    Args:
        images: each [3,H,W]; a batch [B,3,H,W] will do. Sizes may differ.
        size: s in pixels, even.

    Returns:
        [N,3,s,s], image by image, row by row, the shifted grid of an image after its first.
    """
    if size < 2 or size % 2:
        raise ValueError(f"patch size {size}: must be even and positive, so that half of it is whole")
    cut: list[Tensor] = []
    for image in images:
        padded = _reflect(_reflect(image, size, dim=1), size, dim=2)
        for start in (0, size // 2):
            shifted = padded[:, start:, start:]
            if min(shifted.shape[1:]) >= size:
                grid = shifted.unfold(1, size, size).unfold(2, size, size)
                cut.append(grid.permute(1, 2, 0, 3, 4).reshape(-1, 3, size, size))
    if not cut:
        raise ValueError("no images to cut patches from")
    return torch.cat(cut)


def _reflect(image: Tensor, size: int, dim: int) -> Tensor:
    """Continue `image` along `dim` to at least `size` by reflection about its border pixels, repeatedly if need be."""
    length = image.shape[dim]
    if length >= size:
        return image
    period = max(1, 2 * (length - 1))
    position = torch.arange(size, device=image.device) % period
    return image.index_select(dim, torch.minimum(position, (period - position) % max(period, 1)).clamp(max=length - 1))
