"""From a stage's inputs to its result on disk: what DVC's stages, sweeps and ablations have in common."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc import stages
from jscgc.latent.autoencoder import LatentStatistics, save_vae
from jscgc.latent.pixels import PIXELS
from jscgc.method import Folders, network, parted, trainable
from jscgc.systems import store
from jscgc.training.latents import extract_latents, read_statistics
from jscgc.training.vae import train_vae

if TYPE_CHECKING:
    from jscgc.params import Params
    from jscgc.training.loop import MetricLog


def train(result: str, params: Params, inputs: Folders, folder: Path, log: MetricLog, until: int | None = None) -> Any:
    """The trained network (of a VAE that is pretrained None), in evaluation mode; arguments as of `Network.recipe`."""
    if result == "vae":
        return train_vae(params, inputs["photos"], folder, log) if params.vae.source == "nano" else None
    method, link = parted(result)
    return network(method).recipe(params.finetuning(result) if link else params, inputs, folder, log, until)


def train_on(params: Params, result: str, inputs: Folders, folder: Path, log: MetricLog) -> Any:
    """`train` with its arguments as `cluster.train` gives them."""
    return train(result, params, inputs, folder, log)


def save(result: str, params: Params, inputs: Folders, net: Any, out: Path) -> None:
    """Write what `train` returned, whole or not at all."""
    if result == "vae":
        save_vae(out, params.vae, net)
        return
    method, link = parted(result)
    record = network(method).record(params)
    trained = stages.stage(result).values(params) if record is None else record
    architecture = store.Architecture.of(method, params)
    if link:
        architecture = architecture.finetuned(params.finetune.links[link])
    store.save(out, architecture, _latents(method, inputs), net, trained=trained)


def make(
    result: str, params: Params, inputs: Folders, folder: Path, log: MetricLog, out: Path, until: int | None = None
) -> None:
    """Make a result in `out`; it appears there whole or not at all."""
    if result == "latents":
        extract_latents(params, inputs["photos"], inputs["vae"], out, folder / result)
        shutil.rmtree(folder / result, ignore_errors=True)
    else:
        save(result, params, inputs, train(result, params, inputs, folder, log, until), out)


def _latents(result: str, inputs: Folders) -> LatentStatistics:
    """Those of the latents that the result works on: of the cache, or of the network that it was made from."""
    if network(result).pixels:
        return PIXELS
    if "latents" in inputs:
        return read_statistics(inputs["latents"])
    return store.describe(next(path for name, path in inputs.items() if name in trainable())).latents
