"""What each trained part is trained on, from which start, by which loss: one function per training stage.

Each reads its inputs from folders that earlier stages wrote and returns a network in evaluation mode; `folder` holds the
run's checkpoints. Where everything random comes from is in the names given to `stream`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from jscgc.config import Params, TrainParams, complaints
from jscgc.data import CropSampler, scenes, split_files
from jscgc.files import atomic, read_json, save_tensors, sha256, write_json
from jscgc.generator.lora import load_base, set_trained
from jscgc.generator.zimage import empty_prompt, start_from_controlnet
from jscgc.latent.autoencoder import LatentSpace, LatentStatistics, load_vae
from jscgc.latent.nano_vae import NanoVae
from jscgc.latent.pixels import PIXELS, PixelVae
from jscgc.latent.sharpen import Sharpening
from jscgc.methods import SHIPPED, PerceptualCodecName, PixelCodecName
from jscgc.metrics import Trainable, pair_metric
from jscgc.seeding import derive, stream
from jscgc.systems import store
from jscgc.systems.base import LatentSystem
from jscgc.systems.diffcom import DiffComNet
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.jscgc_fast import FastJscgcNet
from jscgc.systems.links import arrived
from jscgc.systems.mambajscc import Codec
from jscgc.systems.receiver import Prior
from jscgc.systems.store import Architecture
from jscgc.training.ahead import Ahead
from jscgc.training.loop import MetricLog, resolve_device, train
from jscgc.training.parallel import Group, LossFunction
from jscgc.training.start import (
    PASSED_THROUGH,
    TRAINED_ON,
    check_start,
    from_shipped,
    shipped_prior,
    shipped_statistics,
    shipped_vae,
    widen_vae,
)

log_ = logging.getLogger(__name__)
KLT_CROPS = 1000
"""Latent crops from which a codec's linear start is computed."""
PIXEL_KLT_CROPS = 300
"""Crops of photographs, the same for a codec on pixels."""
LPIPS, FEATURE_DISTANCE = "lpips", "feature_distance_efficientnet_lite0"
"""The distances that perceptual codecs are trained for."""
Placed = TypeVar("Placed", bound=Tensor | nn.Module)


def seeded(params: Params, name: str) -> None:
    """Initial weights are drawn from torch's global generator; they follow from the root seed and the run's name."""
    torch.manual_seed(derive(params.seed, name, "weights"))


def train_vae(params: Params, photos: Path, folder: Path, log: MetricLog) -> NanoVae:
    """The nano VAE, on random crops of the training photographs."""
    if params.init in PASSED_THROUGH:
        vae = shipped_vae(params)
        if params.vae.sharpen:
            log_.warning(
                "vae.sharpen: the VAE is passed through as it is; `python -m pipeline.sharpen` sharpens what is there"
            )
        if params.init in TRAINED_ON:
            check_start(params)
        return vae
    if params.vae.sharpen and params.vae.sharpen.receivers:
        raise ValueError(
            "vae.sharpen.receivers are trained after the VAE; leave them empty here, and sharpen with them at the end by "
            "`python -m pipeline.sharpen`"
        )
    device = resolve_device(params.device)
    seeded(params, "vae")
    vae = NanoVae(params.vae.channels, params.vae.width, params.vae.depth)
    anchor = None
    if params.init == "widen":
        anchor = _place(widen_vae(vae, params), device)
        check_start(params)
    _place(vae, device)
    files, scale = split_files(photos, "train"), params.latents.min_scale
    own = params.vae
    crops = CropSampler(files, own.crop, scale, scenes(photos), colour=own.colour)
    batches = _batches(crops, own.train, params.seed, "vae", device)
    perceive = _distance(FEATURE_DISTANCE, device).loss if own.perceptual_weight else None

    def loss(draw: int) -> dict[str, Tensor]:
        images = _place(batches(draw), device)
        rng = stream(params.seed, "vae", draw)
        scalars = vae.loss(
            images,
            own.kl_weight,
            rng,
            perceive,
            own.perceptual_weight,
            own.equivariance,
            anchor,
            own.anchor_weight,
            own.added_shrink,
        )
        return scalars

    _train_on_photos(vae, params, own.train, crops, folder, log, "vae", loss)
    if own.sharpen is None:
        return vae
    return sharpen(params, photos, vae, None, folder / "sharpen", lambda step, m: log(own.train.steps + step, m))


def sharpen(params: Params, photos: Path, vae: NanoVae, models: Path | None, folder: Path, log: MetricLog) -> NanoVae:
    """A trained VAE with its decoder trained on against a discriminator; latents stay what they are.

    Args:
        models: where `receivers` are, if there are any.

    Raises:
        ValueError: params.vae.sharpen is not set; a receiver is not trained, or not for a rate of section link.
    """
    own = params.vae.sharpen
    if own is None:
        raise ValueError("vae.sharpen is not set; say there how the decoder is to be trained on")
    device = resolve_device(params.device)
    seeded(params, "sharpen")
    net = _place(Sharpening(vae, own.width), device)
    crops = CropSampler(
        split_files(photos, "train"),
        params.vae.crop,
        params.latents.min_scale,
        scenes(photos),
        colour=params.vae.colour,
    )
    batches = _batches(crops, own.train, params.seed, "sharpen", device)
    perceive = _distance(FEATURE_DISTANCE, device).loss if own.perceptual_weight else None
    assert models or not own.receivers
    receivers = [store.load_system(name, models, device) for name in own.receivers] if models else []
    few = max(1, round(own.received_share * own.train.batch_size))

    def loss(draw: int) -> dict[str, Tensor]:
        images = _place(batches(draw), device)
        rng, received = stream(params.seed, "sharpen", draw), None
        if receivers:
            system = receivers[draw % len(receivers)]
            assert isinstance(system, LatentSystem)
            received = arrived(system, images[:few], params.link, params.sample, rng)
        return net.loss(images, rng, own.adversarial_weight, perceive, own.perceptual_weight, received)

    _train_on_photos(
        net, params, own.train, crops, folder, log, "sharpen", loss, {"discriminator": own.discriminator_rate}
    )
    return net.vae.eval()


def _batches(
    crops: CropSampler, train_params: TrainParams, seed: int, name: str, device: torch.device
) -> Callable[[int], Tensor]:
    """Number of a draw -> its crops; a GPU is fed by processes that draw ahead, the CPU has no core to spare for them."""

    def batch(draw: int) -> Tensor:
        return crops.batch(train_params.batch_size, seed, name, draw)

    if device.type == "cpu":
        return batch
    return Ahead(batch, Group.current().order(train_params.steps, train_params.parts))


def _train_on_photos(
    net: nn.Module,
    params: Params,
    train_params: TrainParams,
    crops: CropSampler,
    folder: Path,
    log: MetricLog,
    name: str,
    loss: LossFunction,
    scales: Mapping[str, float] | None = None,
) -> None:
    train(
        net,
        loss,
        train_params,
        folder,
        log,
        name,
        scales,
        precision=params.precision,
        inputs=lambda draw: crops.chosen(train_params.batch_size, params.seed, name, draw),
        strategy=params.distributed.strategy,
    )


def _distance(name: str, device: torch.device) -> Trainable:
    """A distance to train for.

    Raises:
        ValueError: its weights are not there.
    """
    metric = pair_metric(name, device.type)
    assert isinstance(metric, Trainable)
    return metric


def _place(value: Placed, device: torch.device) -> Placed:
    """On the device, convolution-friendly in memory."""
    placed: Placed = value.to(device, memory_format=torch.channels_last)  # type: ignore[assignment, call-overload]
    return placed


@torch.no_grad()
def extract_latents(params: Params, photos: Path, vae_folder: Path, out: Path) -> LatentStatistics:
    """Latents of random crops of the training photographs, normalised per channel, as float16 in `out`/latents.safetensors.

    Half precision halves the cache; its rounding is far below the VAE's own error. `out`/statistics.json holds mean and
    standard deviation.
    """
    device = resolve_device(params.device)
    vae = _place(load_vae(vae_folder), device)
    crops = _photo_crops(params, photos, params.latents.crop)
    chunk, parts, total = 32, [], params.latents.crops

    def draw(number: int) -> Tensor:
        start = number * chunk
        return crops.batch(min(chunk, total - start), params.seed, "latents", start)

    count = -(-total // chunk)
    drawn = draw if device.type == "cpu" else Ahead(draw, range(count))
    for number in range(count):
        part = vae.encode(_place(drawn(number), device)).cpu()
        # What is not normalised later is rounded at once: a large cache fits into memory once, not twice.
        parts.append(part if params.latents.normalise else part.half())
    latents = torch.cat(parts)
    mean, std = torch.zeros(latents.shape[1]), torch.ones(latents.shape[1])
    if params.latents.normalise and params.init not in PASSED_THROUGH:
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3)).clamp_min(1e-6)
    if params.init != "scratch":  # its prior knows latents by the statistics that it was trained with
        known = shipped_statistics()
        if params.init == "widen":
            std /= params.latents.added_scale
        elif known.channels != len(mean):
            raise ValueError(
                f"{vae_folder}: this VAE has {len(mean)} channels, the one that comes with the package {known.channels}; run "
                "`dvc repro`"
            )
        mean[: known.channels], std[: known.channels] = torch.tensor(known.mean), torch.tensor(known.std)
    normalised = (latents - mean[:, None, None]) / std[:, None, None] if params.latents.normalise else latents
    statistics = LatentStatistics(mean.tolist(), std.tolist(), vae.factor, sha256(vae_folder))
    with atomic(out) as temporary:
        temporary.mkdir()
        save_tensors({"latents": normalised.half().contiguous()}, temporary / "latents.safetensors")
        write_json(temporary / "statistics.json", vars(statistics))
    return statistics


def read_statistics(latents: Path) -> LatentStatistics:
    """What `extract_latents` found.

    Raises:
        ValueError: missing or damaged; says what to do.
    """
    path = latents / "statistics.json"
    try:
        return LatentStatistics.of(read_json(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; run `dvc repro extract_latents` first") from None
    except ValidationError as error:
        raise ValueError(f"{path}: not the statistics of latents: {complaints(error)}") from None


class LatentCrops:
    """Batches of cached latents, keyed by seed, name and the number of the draw.

    Raises:
        ValueError: the cache is missing or damaged.
    """

    def __init__(self, folder: Path, seed: int, device: torch.device) -> None:
        path = folder / "latents.safetensors"
        try:
            with safe_open(path, framework="pt") as file:
                self._latents = file.get_tensor("latents")
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: no readable latents ({error}); run `dvc repro extract_latents`") from None
        if self._latents.dim() != 4 or 0 in self._latents.shape or not self._latents.is_floating_point():
            raise ValueError(f"{path}: expected numbers [N,C,h,w], got {tuple(self._latents.shape)}")
        self._seed, self._device = seed, device

    def first(self, count: int) -> Tensor:
        """The first `count` crops, or all if there are fewer: float32 [N,C,h,w]."""
        first: Tensor = self._latents[:count].float().to(self._device)
        return first

    def split(self, count: int) -> Tensor:
        """Take the last `count` crops out, so that no later batch holds them: float32 [count,C,h,w].

        Raises:
            ValueError: there are no more than that.
        """
        if count >= len(self._latents):
            raise ValueError(f"{len(self._latents)} crops are too few to hold {count} of them out; raise latents.crops")
        held_out: Tensor = self._latents[-count:].float().to(self._device)
        self._latents = self._latents[:-count]
        return held_out

    def batch(self, size: int, name: str, draw: int) -> Tensor:
        """Normalised latents float32 [size,C,h,w]."""
        batch: Tensor = _place(self._latents[self._chosen(size, name, draw)].float(), self._device)
        return batch

    def chosen(self, size: int, name: str, draw: int) -> list[str]:
        """Which crops of the cache that batch has."""
        return [f"latents.safetensors[{index}]" for index in self._chosen(size, name, draw).tolist()]

    def _chosen(self, size: int, name: str, draw: int) -> Tensor:
        return torch.randint(len(self._latents), (size,), generator=stream(self._seed, name, "batch", draw))


def _train_on_latents(
    net: nn.Module,
    params: Params,
    train_params: TrainParams,
    latents: Path,
    folder: Path,
    log: MetricLog,
    name: str,
    loss: Any,
    scales: Mapping[str, float] | None = None,
    until: int | None = None,
) -> None:
    device = resolve_device(params.device)
    _place(net, device)
    crops = LatentCrops(latents, params.seed, device)

    def loss_of_draw(draw: int) -> dict[str, Tensor]:
        batch = crops.batch(train_params.batch_size, name, draw)
        scalars: dict[str, Tensor] = loss(batch, stream(params.seed, name, draw), draw // train_params.parts)
        return scalars

    train(
        net,
        loss_of_draw,
        train_params,
        folder,
        log,
        name,
        scales,
        params.precision,
        until,
        inputs=lambda draw: crops.chosen(train_params.batch_size, name, draw),
        strategy=params.distributed.strategy,
    )


def pretrain_flow(params: Params, latents: Path, folder: Path, log: MetricLog) -> Prior:
    """The unconditional prior; shipped and pretrained ones are passed through, the latter with the empty prompt's features."""
    if params.init in PASSED_THROUGH:
        return shipped_prior(params)
    seeded(params, "flow")
    prior = store.build(Architecture.of("flow", params), read_statistics(latents))
    assert isinstance(prior, Prior)
    if params.init == "widen":
        from_shipped(prior, "flow", params)
    if params.generator.source == "pretrained":
        if params.generator.caption_path:
            prior.backbone.caption.features = empty_prompt(params.generator.caption_path, resolve_device(params.device))
        return prior
    _train_on_latents(
        prior,
        params,
        params.generator.train,
        latents,
        folder,
        log,
        "flow",
        lambda x, g, step: prior.loss(x, params.objective, g),
    )
    return prior


def prior_architecture(params: Params) -> Architecture:
    """What the prior's model.json says: of one that is passed through how it was trained, not how params.yaml would have."""
    stated = Architecture.of("flow", params)
    if params.init not in PASSED_THROUGH:
        return stated
    return stated.model_copy(update={"generator": store.load(SHIPPED / "flow").architecture.generator})


def train_codec(params: Params, latents: Path, folder: Path, log: MetricLog, until: int | None = None) -> Codec:
    """The reconstruction codec, mambajscc_psnr (or the shipped one trained on); `until` as of `loop.train`."""
    seeded(params, "mambajscc_psnr")
    codec = store.build(Architecture.of("mambajscc_psnr", params), read_statistics(latents))
    assert isinstance(codec, Codec)
    if params.init in TRAINED_ON:
        from_shipped(codec, "mambajscc_psnr", params)
    else:
        codec.start(LatentCrops(latents, params.seed, torch.device("cpu")).first(KLT_CROPS))
    loss = codec.loss_in_decibels if params.codec.loss == "decibels" else codec.loss
    _train_on_latents(
        codec,
        params,
        params.codec,
        latents,
        folder,
        log,
        "mambajscc_psnr",
        lambda x, g, step: loss(x, params.link, g),
        until=until,
    )
    return codec


def _start(net: JscgcNet | DiffJsccNet, kind: Literal["jscgc", "diffjscc"], params: Params, flow: Path) -> None:
    """Generator and adapter as `params.init` says, and what of the generator learns."""
    if params.init in TRAINED_ON:
        from_shipped(net, kind, params)
    if params.init != "finetune":  # of a wider latent the prior knows more than the shipped receiver's generator does
        _from_prior(net, params, flow)
    set_trained(net.receiver.prior, params.jscgc.generator_learns)


def _from_prior(net: JscgcNet | DiffJsccNet, params: Params, flow: Path) -> None:
    prior, trained = net.receiver.prior, store.load(flow).net
    if params.generator.source == "pretrained":
        # The weights are there already; what the stage added are the caption's features.
        prior.backbone.caption.load_state_dict(trained.backbone.caption.state_dict())
    else:
        load_base(prior, trained.state_dict())
    if path := params.jscgc.adapter.controlnet_path:
        stages = list(net.receiver.adapter.stages)
        if (filled := start_from_controlnet(stages, path)) < len(stages):
            log_.warning(
                "adapter.controlnet_path: %d of %d stages start from it, the rest at random", filled, len(stages)
            )


def train_jscgc(
    params: Params, latents: Path, flow: Path, codec: Path, folder: Path, log: MetricLog, until: int | None = None
) -> JscgcNet:
    """Encoder and adapter (and generator, if set) jointly, the gradient running through the channel; `until` as of
    `loop.train`."""
    seeded(params, "jscgc")
    net = store.build(Architecture.of("jscgc", params), read_statistics(latents))
    assert isinstance(net, JscgcNet)
    _start(net, "jscgc", params, flow)
    if params.init not in TRAINED_ON and params.jscgc.encoder_init == "mambajscc_psnr":
        store.load(codec).net.give(net.encoder, net.refiner)
    net.encoder.requires_grad_(params.jscgc.encoder_learns)
    _train_receiver(net, params, latents, folder, log, "jscgc", until)
    return net


def distil(
    params: Params, latents: Path, jscgc: Path, folder: Path, log: MetricLog, until: int | None = None
) -> FastJscgcNet:
    """The student of few steps, from the trained JSCGC: what learnt there beside the transmitter learns here; `until` as of
    `loop.train`."""
    seeded(params, "jscgc_fast")
    teacher = store.load(jscgc).net
    net = store.build(Architecture.of("jscgc_fast", params), read_statistics(latents))
    assert isinstance(teacher, JscgcNet) and isinstance(net, FastJscgcNet)
    net.net.load_state_dict(teacher.state_dict())
    net.requires_grad_(False)
    net.net.receiver.adapter.requires_grad_(True)
    set_trained(net.net.receiver.prior, params.jscgc.generator_learns)
    own = params.few_step
    _place(teacher.requires_grad_(False), resolve_device(params.device))
    _train_on_latents(
        net,
        params,
        own.train,
        latents,
        folder,
        log,
        "jscgc_fast",
        lambda x, g, step: net.loss(teacher, x, params.link, own, g),
        until=until,
    )
    return net


def train_diffjscc(
    params: Params, latents: Path, flow: Path, codec: Path, folder: Path, log: MetricLog, until: int | None = None
) -> DiffJsccNet:
    """The two-stage competitor: the codec frozen, the same generator and adapter trained as long as JSCGC's; `until` as of
    `loop.train`."""
    seeded(params, "diffjscc")
    net = store.build(Architecture.of("diffjscc", params), read_statistics(latents))
    assert isinstance(net, DiffJsccNet)
    _start(net, "diffjscc", params, flow)
    store.load(codec).net.give(net.codec.encoder, net.codec.decoder)
    _train_receiver(net, params, latents, folder, log, "diffjscc", until)
    return net


def compose_diffcom(params: Params, latents: Path, flow: Path, codec: Path) -> DiffComNet:
    """DiffCom learns nothing of its own: the codec and the prior as they are."""
    net = store.build(Architecture.of("diffcom", params), read_statistics(latents))
    assert isinstance(net, DiffComNet)
    if params.generator.source == "scratch":
        net.prior.load_state_dict(store.load(flow).net.state_dict())
    else:
        net.prior.backbone.caption.load_state_dict(store.load(flow).net.backbone.caption.state_dict())
    net.codec.load_state_dict(store.load(codec).net.state_dict())
    return net.eval()


def train_pixel_codec(params: Params, kind: PixelCodecName, photos: Path, folder: Path, log: MetricLog) -> Codec:
    """A reconstruction codec on pixels, for least squared error on random crops of the training photographs."""
    device = resolve_device(params.device)
    seeded(params, kind)
    codec = store.build(Architecture.of(kind, params), PIXELS)
    assert isinstance(codec, Codec)
    own, space = params.baselines.pixels, LatentSpace(PixelVae(), PIXELS).to(device)
    crops = _photo_crops(params, photos, own.crop)
    codec.start(space.encode(_place(crops.batch(PIXEL_KLT_CROPS, params.seed, kind, "start"), device)).cpu())
    _place(codec, device)

    training = own.training(kind)
    batches = _batches(crops, training, params.seed, kind, device)

    def loss(draw: int) -> dict[str, Tensor]:
        images = _place(batches(draw), device)
        return codec.loss(space.encode(images), params.link, stream(params.seed, kind, draw))

    _train_on_photos(codec, params, training, crops, folder, log, kind, loss)
    return codec


def train_perceptual_codec(
    params: Params, kind: PerceptualCodecName, photos: Path, models: Path, folder: Path, log: MetricLog
) -> Codec:
    """MambaJSCC trained on from the one for least squared error, for LPIPS or the deep-feature distance of whole photos.

    On latents the loss is seen through the VAE's decoder, which does not learn.

    Raises:
        ValueError: the codec that it starts from is not trained, or the distance's weights are not there.
    """
    device = resolve_device(params.device)
    started = store.load(models / store.perceptual_start(kind))
    codec: Codec = _place(started.net, device).requires_grad_(True)
    space = store.latent_space(models / "vae", started.latents).to(device)
    own = params.baselines.perceptual
    crops = _photo_crops(params, photos, own.crop)
    batches = _batches(crops, own.train, params.seed, kind, device)
    metric = _distance(LPIPS if "lpips" in kind else FEATURE_DISTANCE, device)

    def loss(draw: int) -> dict[str, Tensor]:
        images = _place(batches(draw), device)
        rng = stream(params.seed, kind, draw)
        decoded = space.decode(codec.over(space.encode(images), params.link, rng), own.crop, own.crop)
        perceived, squared = metric.loss(images, decoded).mean(), torch.mean((decoded - images) ** 2)
        return {"loss": perceived + own.distortion * squared, "perceived": perceived, "squared": squared}

    _train_on_photos(codec, params, own.train, crops, folder, log, kind, loss)
    return codec


def _photo_crops(params: Params, photos: Path, crop: int) -> CropSampler:
    own = params.latents
    return CropSampler(split_files(photos, "train"), crop, own.min_scale, scenes(photos), colour=own.colour)


def _train_receiver(
    net: JscgcNet | DiffJsccNet,
    params: Params,
    latents: Path,
    folder: Path,
    log: MetricLog,
    name: str,
    until: int | None,
) -> None:
    own = params.jscgc
    # JSCGC's only: at rates that the frozen codec has not learnt, DiffJSCC would see noise.
    warm = own.warm_start if name == "jscgc" else None
    train_params = own.train
    if name == "diffjscc" and own.diffjscc_steps:
        train_params = own.train.model_copy(update={"steps": own.diffjscc_steps})
    if own.tuning in ("frozen", "adapter_only") and own.condition_dropout:
        log_.warning(
            "condition_dropout has no effect but to waste images: with tuning %s the prior learns nothing", own.tuning
        )
    if own.tuning in ("full", "receiver", "lora") and not own.condition_dropout:
        log_.warning(
            "without condition_dropout the generator (tuning %s) forgets the unconditional field: guidance other than 1, the "
            "control without symbols and information_points mean nothing",
            own.tuning,
        )

    def loss(x: Tensor, rng: torch.Generator, step: int) -> dict[str, Tensor]:
        link = warm.link if warm and step < warm.share * train_params.steps else params.link
        return net.loss(x, link, own, params.objective, rng)

    # What the codec has learnt is refined, not learnt anew.
    known = params.init in TRAINED_ON or own.encoder_init == "mambajscc_psnr"
    started = dict.fromkeys(("encoder.", "refiner."), own.codec_rate) if known else None
    _train_on_latents(net, params, train_params, latents, folder, log, name, loss, started, until)
