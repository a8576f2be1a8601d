"""The training loop.

Everything random is keyed by the step (see seeding.py), so a resumed run computes bit for bit what an uninterrupted one
would have (on the same CPU with the same number of threads).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from jscgc import printing
from jscgc.config import TrainParams
from jscgc.files import write_json
from jscgc.precision import Precision, computing
from jscgc.training import checkpoint
from jscgc.training.parallel import Group, LossFunction, Spread, Strategy, whole

Inputs = Callable[[int], Sequence[str]]
"""Number of a draw -> what of the training data it took."""
DIVERGED = "diverged.json"
STOP = threading.Event()
"""Set it, as from a signal's handler, and this process's training writes a checkpoint after its step and raises `Stopped`."""
SAY_EVERY_S = 30.0
"""Between two lines on how far several workers are."""
log_ = logging.getLogger(__name__)


class MetricLog(Protocol):
    """Takes the averages of the steps since the last call."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None: ...


class Stopped(KeyboardInterrupt):
    """Training was asked to stop (`STOP`); the checkpoint from which it goes on is there."""


class TrainingDiverged(RuntimeError):
    """The loss, a weight's gradient or a weight is not finite; the last checkpoint is from before."""


def learning_rate(step: int, params: TrainParams) -> float:
    """Linear warm-up, then a cosine down to zero after the last step."""
    warmup = min(params.warmup_steps, params.steps // 10)
    if step < warmup:
        return params.learning_rate * (step + 1) / (warmup + 1)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, params.steps - warmup)))


def train(
    model: nn.Module,
    loss_function: LossFunction,
    params: TrainParams,
    folder: Path,
    log: MetricLog,
    name: str,
    scales: Mapping[str, float] | None = None,
    precision: Precision = "float32",
    until: int | None = None,
    inputs: Inputs = lambda draw: (),
    strategy: Strategy = "ddp",
) -> None:
    """Train `model` in place; at the end it holds the averaged weights (if params.ema_decay is not 0).

    In a process group (torch.distributed) all processes must call it, with the same arguments but for `log`. The first one
    writes checkpoints, which all must see.

    Args:
        model: parameters with requires_grad are trained.
        loss_function: the loss of a draw; a step takes params.parts of them.
        params: steps, learning rate and so on.
        folder: this run's checkpoints; if it holds some, training goes on from there.
        log: receives the averaged scalars every params.log_every steps.
        name: shown beside the progress bar.
        scales: beginning of a parameter's name -> factor of its learning rate; 1 for all others.
        precision: of the loss's matrix products and convolutions (`computing`); a resumed run must have the same.
        until: stop after so many of params.steps, at a checkpoint from which a later call goes on; None: train to the end.
        inputs: names what a draw was computed from, for the report if the loss is not finite.
        strategy: of several processes; fsdp shares out the weights too and leaves `model` with shards: restore the last
            checkpoint into a whole one.

    Raises:
        TrainingDiverged: loss or gradient is not finite; DIVERGED in the folder has step and inputs.
        Stopped: `STOP` was set, and one process trains alone.
        OSError: a checkpoint cannot be written; those before are as they were.
        ValueError: another process holds the folder, or the processes cannot share the parts evenly.
    """
    group = Group.current()
    with checkpoint.locked(folder) if group.rank == 0 else nullcontext():
        device = next(model.parameters()).device.type

        def loss(draw: int) -> Mapping[str, Tensor]:
            with computing(precision, device):
                return loss_function(draw)

        spread = Spread(group, model, loss, params.parts, strategy)
        end = params.steps if until is None else until
        _train(model, spread, group, params, folder, log, name, scales or {}, end, inputs)


def _train(
    model: nn.Module,
    spread: Spread,
    group: Group,
    params: TrainParams,
    folder: Path,
    log: MetricLog,
    name: str,
    scales: Mapping[str, float],
    end: int,
    inputs: Inputs,
) -> None:
    weights = checkpoint.trained(model)
    by_scale: dict[float, list[nn.Parameter]] = {}
    for key, parameter in weights.items():
        factors = [factor for start, factor in scales.items() if key.startswith(start)]
        by_scale.setdefault(factors[0] if factors else 1.0, []).append(parameter)
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "scale": scale} for scale, parameters in by_scale.items()],
        lr=params.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=params.weight_decay,
        fused=True,  # one call for all weights, where the default takes six a weight
    )
    ema = {key: p.detach().clone() for key, p in weights.items()} if params.ema_decay else {}
    start = checkpoint.restore(folder, model, ema, optimiser)
    group.agree(start)
    if start and group.rank == 0:
        logging.getLogger(__name__).info("%s goes on from step %d", name, start)
    model.train()
    sums: dict[str, float] = {}
    since, clock, quiet_until = 0, time.perf_counter(), 0.0
    alone = group.workers == 1  # the bars of many would write over each other
    with printing.bar(hidden=not alone) as progress:
        bar = progress.add_task(name, total=params.steps, completed=start)
        for step in range(start, min(end, params.steps)):
            optimiser.zero_grad(set_to_none=True)
            scalars = spread(step)
            norm = whole(nn.utils.clip_grad_norm_(weights.values(), params.gradient_clip))
            if not (torch.isfinite(scalars["loss"]) and torch.isfinite(norm)):
                raise _diverged(name, step, scalars["loss"].item(), norm.item(), params.parts, folder, inputs)
            for settings in optimiser.param_groups:
                settings["lr"] = settings["scale"] * learning_rate(step, params)
            optimiser.step()
            if ema:
                # Early on the average follows fast: nobody wants the random start in it.
                decay = min(params.ema_decay, (1 + step) / (10 + step))
                torch._foreach_lerp_(list(ema.values()), [p.detach() for p in weights.values()], 1 - decay)
            # One transfer from the device, not one for each.
            for key, value in zip(scalars, torch.stack(list(scalars.values())).tolist(), strict=True):
                sums[key] = sums.get(key, 0.0) + value
            since += 1
            done = step + 1
            if done % params.log_every == 0 or done == params.steps:
                rate = since / (time.perf_counter() - clock)
                means = group.mean({k: v / since for k, v in sums.items()})
                log(done, means | {"steps_per_second": rate})
                if not alone and group.rank == 0 and (time.perf_counter() > quiet_until or done == params.steps):
                    quiet_until = time.perf_counter() + SAY_EVERY_S
                    log_.info("%s: step %d of %d, loss %.4f", name, done, params.steps, means["loss"])
                progress.update(bar, description=f"{name} loss {sums['loss'] / since:.4f}")
                sums, since, clock = {}, 0, time.perf_counter()
            stop = alone and STOP.is_set() and done < min(end, params.steps)
            if stop or done % params.checkpoint_every == 0 or done in (end, params.steps):
                checkpoint.save(folder, done, model, ema, optimiser, group.rank == 0)
            if stop:
                raise Stopped(f"{name}: stopped after step {done}")
            progress.update(bar, completed=done)
    with torch.no_grad():
        for key, value in ema.items():
            weights[key].copy_(value)
    model.eval()


def _diverged(
    name: str, step: int, loss: float, norm: float, parts: int, folder: Path, inputs: Inputs
) -> TrainingDiverged:
    """What to raise; writes what is known of the step."""
    taken = {draw: list(inputs(draw)) for draw in range(step * parts, (step + 1) * parts)}
    report = {"step": step, "loss": str(loss), "gradient_norm": str(norm), "inputs": taken}
    write_json(folder / DIVERGED, report)
    good = sorted(path.name for path in folder.glob("step-*.safetensors"))
    kept = f"the last good checkpoint is {folder / good[-1]}" if good else "there is no checkpoint yet"
    return TrainingDiverged(
        f"{name}: loss {loss} with gradient norm {norm} at step {step}; {kept}, the step's inputs are listed in "
        f"{folder / DIVERGED}; lower the learning rate"
    )
