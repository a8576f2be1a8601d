"""What training costs: operations of a step, memory of each GPU, hours of each phase; before anything is trained or downloaded.

A step is really taken, on the meta device: forward through encoder, receiver and loss, and backward, with the recomputation that
gradient checkpointing asks for. Its operations are counted as they are called, and what it keeps for the gradient is added up by
the shapes. All else follows by the rules that stand here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from jscgc.channel.accounting import GRID
from jscgc.channel.receiver import Received
from jscgc.config import TrainParams
from jscgc.costs import Sketch, statistics_of
from jscgc.generator.lora import set_trained
from jscgc.latent.autoencoder import Autoencoder
from jscgc.latent.pixels import PixelVae
from jscgc.method import PARTS, network
from jscgc.params import Params
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.mambajscc import Codec
from jscgc.systems.receiver import Prior
from jscgc.systems.store import Architecture, build

TFLOPS = 989.0
"""Of an H100 (SXM) in bfloat16, dense, by its data sheet."""
UTILISATION = 0.4
"""Share of that which large transformers reach in training: assumed, not measured."""
FLOAT = 4
"""Bytes of what is trained, its gradients and moments: float32."""


@dataclass(frozen=True)
class Phase:
    """So many trainings, each of `steps` of `images` (all parts together) by the step of `network`, `batch` at once on a GPU."""

    name: str
    network: str
    steps: int
    images: int
    batch: int
    trainings: int = 1


@dataclass(frozen=True)
class Step:
    """Of one image. forward_gflops, gflops: with backward pass and recomputation. kept_mb: for the gradient, outside of what is
    recomputed. inputs_mb: of the layers that are recomputed. layer_mb: of one such layer while it is at work."""

    forward_gflops: float
    gflops: float
    kept_mb: float
    inputs_mb: float
    layer_mb: float


def budget(params: Params, drawn: Sketch, tflops: float = TFLOPS, utilisation: float = UTILISATION) -> dict[str, Any]:
    """What training costs.

    Args:
        tflops: of a GPU at its best, TFLOP/s. utilisation: share of it that is reached.

    Returns:
        step: of JSCGC, for an image of the training's size. memory: rows of what and gb, of each GPU. phases: rows of a Phase
        with pflop (of all its steps), gpu_hours and hours (of all workers together), None where a step is not counted.
    """
    step = step_of(params, drawn)
    per_image = {"jscgc": step.gflops, "diffjscc": step.gflops}  # DiffJSCC's: the same receiver on a frozen codec
    rows: list[dict[str, Any]] = []
    for phase in phases(params):
        if phase.network not in per_image:
            per_image[phase.network] = _other_step(phase.network, params, drawn.vae) or 0.0
        pflop = per_image[phase.network] * phase.images * phase.steps * phase.trainings / 1e6
        hours = pflop * 1e15 / (tflops * 1e12 * utilisation) / 3600
        known = bool(pflop)
        rows.append(
            asdict(phase)
            | {
                "pflop": pflop if known else None,
                "gpu_hours": hours if known else None,
                "hours": hours / params.distributed.workers if known else None,
            }
        )
    return {
        "workers": params.distributed.workers,
        "strategy": params.distributed.strategy if params.distributed.workers > 1 else "one GPU",
        "tflops": tflops,
        "utilisation": utilisation,
        "step": asdict(step),
        "memory": memory(params, drawn.net, step),
        "phases": rows,
        "gpu_hours": sum(row["gpu_hours"] or 0.0 for row in rows),
        "hours": sum(row["hours"] or 0.0 for row in rows),
    }


def phases(params: Params) -> list[Phase]:
    """What these parameters train, in turn; what is passed through as it is not."""
    found: list[tuple[str, str, TrainParams]] = []
    shipped = params.init in ("shipped", "finetune")
    if params.vae.source == "nano" and not shipped:
        found.append(("vae", "vae", params.vae.train))
    for name, declared in params.trained.items():
        passed = name in PARTS and (shipped or params.generator.source == "pretrained")
        if (training := declared.training(params)) and not passed:
            found.append((name, name, training))
    single = [_phase(name, of, training) for name, of, training in found]
    links = len(params.finetune.links)
    methods = params.finetune.methods if links else []
    return [*single, *(_phase(f"{name}, fine-tuned", name, params.finetune.train, links) for name in methods)]


def _phase(name: str, of: str, training: TrainParams, trainings: int = 1) -> Phase:
    images = training.batch_size * training.parts
    return Phase(name, of, training.steps, images, training.batch_size, trainings)


def step_of(params: Params, drawn: Sketch) -> Step:
    """Of JSCGC's training, for one image of `latents.crop` pixels."""
    net, side = drawn.net, params.latents.crop
    set_trained(net.receiver.prior, params.jscgc.generator_learns)
    net.encoder.requires_grad_(params.jscgc.encoder_learns)
    net.train()
    latents = _latents(drawn.vae, side)
    rate = max(params.link.rates)

    def loss() -> Tensor:
        one = torch.ones(1, device="meta")
        symbols = net.encoder(latents, one, rate)
        received = Received(symbols, symbols.real, one)
        rng = torch.Generator().manual_seed(0)
        condition = net.condition(received)
        return net.receiver.loss(latents, condition, received, params.jscgc, params.objective, rng)["loss"]

    forward, whole, kept = _taken(loss, net)
    backbone = net.receiver.prior.backbone
    inputs = layer = 0.0
    if params.generator.gradient_checkpointing:
        layers = backbone.points[:-1]
        size = next(backbone.net.parameters()).element_size()
        positions = [(point.channels, max(1, latents.shape[-1] // point.scale) ** 2) for point in layers]
        inputs = sum(channels * count * size for channels, count in positions)
        backbone.net.disable_gradient_checkpointing()
        layer = (_kept(loss, net)[0] - kept) / len(layers)
        backbone.net.enable_gradient_checkpointing()
    return Step(forward / 1e9, whole / 1e9, kept / 1e6, inputs / 1e6, layer / 1e6)


def memory(params: Params, net: JscgcNet, step: Step) -> list[dict[str, Any]]:
    """Rows of what and gb, on each GPU that trains JSCGC; the last is their sum.

    ddp: every GPU has all weights, gradients, moments and averages, and the buckets by which gradients are summed. fsdp: each has
    its share of all of these, of the frozen weights too, and in full one block's weights (and the next one's, fetched ahead) and
    gradients. Activations are those of a batch: its parts come one after another. They are counted as float32 where weights are
    float32: under autocast 0.7 to 1.05 of that was measured, with the cast weights. Not counted: the VAE (latents are cached),
    CUDA's own gigabyte, and what the allocator leaves unused.
    """
    workers, batch = params.distributed.workers, params.jscgc.train.batch_size
    shared = workers > 1 and params.distributed.strategy == "fsdp"
    learning = {id(p): p.numel() for p in net.parameters() if p.requires_grad}
    weights = [(p.numel() * p.element_size(), id(p) in learning) for p in net.parameters()]
    trained = sum(learning.values())
    share = workers if shared else 1
    rows = [
        ("frozen weights", sum(size for size, learns in weights if not learns) / share),
        ("trained weights", sum(size for size, learns in weights if learns) / share),
        ("gradients", FLOAT * trained / share),
        ("AdamW's two moments", 2 * FLOAT * trained / share),
        ("averaged weights", FLOAT * trained / share if params.jscgc.train.ema_decay else 0.0),
    ]
    if workers > 1 and not shared:
        rows.append(("buckets of gradients", FLOAT * trained))
    if shared:
        rows.append(("blocks gathered", _largest_block(net)))
    rows += [
        (f"inputs of recomputed layers, {batch} images", 1e6 * batch * step.inputs_mb),
        (f"one of these layers at work, {batch} images", 1e6 * batch * step.layer_mb),
        (f"other activations, {batch} images", 1e6 * batch * step.kept_mb),
    ]
    rows = [(what, size) for what, size in rows if size]
    return [{"what": what, "gb": size / 1e9} for what, size in [*rows, ("all", sum(size for _, size in rows))]]


def _largest_block(net: JscgcNet) -> float:
    """Bytes: of the two largest members of lists of modules, with the gradients of one."""
    sizes = sorted(
        (
            sum(p.numel() * p.element_size() for p in member.parameters()),
            sum(FLOAT * p.numel() for p in member.parameters() if p.requires_grad),
        )
        for module in net.modules()
        if isinstance(module, torch.nn.ModuleList)
        for member in module
    )
    return float(sum(size for size, _ in sizes[-2:]) + max((gradient for _, gradient in sizes), default=0))


def _other_step(name: str, params: Params, vae: Autoencoder) -> float | None:
    """GFLOPs of an image's training step of another network; None: of its kind it is not known."""
    if name == "vae":
        return None
    declared = network(name)
    with torch.device("meta"):
        space: Autoencoder = PixelVae() if declared.pixels else vae
        net = build(Architecture.of(name, params), statistics_of(space))
    net.train()
    own = params.baselines.get(name)
    side = getattr(own, "crop", None) or params.latents.crop
    latents = _latents(space, side)
    if isinstance(net, Prior):
        return _taken(lambda: net.loss(latents, params.objective, torch.Generator())["loss"], net)[1] / 1e9
    if not isinstance(net, Codec):
        return None
    one, rate = torch.ones(1, device="meta"), net.encoder.max_rate

    def loss() -> Tensor:
        symbols = net.symbols(latents, one, rate)
        arrived = net.reconstruct(Received(symbols, symbols.real, one))
        # One that is trained for a distance sees pictures; the distance's own network is not counted.
        return space.decode(arrived).square().mean() if declared.metrics else arrived.square().mean()

    return _taken(loss, net)[1] / 1e9


def _latents(space: Autoencoder, side: int) -> Tensor:
    multiple = max(GRID, space.factor)
    side = -(-side // multiple) * multiple
    return torch.zeros(1, space.channels, side // space.factor, side // space.factor, device="meta")


def _taken(loss: Callable[[], Tensor], net: torch.nn.Module) -> tuple[int, int, int]:
    """Operations of the forward pass and of the whole step, and the bytes that are kept between."""
    with FlopCounterMode(display=False) as counter:
        kept, value = _kept(loss, net)
        forward = int(counter.get_total_flops())
        value.backward()  # type: ignore[no-untyped-call]
        whole = int(counter.get_total_flops())
    net.zero_grad(set_to_none=True)
    return forward, whole, kept


def _kept(loss: Callable[[], Tensor], net: torch.nn.Module) -> tuple[int, Tensor]:
    """Bytes that a loss keeps for the gradient beside the weights, and the loss."""
    weights = {p.untyped_storage()._cdata for p in (*net.parameters(), *net.buffers())}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = loss()
    return sum(sizes.values()), value
