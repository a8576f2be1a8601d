"""Checkpoints of a training run: safetensors, the last two kept, never pickle.

They live outside DVC's outputs, in a folder named by a hash of configuration and inputs, so that an interrupted stage
resumes its own run and nothing else's. A lock keeps a second trainer out.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from jscgc.files import atomic, held, save_tensors
from jscgc.training.parallel import like, whole

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


def save(
    folder: Path, step: int, model: nn.Module, ema: dict[str, Tensor], optimiser: Optimizer, write: bool = True
) -> None:
    """Write checkpoint `step` (steps done) and forget all but the newest two.

    Args:
        write: whether this process is the one that writes; of sharded weights all must call it.

    Raises:
        OSError: no room, or no right to write; what was there is left as it was.
    """
    held: dict[str, Tensor] = {}
    for name, parameter in trained(model).items():
        held[f"model/{name}"] = parameter.detach()
        for key, value in optimiser.state.get(parameter, {}).items():
            held[f"optimiser.{key}/{name}"] = value
    held |= {f"ema/{name}": value for name, value in ema.items()}
    tensors: dict[str, Tensor] = {}
    for key, value in held.items():
        full = whole(value)
        if write:
            tensors[key] = full.cpu().contiguous().clone()  # clones: safetensors refuses tensors that share memory
    if not write:
        return
    with atomic(folder / f"step-{step:08d}.safetensors") as temporary:
        # One entry: safetensors writes several in any order, and equal checkpoints are equal files.
        save_tensors(tensors, temporary, {"written": json.dumps({"step": step, "sha256": _digest(step, tensors)})})
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEEP]:
        old.unlink()


def restore(folder: Path, model: nn.Module, ema: dict[str, Tensor], optimiser: Optimizer) -> int:
    """Load the newest whole checkpoint into model, averages and optimiser; returns the steps done, 0 without one."""
    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        try:
            tensors, step = _read(path)
        except (SafetensorError, OSError, ValueError) as error:
            log.warning("checkpoint %s is damaged (%s); falling back to the one before", path, error)
            continue
        with torch.no_grad():
            for name, parameter in trained(model).items():
                parameter.copy_(like(tensors[f"model/{name}"], parameter))
                keys = [k for k in tensors if k.startswith("optimiser.") and k.split("/", 1)[1] == name]
                optimiser.state[parameter] = {
                    k.split("/", 1)[0].removeprefix("optimiser."): like(tensors[k], parameter)
                    if tensors[k].ndim
                    else tensors[k]
                    for k in keys
                }
            for name in ema:
                ema[name].copy_(like(tensors[f"ema/{name}"], ema[name]))
        return step
    return 0


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        written = json.loads((file.metadata() or {}).get("written", "{}"))
    if written.get("sha256") != _digest(written.get("step"), tensors):
        raise ValueError("its content is not what was written")
    return tensors, int(written["step"])


def _digest(step: int, tensors: dict[str, Tensor]) -> str:
    """Of the step, names, types, shapes and bytes: safetensors itself notices no flipped bit."""
    digest = hashlib.sha256(f"{step}".encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
