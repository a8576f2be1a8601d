"""A step's loss and gradient, however many processes share its parts.

A step averages `parts` batches, each drawn by its own number alone: worker r of W computes parts r*P/W .. (r+1)*P/W - 1 of P.
One process that computes them all has the same loss and gradient up to the order of sums, whatever W is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

Strategy = Literal["ddp", "fsdp"]
LossFunction = Callable[[int], Mapping[str, Tensor]]
"""Number of a draw -> named scalars, of which `loss` is minimised. Draws its batch and noise by that number alone; draw
n belongs to step n // parts, so with one part a step its number is the step's."""
WORTH_SHARDING = 100_000
"""Weights from which a block is gathered by itself, when it computes, and given back after that."""


@dataclass(frozen=True)
class Group:
    """This process among those that train together; alone, it is worker 0 of 1."""

    rank: int = 0
    workers: int = 1

    @classmethod
    def current(cls) -> Group:
        """As torch.distributed knows it, if somebody has set it up (`jscgc.cluster.train`)."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def draws(self, step: int, parts: int) -> range:
        """The draws of a step that are this process's.

        Raises:
            ValueError: the workers can't share the parts evenly.
        """
        if parts % self.workers:
            raise ValueError(
                f"{self.workers} workers can't share {parts} parts of a step; set train.parts to a multiple"
            )
        share = parts // self.workers
        first = step * parts + self.rank * share
        return range(first, first + share)

    def order(self, steps: int, parts: int) -> list[int]:
        """All draws of this process, in turn."""
        return [draw for step in range(steps) for draw in self.draws(step, parts)]

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Averages over the workers; all must call it at the same time."""
        if self.workers == 1:
            return dict(values)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        summed = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        dist.all_reduce(summed)
        return dict(zip(values, (summed / self.workers).tolist(), strict=True))

    def agree(self, number: int) -> None:
        """Make sure that all workers have the same number.

        Raises:
            ValueError: they have not.
        """
        mean = self.mean({"number": float(number), "square": float(number) ** 2})
        if mean["number"] != number or mean["square"] != float(number) ** 2:
            raise ValueError(
                f"worker {self.rank} goes on at step {number} and others elsewhere: do all see the same checkpoints?"
            )


class _Objective(nn.Module):
    """The loss as a module's forward pass, which is where DDP and FSDP take hold."""

    def __init__(self, model: nn.Module, loss_function: LossFunction) -> None:
        super().__init__()
        self.model = model
        self._loss_function = loss_function

    def forward(self, draw: int) -> dict[str, Tensor]:
        return dict(self._loss_function(draw))


class Spread:
    """Loss and gradient of a step. `fsdp` replaces the model's parameters by their shards: make it before the optimiser."""

    def __init__(
        self, group: Group, model: nn.Module, loss_function: LossFunction, parts: int, strategy: Strategy
    ) -> None:
        self._group, self._parts = group, parts
        group.draws(0, parts)
        self._objective: nn.Module = _Objective(model, loss_function)
        self._ddp: nn.parallel.DistributedDataParallel | None = None
        if group.workers > 1 and strategy == "ddp":
            # Which parameters a step uses depends on what is drawn (dropped conditions).
            self._objective = self._ddp = nn.parallel.DistributedDataParallel(
                self._objective, forward_sync_buffers=False, find_unused_parameters=True
            )
        elif group.workers > 1:
            _shard(self._objective, model)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Leave the gradient in the parameters; returns the detached scalars, averaged over this process's parts."""
        draws = self._group.draws(step, self._parts)
        sums: dict[str, Tensor] = {}
        for draw in draws:
            with self._together(draw == draws[-1]):
                scalars = self._objective(draw)
                loss = scalars["loss"] if len(draws) == 1 else scalars["loss"] / len(draws)
                loss.backward()
            for key, value in scalars.items():
                value = value.detach().float()
                sums[key] = sums[key] + value if key in sums else value
        return sums if len(draws) == 1 else {key: value / len(draws) for key, value in sums.items()}

    def _together(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged once a step, after the last part."""
        if self._ddp is not None and not last:
            return self._ddp.no_sync()
        if isinstance(self._objective, FSDPModule):
            self._objective.set_requires_gradient_sync(last)
        return nullcontext()


def _shard(objective: nn.Module, model: nn.Module) -> None:
    model.to(memory_format=torch.contiguous_format)  # FSDP shards no others
    for block in _blocks(model):
        fully_shard(block)
    fully_shard(objective).set_reduce_scatter_unused_params(True)  # of this worker: another may have used them


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Members of lists of modules, the outermost that are large enough."""
    for child in module.children():
        members = list(child) if isinstance(child, nn.ModuleList) else []
        for member in members:
            if sum(p.numel() for p in member.parameters()) >= WORTH_SHARDING:
                yield member
        if not members:
            yield from _blocks(child)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which this process may hold a shard; then all processes must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, part: Tensor) -> Tensor:
    """What of a whole tensor this process holds, where and in which memory layout it does of `part`."""
    if isinstance(part, DTensor):
        return distribute_tensor(tensor.to(part.device), part.device_mesh, part.placements)
    # Moments in another layout than their weights have the optimiser walk through memory, after a resume only.
    return torch.empty_like(part, dtype=tensor.dtype).copy_(tensor)
