"""Photographs that come inside scikit-image, and ways to spoil them."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data
from torch import Tensor
from weights_site import folder, site  # noqa: F401  (fixtures)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [H,W,3] -> float32 [1,3,H,W] in [0,1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def to_image(images: Tensor) -> Image.Image:
    """[1,3,H,W] in [0,1] -> 8-bit image."""
    return Image.fromarray((images[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy())


@pytest.fixture(scope="session")
def chelsea() -> Tensor:
    """A cat, [1,3,192,192]."""
    return to_tensor(data.chelsea()[54:246, 130:322])


@pytest.fixture(scope="session")
def coffee() -> Tensor:
    """A cup, [1,3,192,192]."""
    return to_tensor(data.coffee()[100:292, 200:392])


def blur(images: Tensor, sigma: float) -> Tensor:
    radius = int(4 * sigma) + 1
    line = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    line = (line / line.sum()).repeat(3, 1, 1, 1)
    padded = F.pad(images, [radius] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, line, groups=3), line.transpose(2, 3), groups=3)


def noise(images: Tensor, sigma: float) -> Tensor:
    return (images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)


def jpeg(images: Tensor, quality: float) -> Tensor:
    buffer = io.BytesIO()
    to_image(images).save(buffer, "JPEG", quality=int(quality))
    return to_tensor(np.asarray(Image.open(buffer)))


DEGRADATIONS: list[tuple[Callable[[Tensor, float], Tensor], tuple[float, ...]]] = [
    (blur, (0.5, 1.0, 2.0, 4.0)),
    (noise, (0.02, 0.06, 0.15, 0.4)),
    (jpeg, (90, 50, 20, 5)),
]
"""Each from mild to strong."""


@pytest.fixture(scope="session")
def pictures() -> SimpleNamespace:
    """The functions of this file, for tests."""
    return SimpleNamespace(to_tensor=to_tensor, to_image=to_image, blur=blur, noise=noise, jpeg=jpeg)


@pytest.fixture(params=DEGRADATIONS, ids=lambda pair: pair[0].__name__)
def degradation(request: pytest.FixtureRequest) -> Callable[[Tensor], list[Tensor]]:
    """Makes four increasingly degraded versions of an image."""
    spoil, strengths = request.param
    return lambda images: [spoil(images, strength) for strength in strengths]
