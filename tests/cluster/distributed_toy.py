"""A training for workers, in a module of its own so that they can import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from jscgc.config import TrainParams
from jscgc.training.loop import train
from jscgc.training.parallel import Group, Strategy


def network(seed: int = 0) -> nn.Module:
    """Two blocks, each large enough to be a shard's own, and a frozen layer."""
    torch.manual_seed(seed)
    blocks = nn.ModuleList(
        nn.Sequential(nn.Linear(8, 256), nn.SiLU(), nn.Linear(256, 512), nn.Linear(512, 8)) for _ in range(2)
    )
    net = nn.ModuleDict({"blocks": blocks, "frozen": nn.Linear(8, 8), "head": nn.Linear(8, 8), "rare": nn.Linear(8, 8)})
    net["frozen"].requires_grad_(False)
    return net


def loss_of(net: nn.Module, batch: int) -> Callable[[int], dict[str, Tensor]]:
    """A draw's loss; every third leaves a layer out, as a dropped condition does."""

    def loss(draw: int) -> dict[str, Tensor]:
        x = torch.randn(batch, 8, generator=torch.Generator().manual_seed(draw))
        y = net["frozen"](x)
        for block in net["blocks"]:
            y = y + block(y)
        y = net["head"](y) if draw % 3 == 0 else net["head"](y) + net["rare"](y)
        value = (y - x.flip(1)).square().mean()
        return {"loss": value, "draw": torch.tensor(float(draw))}

    return loss


def recipe(params: TrainParams, strategy: Strategy, fault: str, folder: Path, log: Callable[..., None]) -> nn.Module:
    """fault: `kill` ends a worker after some steps, once; `wrong` is an error that a user can mend; `bug` is another."""
    net = network()
    loss = loss_of(net, params.batch_size)
    group = Group.current()

    def faulty(draw: int) -> dict[str, Tensor]:
        if group.workers > 1 and group.rank == 1 and draw // params.parts == 5:
            if fault == "kill" and not (folder / "killed").exists():
                (folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "wrong":
                raise ValueError("photo.png: it is not there")
            if fault == "bug":
                raise KeyError("x")
        found = loss(draw)
        return found | {"loss": found["loss"] * torch.nan} if fault == "nan" and draw // params.parts == 5 else found

    train(net, faulty, params, folder, log, "toy", inputs=lambda draw: [f"image {draw}"], strategy=strategy)
    return net
