"""What several benchmarks are tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def noise_photos(tmp_path: Path) -> Path:
    """A folder of two photographs of noise, of a size that no VAE takes without padding."""
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (70, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return tmp_path
