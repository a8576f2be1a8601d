"""What every metric does to images first: check them, and look at them as they would be saved.

Torch is imported where it is used: declarations import this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8
    from PIL import Image
    from torch import Tensor

    from jscgc.metrics.base import Images


def as_bytes(images: Images) -> UInt8[Tensor, "b 3 h w"]:
    """Images in [0,1] as they would be saved: clamped and rounded to uint8 0..255.

    Raises:
        ValueError: not float32 [B,3,H,W], or not finite (a byte cannot say so, and the number would look fine).
    """
    import torch

    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.float32:
        raise ValueError(f"images must be float32 [B,3,H,W], not {images.dtype} {list(images.shape)}")
    if images.numel() and not torch.isfinite(torch.stack(torch.aminmax(images.detach()))).all():
        raise ValueError("images hold values that are not finite")
    # contiguous: in another memory layout the same pixels would give results that differ in the last digit
    return images.detach().clamp(0, 1).mul_(255).round_().to(torch.uint8).contiguous()


def as_floats(saved: UInt8[Tensor, "b 3 h w"]) -> Images:
    """Levels 0..255 as float32 in [0,1]."""
    import torch

    return saved.to(torch.float32) / 255


def as_saved(images: Images) -> Images:
    """Images in [0,1], clamped and rounded to the 256 levels of an 8-bit file."""
    return as_floats(as_bytes(images))


def as_pictures(saved: UInt8[Tensor, "b 3 h w"]) -> list[Image.Image]:
    """Each image of `as_bytes` as published preprocessing takes it."""
    from PIL import Image

    return [Image.fromarray(image) for image in saved.permute(0, 2, 3, 1).cpu().numpy()]


def check_pair(reference: Images, received: Images) -> None:
    """Raise ValueError unless both batches have the same shape."""
    if reference.shape != received.shape:
        raise ValueError(f"reference {list(reference.shape)} and received {list(received.shape)} differ in shape")


def resize_shorter_side(images: Images, side: int) -> Float32[Tensor, "b 3 h2 w2"]:
    """Scale so that the shorter side has `side` pixels; bicubic with antialiasing, aspect kept, clamped to [0,1]."""
    import torch.nn.functional as F

    height, width = images.shape[-2:]
    if min(height, width) == side:
        return images
    scale = side / min(height, width)
    size = (max(side, round(height * scale)), max(side, round(width * scale)))
    return F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
