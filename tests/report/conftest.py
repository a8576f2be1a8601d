"""A small reports folder with made-up results, and tables made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

COLUMNS = ["method", "channel", "snr_db", "cbr", "steps", "seed", "image", "metric", "value"]
Maker = Callable[..., pd.DataFrame]


def quality(method: str, snr_db: float, metric: str, image: str, seed: int) -> float:
    """Rises with the SNR, differs a little by image and seed, is bad for the controls."""
    good = snr_db / 10 - (2 if method.startswith("jscgc_") else 0) + 0.02 * seed + (0.05 if image == "b" else 0)
    return {"psnr": 20 + 5 * good, "fid_efficientnet_lite2": 300 - 50 * good}.get(metric, 0.5)


def make_results(snrs: tuple[float, ...] = (-5.0, 0.0, 5.0), images: tuple[str, ...] = ("a", "b")) -> pd.DataFrame:
    rows = []
    grid = [(m, s) for m in ("jscgc", "mambajscc_psnr") for s in snrs]
    controls = [(m, max(snrs)) for m in ("jscgc_wrong_symbols", "jscgc_unconditional")]
    for method, snr_db in grid + controls:
        steps = 0 if method == "mambajscc_psnr" else 10
        for rate in (8,) if (method, snr_db) in controls else (2, 8):
            for seed in range(3):
                condition = (method, "awgn", snr_db, rate / 768, steps, seed)
                for image in images:
                    rows.append((*condition, image, "psnr", quality(method, snr_db, "psnr", image, seed)))
                    rows.append((*condition, image, "nfe", float(steps)))
                set_value = quality(method, snr_db, "fid_efficientnet_lite2", "*", seed)
                rows.append((*condition, "*", "fid_efficientnet_lite2", set_value))
    return pd.DataFrame(rows, columns=COLUMNS)


def write_picture(path: Path, size: tuple[int, int] = (96, 64), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(path)


@pytest.fixture
def make() -> Maker:
    return make_results


@pytest.fixture
def save_picture() -> Callable[..., None]:
    return write_picture


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything the page can show; two photographs, two receivers, both controls."""
    folder = tmp_path_factory.mktemp("reports")
    results = make_results()
    results.to_csv(folder / "results.csv", index=False)
    for image in ("a", "b"):
        write_picture(folder / "pictures" / image / "original.png")
        for m, c, s, r in results[["method", "channel", "snr_db", "cbr"]].drop_duplicates().itertuples(index=False):
            write_picture(folder / "pictures" / image / f"{m}_{c}_{s:g}dB_{round(r * 768)}.png", seed=1)
    (folder / "curves").mkdir()
    steps = np.arange(1, 101)
    curve = pd.DataFrame({"step": steps, "loss": 1 / steps, "psnr_db": 20 + steps / 10})
    curve.to_csv(folder / "curves" / "train_vae.csv", index=False)
    (folder / "metrics").mkdir()
    (folder / "metrics" / "train_vae.json").write_text(json.dumps({"seconds": 200.0, "loss": 0.01}))
    timing = {"method": "jscgc", "steps": 10, "height": 64, "width": 96, "encode_ms_median": 3, "decode_ms_median": 80}
    (folder / "timing.json").write_text(json.dumps([timing]))
    return folder
