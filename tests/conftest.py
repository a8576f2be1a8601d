"""Shared by all tests: no network, repeatable property tests, and one tiny configuration with tiny trained-looking models."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from browser import browser  # noqa: F401  (a fixture)
from hypothesis import settings
from nodes import nodes  # noqa: F401  (a fixture)
from safetensors.torch import save_file
from torch import nn

from jscgc import precision
from jscgc.files import sha256, write_json
from jscgc.latent.autoencoder import LatentStatistics, save_vae
from jscgc.latent.nano_vae import NanoVae
from jscgc.latent.pixels import PIXELS
from jscgc.method import network
from jscgc.params import Params
from jscgc.startup import collect_seldom
from jscgc.systems import store
from jscgc.systems.store import Architecture

collect_seldom()  # as in every process of ours

# Not in the user's cache folder: what is measured of codecs' files is measured here.
FILES = tempfile.TemporaryDirectory(prefix="jscgc-files-")
os.environ["JSCGC_FILES"] = FILES.name

# In a script's background Ctrl-C is ignored, below nohup SIGHUP, and so they would be in all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("repeatable")

# Half a minute to minutes each: started first, lest one worker ends with them while the other has nothing left to do.
LONG = [
    "test_pipeline", "test_paper_small", "test_plugin", "test_ablations", "test_cluster_train", "test_evaluation_nodes",
    "test_faults_hostile",
    "test_ldpc", "test_bench_published", "test_faults_exposure", "test_sweep_driver", "test_faults_disk", "test_demo_server",
    "test_install", "test_training_parallel", "test_metrics_deep", "test_metrics_text", "test_baseline", "test_cluster_head",
    "test_sweep_nodes", "test_experiments", "test_served", "test_tracking", "test_registry",
]  # fmt: skip

TRAIN = {"steps": 6, "batch_size": 3, "learning_rate": 0.003, "checkpoint_every": 2, "log_every": 1, "ema_decay": 0.5}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first (xdist keeps this order with --no-loadscope-reorder), and marked, so that `make quick` leaves them out."""
    for item in items:
        if item.path.stem in LONG:
            item.add_marker("long")
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def params() -> Params:
    """Every part of the system, as small as it goes: rates 2 and 4, latents of 4 channels at 1/8."""
    return Params.model_validate(
        {
            "profile": "test",
            "seed": 3,
            "device": "cpu",
            "precision": "float32",
            "data": {"source": "builtin"},
            "vae": {
                "source": "nano",
                "channels": 4,
                "width": 8,
                "depth": 1,
                "kl_weight": 1e-3,
                "crop": 32,
                "train": TRAIN,
            },
            "latents": {"crops": 8, "crop": 64, "min_scale": 0.5},
            "objective": {"time_law": "uniform"},
            "generator": {"backbone": "unet", "widths": [32, 32], "depth": 1, "train": TRAIN},
            "encoder": {"widths": [8, 16], "depths": [1, 1], "downsample": [1, 2], "state": 4, "head": 4},
            "link": {"channels": ["awgn", "rayleigh_block", "rayleigh_fast"], "snr_db": [0, 15], "rates": [2, 4]},
            "codec": TRAIN,
            "jscgc": {
                "adapter": {"width": 32, "refiner_depth": 1},
                "tuning": "frozen",
                "encoder_init": "mambajscc_psnr",
                "condition_dropout": 0.2,
                "perception_weight": 0.25,
                "train": TRAIN,
            },
            "few_step": {"steps": 3, "substeps": 2, "guidance": 1.5, "train": TRAIN},
            "sample": {"steps": 2, "guidance": 1.5},
            "baselines": {
                "deepjscc": {"width": 8, "crop": 32, "train": TRAIN},
                "swinjscc": {
                    "widths": [8, 8, 8, 16],
                    "depths": [1, 1, 1, 2],
                    "heads": [1, 1, 2, 2],
                    "window": 2,
                    "crop": 32,
                    "train": TRAIN,
                },
                "mambajscc_psnr_pixels": {
                    "encoder": {
                        "widths": [8, 8, 8, 16],
                        "depths": [1, 1, 1, 1],
                        "downsample": [2, 2, 2, 2],
                        "state": 4,
                        "head": 4,
                    },
                    "crop": 32,
                    "train": TRAIN,
                },
                "mambajscc_feature": {"distortion": 1.0, "crop": 64, "train": TRAIN},
                "mambajscc_feature_pixels": {"distortion": 1.0, "crop": 64, "train": TRAIN},
                "mambajscc_gan": {"distortion": 1.0, "crop": 64, "width": 8, "train": TRAIN},
                "jscgc_one_step": {},
                "klt": {"crops": 20, "crop": 32},
                "diffjscc": {},
                "diffcom": {"steps": 2, "start": 0.5, "likelihood": 1.0, "reconstruction": 1.0},
            },
            "evaluate": {
                "methods": ["jscgc"],
                "channels": ["awgn"],
                "snr_db": [0],
                "rates": [2],
                "seeds": 1,
                "patch": 64,
            },
        }
    )


@pytest.fixture(autouse=True)
def processor_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """`precision: auto` is float32 here, on any processor: golden values and what is compared are of one precision."""
    monkeypatch.setattr(precision, "_gains", lambda: {"convolution": 1.0})


Module = TypeVar("Module", bound=nn.Module)


def fill(net: Module) -> Module:
    """Give layers that start at zero (residual heads, output layers) small random weights, so that they act."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=rng))
    return net


@pytest.fixture(scope="session")
def filled() -> Callable[[Module], Module]:
    """The function above, for tests that build their own networks."""
    return fill


@pytest.fixture(scope="session")
def models(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the stages leave it: vae and all systems, their weights random (no layer left at zero)."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    save_vae(folder / "vae", params.vae, fill(NanoVae(4, params.vae.width, params.vae.depth)))
    statistics = LatentStatistics([0.1, -0.1, 0.0, 0.2], [1.0, 0.5, 2.0, 1.5], 8, sha256(folder / "vae"))
    for kind in params.trained:
        architecture = Architecture.of(kind, params)
        latents = PIXELS if network(kind).pixels else statistics
        store.save(folder / kind, architecture, latents, fill(store.build(architecture, latents)))
    return folder


@pytest.fixture(scope="session")
def latent_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of latents as extract_latents writes it, of noise."""
    folder = tmp_path_factory.mktemp("latents")
    values = torch.randn(12, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    save_file({"latents": values.half()}, folder / "latents.safetensors")
    write_json(
        folder / "statistics.json", {"mean": [0.0] * 4, "std": [1.0] * 4, "factor": 8, "vae_sha256": "of no VAE"}
    )
    return folder
