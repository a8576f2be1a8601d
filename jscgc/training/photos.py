"""What trains on crops of photographs has in common: how they are drawn, placed and told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from jscgc.config import TrainParams
from jscgc.data.crops import CropSampler
from jscgc.data.prepared import training_photos
from jscgc.metrics import Trainable, pair_metric
from jscgc.precision import resolve_precision
from jscgc.seeding import derive
from jscgc.training.ahead import Ahead
from jscgc.training.loop import MetricLog, train
from jscgc.training.parallel import Group, LossFunction

if TYPE_CHECKING:
    from jscgc.params import Params

FEATURE_DISTANCE = "feature_distance_efficientnet_lite0"
Placed = TypeVar("Placed", bound=Tensor | nn.Module)


def seeded(params: Params, name: str) -> None:
    """Initial weights are drawn from torch's global generator; they follow from the root seed and the run's name."""
    torch.manual_seed(derive(params.seed, name, "weights"))


def place(value: Placed, device: torch.device) -> Placed:
    """On the device, convolution-friendly in memory."""
    placed: Placed = value.to(device, memory_format=torch.channels_last)  # type: ignore[assignment, call-overload]
    return placed


def photo_crops(params: Params, photos: Path, crop: int, colour: float | None = None) -> CropSampler:
    """Of the training photographs; colours as of section `latents`, unless told otherwise."""
    colour = params.latents.colour if colour is None else colour
    files, scenes = training_photos(photos)
    return CropSampler(files, crop, params.latents.min_scale, scenes, colour=colour)


def batches(
    crops: CropSampler, train_params: TrainParams, seed: int, name: str, device: torch.device
) -> Callable[[int], Tensor]:
    """Number of a draw -> its crops; a GPU is fed by processes that draw ahead, the CPU has no core to spare for them."""

    def batch(draw: int) -> Tensor:
        return crops.batch(train_params.batch_size, seed, name, draw)

    if device.type == "cpu":
        return batch
    return Ahead(batch, Group.current().order(train_params.steps, train_params.parts))


def train_on_photos(
    net: nn.Module,
    params: Params,
    train_params: TrainParams,
    crops: CropSampler,
    folder: Path,
    log: MetricLog,
    name: str,
    loss: LossFunction,
    scales: Mapping[str, float] | None = None,
    until: int | None = None,
) -> None:
    """Train on batches of crops; arguments as of `loop.train`."""
    train(
        net,
        loss,
        train_params,
        folder,
        log,
        name,
        scales,
        precision=resolve_precision(params.precision, params.device),
        until=until,
        inputs=lambda draw: crops.chosen(train_params.batch_size, params.seed, name, draw),
        strategy=params.distributed.strategy,
    )


def distance(name: str, device: torch.device) -> Trainable:
    """A distance to train for.

    Raises:
        ValueError: its weights are not there.
    """
    metric = pair_metric(name, device.type)
    assert isinstance(metric, Trainable)
    return metric
