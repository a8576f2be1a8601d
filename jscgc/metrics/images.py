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


LONGEST = 4
"""Of a picture's longer side to its shorter one, up to which it is enlarged as it is. A strip of one pixel by a thousand would
become one of 260 by 260 000."""


def resize_shorter_side(images: Images, side: int) -> Float32[Tensor, "b 3 h2 w2"]:
    """Scale so that the shorter side has `side` pixels; bicubic with antialiasing, aspect kept, clamped to [0,1].

    A strip (longer than `LONGEST` times its shorter side, and that shorter than `side`) becomes no larger than `LONGEST` squares,
    or than it is: it is scaled by less, and the rest of the shorter side is filled by `widened`.
    """
    height, width = images.shape[-2:]
    shorter, longer = sorted((height, width))
    if shorter == side:
        return images
    if shorter < side and longer > LONGEST * shorter:
        most = max(LONGEST * side, height * width / side)
        if longer > most:
            images = _scaled(images, 1, most / longer)
        images = widened(images, side)
        shorter = min(images.shape[-2:])
    return _scaled(images, side, side / shorter)


def _scaled(images: Images, least: int, scale: float) -> Images:
    """Sides times `scale`, and no side below `least`."""
    import torch.nn.functional as F

    size = [max(least, round(length * scale)) for length in images.shape[-2:]]
    return F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def widened(images: Images, side: int) -> Images:
    """A strip's last row or column repeated until its shorter side has `side` pixels, or a `LONGEST`-th of the longer one if that
    is less; other pictures as they are."""
    import torch.nn.functional as F

    most = min(side, -(-max(images.shape[-2:]) // LONGEST))
    right, below = (max(0, most - length) for length in reversed(images.shape[-2:]))
    return F.pad(images, (0, right, 0, below), mode="replicate") if right or below else images


def middle(picture: Image.Image) -> Image.Image:
    """The middle of a strip, `LONGEST` times as long as wide; other pictures as they are.

    Published preprocessing enlarges all of a picture and then looks at a central square: of a strip that would be a square of
    millions.
    """
    shorter = min(picture.size)
    left, top = (max(0, length - LONGEST * shorter) // 2 for length in picture.size)
    return picture.crop((left, top, picture.width - left, picture.height - top)) if left or top else picture
