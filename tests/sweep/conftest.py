"""A project as `dvc repro` leaves it, tiny, with untrained models; and its space file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jscgc.files import read_json, sha256, write_json
from jscgc.params import Params

SPACE: dict[str, Any] = {
    "name": "tiny",
    "trials": 6,
    "evaluate": {"snr_db": [0, 10], "rates": [2], "photos": 2},
    "space": {
        "jscgc.train.learning_rate": {"log_uniform": [0.0001, 0.01]},
        "sample.guidance": {"choice": [1.0, 2.0]},
    },
}


def photos(folder: Path) -> None:
    """Two for validation, one for testing."""
    entries = []
    for seed, (name, split) in enumerate([("a", "validation"), ("b", "validation"), ("t", "test")]):
        file = folder / split / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        entries.append({"name": name, "split": split, "scene": name, "file": f"{split}/{name}.png"})
    (folder / "manifest.json").write_text(json.dumps({"photos": entries}))


def write_space(root: Path, **changes: Any) -> Path:
    """JSON is YAML."""
    path = root / "space.yaml"
    path.write_text(json.dumps(SPACE | changes))
    return path


@pytest.fixture
def project(params: Params, models: Path, latent_cache: Path, tmp_path: Path) -> Path:
    """params.yaml, space.yaml and data/."""
    root = tmp_path / "project"
    (root / "data").mkdir(parents=True)
    (root / "data" / "models").symlink_to(models)
    shutil.copytree(latent_cache, root / "data" / "latents")
    statistics = read_json(latent_cache / "statistics.json") | {"vae_sha256": sha256(models / "vae")}
    write_json(root / "data" / "latents" / "statistics.json", statistics)
    photos(root / "data" / "photos")
    (root / "params.yaml").write_text(json.dumps(params.model_dump(mode="json")))
    write_space(root)
    return root


@pytest.fixture
def space(project: Path) -> Callable[..., Path]:
    """Rewrites the space file with changes."""
    return lambda **changes: write_space(project, **changes)
