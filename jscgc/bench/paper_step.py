"""`jscgc bench paper-step`: the paper's training and sampling at full size, for a GPU that is lent for some minutes.

The networks have the released sizes and random weights, made where they are used: nothing is downloaded. All else is the code of
training and reception: `training.loop` with its checkpoints, JSCGC's own loss through encoder, channel and generator, the solver.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from jscgc.config import TrainParams
from jscgc.costs import Sketch, sketch, statistics_of
from jscgc.generator.lora import set_trained
from jscgc.latent.autoencoder import LatentSpace
from jscgc.params import Params
from jscgc.precision import Precision
from jscgc.seeding import stream
from jscgc.systems.base import Link
from jscgc.systems.latent import LatentSystem
from jscgc.systems.params import joint_link
from jscgc.systems.transmit import transmit
from jscgc.training.loop import train
from jscgc.training.photos import place

NAME = "paper-step"
SNR_DB = 5.0


def smaller(params: Params, layers: int, width: int) -> Params:
    """The same procedure in small: a generator from scratch of so many layers of a width, a nano VAE, a small encoder."""
    content = params.model_dump(mode="json")
    generator = content["generator"] | {"source": "scratch", "widths": [width], "depth": layers}
    content["generator"] = generator | {
        "pretrained_path": "",
        "caption_path": "",
        "dtype": "float32",
        "scheduler_shift": None,
    }
    content["vae"] |= {"source": "nano", "channels": 16, "width": 16, "depth": 1, "dtype": "float32"}
    content["encoder"] |= {"widths": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "state": 4, "head": 16}
    content["jscgc"]["adapter"] |= {"width": width, "stages": min(layers, 2), "layers": []}
    content["latents"] |= {"crop": 64}
    for name in ("objective", "sample"):
        content[name] |= {"time_shift": 1.0}
    content["distributed"] |= {"workers": 1}
    return Params.model_validate(content)


def bench_paper_step(
    params: Params,
    photo: Tensor,
    folder: Path,
    *,
    batch: int,
    steps: int,
    sample_steps: int,
    device: str,
    precision: Precision,
) -> Iterator[dict[str, Any]]:
    """Rows of what, seconds, peak_gb (of a GPU: the most that was allocated in that part; of a CPU: by the process so far), note.

    Args:
        photo: float [3,H,W] in [0,1], which is received at the end.
        folder: empty; for checkpoints, of which up to three lie there at once.
        batch: images of a step. steps: at least 2; the last one is computed again, from the checkpoint before it.
        sample_steps: of the solver.
    """
    # Neither seconds nor memory depend on a shift: no scheduler is looked for.
    unshifted = {name: params.at(name).model_copy(update={"time_shift": 1.0}) for name in params.scheduled}
    params = params.model_copy(update=unshifted)
    torch.manual_seed(params.seed)
    start = _begin(device)
    drawn = sketch(params)
    for module in (drawn.net, drawn.vae):
        _fill(module, device, params.seed)
    net: Any = drawn.net
    place(net, torch.device(device))
    set_trained(net.receiver.prior, params.jscgc.generator_learns)
    net.encoder.requires_grad_(params.jscgc.encoder_learns)
    sizes = {True: 0, False: 0}
    for parameter in net.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    note = f"{sizes[True] / 1e6:.1f} M trained, {sizes[False] / 1e6:.1f} M frozen ({_types(net)})"
    yield _row("networks made", start, device, note)

    settings = params.jscgc.train.model_copy(
        update={"steps": steps, "batch_size": batch, "parts": 1, "checkpoint_every": steps - 1, "log_every": 1}
    )
    rates: list[float] = []
    start = _begin(device)
    _train(drawn, params, settings, folder, precision, device, rates)
    yield _row(f"{steps} steps of {batch} images, and two checkpoints", start, device, _per_step(rates))

    last = folder / f"step-{steps:08d}.safetensors"
    yield {"what": "a checkpoint", "seconds": None, "peak_gb": None, "note": f"{last.stat().st_size / 1e9:.3f} GB"}
    uninterrupted = last.rename(folder / "uninterrupted")
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.zero_()  # whatever the resumed run has, it has from the file
    start = _begin(device)
    _train(drawn, params, settings, folder, precision, device, rates)
    yield _row(f"resumed after step {steps - 1}, and the last step again", start, device, _same(uninterrupted, last))
    uninterrupted.unlink()

    net.eval()
    system = LatentSystem(
        NAME,
        LatentSpace(drawn.vae.eval(), statistics_of(drawn.vae)).to(device),
        net,
        tuple(params.link.rates),
        precision,
    )
    sampling = params.sample.model_copy(update={"steps": sample_steps})
    link = Link("awgn", SNR_DB, min(params.link.rates, key=lambda rate: abs(rate - 2)))
    start = _begin(device)
    received = transmit(system, photo.to(device), link, sample=sampling, seed=params.seed)
    if not torch.isfinite(received.photo).all():
        raise RuntimeError("the received photograph has values that are not finite")
    height, width = photo.shape[-2:]
    note = f"{width}x{height} pixels, {received.nfe} evaluations, {link.rate}/768"
    yield _row(f"a photograph received in {sample_steps} steps", start, device, note)


def _train(
    drawn: Sketch,
    params: Params,
    settings: TrainParams,
    folder: Path,
    precision: Precision,
    device: str,
    rates: list[float],
) -> None:
    net, channels = drawn.net, drawn.vae.channels
    side = params.latents.crop // drawn.vae.factor

    def loss(draw: int) -> Mapping[str, Tensor]:
        rng = stream(params.seed, NAME, draw)
        latents = torch.randn(settings.batch_size, channels, side, side, generator=rng).to(device)
        return net.loss(latents, joint_link(params), params.jscgc, params.objective, rng)

    def log(step: int, metrics: Mapping[str, float]) -> None:
        rates.append(metrics["steps_per_second"])

    train(net, loss, settings, folder, log, NAME, precision=precision)


def _fill(module: nn.Module, device: str, seed: int) -> None:
    """Give what is on the meta device memory, and random weights of about the size of trained ones in its own type."""
    module.to_empty(device=device)
    rng = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim > 1:
                weight.normal_(generator=rng).mul_(weight[0].numel() ** -0.5)
            else:
                weight.fill_(1.0 if name.endswith("weight") else 0.0)
        for buffer in module.buffers():
            buffer.zero_()


def _types(net: nn.Module) -> str:
    kinds = {str(p.dtype).removeprefix("torch.") for p in net.parameters() if not p.requires_grad}
    return ", ".join(sorted(kinds)) or "none"


def _per_step(rates: list[float]) -> str:
    """The first step chooses kernels: it is told apart where there are more."""
    each = [1 / rate for rate in rates]
    if len(each) == 1:
        return f"{each[0]:.3f} s a step, the first"
    return f"{sum(each[1:]) / len(each[1:]):.3f} s a step, the first {each[0]:.3f} s"


def _same(one: Path, other: Path) -> str:
    """How far two checkpoints differ."""
    worst = 0.0
    with safe_open(one, framework="pt") as first, safe_open(other, framework="pt") as second:
        names = list(first.keys())
        if names != list(second.keys()):
            raise RuntimeError(f"{other}: a resumed run's checkpoint has other weights")
        for name in names:
            a, b = first.get_tensor(name), second.get_tensor(name)
            if not torch.equal(a, b):
                scale = float(a.double().abs().max()) or 1.0
                worst = max(worst, float((a.double() - b.double()).abs().max()) / scale)
    return "bitwise equal" if worst == 0 else f"largest relative difference {worst:.2e}"


def _begin(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    return time.perf_counter()


def _row(what: str, start: float, device: str, note: str) -> dict[str, Any]:
    if device == "cuda":
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"what": what, "seconds": time.perf_counter() - start, "peak_gb": peak / 1e9, "note": note}
