"""Checkpoints of a training run: safetensors, the last two kept, never pickle.

They live outside DVC's outputs, in a folder named by a hash of configuration and inputs, so that an interrupted stage
resumes its own run and nothing else's. A lock keeps a second trainer out.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from jscgc.files import atomic, held

log = logging.getLogger(__name__)
KEEP = 2


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the folder's lock; it falls with the process, however it ends.

    Raises:
        ValueError: another process trains in this folder.
    """
    return held(folder / "lock", f"{folder}: process {{holder}} is training here; wait for it or stop it")


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name; frozen ones come from their own files."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save(folder: Path, step: int, model: nn.Module, ema: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Write checkpoint `step` (steps done) and forget all but the newest two."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trained(model).items():
        tensors[f"model/{name}"] = parameter.detach()
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}/{name}"] = value
    tensors |= {f"ema/{name}": value for name, value in ema.items()}
    with atomic(folder / f"step-{step:08d}.safetensors") as temporary:
        # Clones: safetensors refuses tensors that share memory.
        save_file({k: v.cpu().contiguous().clone() for k, v in tensors.items()}, temporary, {"step": str(step)})
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEEP]:
        old.unlink()


def restore(folder: Path, model: nn.Module, ema: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> int:
    """Load the newest whole checkpoint into model, averages and optimiser; returns the steps done, 0 without one."""
    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                step = int(file.metadata()["step"])
        except (SafetensorError, OSError) as error:
            log.warning("checkpoint %s is damaged (%s); falling back to the one before", path, error)
            continue
        with torch.no_grad():
            for name, parameter in trained(model).items():
                parameter.copy_(tensors[f"model/{name}"])
                keys = [k for k in tensors if k.startswith("optimiser.") and k.split("/", 1)[1] == name]
                optimiser.state[parameter] = {
                    k.split("/", 1)[0].removeprefix("optimiser."): tensors[k].to(
                        parameter.device if tensors[k].ndim else "cpu"
                    )
                    for k in keys
                }
            for name in ema:
                ema[name].copy_(tensors[f"ema/{name}"])
        return step
    return 0
