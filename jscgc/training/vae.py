"""Training of the nano VAE, and of its decoder alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from jscgc.device import resolve_device
from jscgc.latent.nano_vae import NanoVae
from jscgc.latent.sharpen import Sharpening
from jscgc.seeding import stream
from jscgc.systems.latent import LatentSystem
from jscgc.systems.links import arrived
from jscgc.systems.load import load_system
from jscgc.training.loop import MetricLog
from jscgc.training.photos import FEATURE_DISTANCE, batches, distance, photo_crops, place, seeded, train_on_photos
from jscgc.training.start import KEEPS_PRIOR, STARTS_FROM_SHIPPED, check_start, shipped_vae, widen_vae

if TYPE_CHECKING:
    from jscgc.params import Params

log_ = logging.getLogger(__name__)


def train_vae(params: Params, photos: Path, folder: Path, log: MetricLog) -> NanoVae:
    """The nano VAE, on random crops of the training photographs."""
    if params.init in KEEPS_PRIOR:
        vae = shipped_vae(params)
        if params.vae.sharpen:
            log_.warning(
                "vae.sharpen: the VAE is passed through as it is; `python -m pipeline.sharpen` sharpens what is there"
            )
        if params.init in STARTS_FROM_SHIPPED:
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
        anchor = place(widen_vae(vae, params), device)
        check_start(params)
    place(vae, device)
    settings = params.vae
    crops = photo_crops(params, photos, settings.crop, settings.colour)
    drawn = batches(crops, settings.train, params.seed, "vae", device)
    perceive = distance(FEATURE_DISTANCE, device).loss if settings.perceptual_weight else None

    def loss(draw: int) -> dict[str, Tensor]:
        images = place(drawn(draw), device)
        rng = stream(params.seed, "vae", draw)
        return vae.loss(
            images,
            settings.kl_weight,
            rng,
            perceive,
            settings.perceptual_weight,
            settings.equivariance,
            anchor,
            settings.anchor_weight,
            settings.added_shrink,
        )

    train_on_photos(vae, params, settings.train, crops, folder, log, "vae", loss)
    if settings.sharpen is None:
        return vae
    return sharpen(params, photos, vae, None, folder / "sharpen", lambda step, m: log(settings.train.steps + step, m))


def sharpen(params: Params, photos: Path, vae: NanoVae, models: Path | None, folder: Path, log: MetricLog) -> NanoVae:
    """A trained VAE with its decoder trained on against a discriminator; latents stay what they are.

    Args:
        models: where `receivers` are, if there are any.

    Raises:
        ValueError: params.vae.sharpen is not set; a receiver is not trained, or not for a rate of section link.
    """
    settings = params.vae.sharpen
    if settings is None:
        raise ValueError("vae.sharpen is not set; say there how the decoder is to be trained on")
    device = resolve_device(params.device)
    seeded(params, "sharpen")
    net = place(Sharpening(vae, settings.width), device)
    crops = photo_crops(params, photos, params.vae.crop, params.vae.colour)
    drawn = batches(crops, settings.train, params.seed, "sharpen", device)
    perceive = distance(FEATURE_DISTANCE, device).loss if settings.perceptual_weight else None
    assert models or not settings.receivers
    receivers = [load_system(name, models, device) for name in settings.receivers] if models else []
    few = max(1, round(settings.received_share * settings.train.batch_size))

    def loss(draw: int) -> dict[str, Tensor]:
        images = place(drawn(draw), device)
        rng, received = stream(params.seed, "sharpen", draw), None
        if receivers:
            system = receivers[draw % len(receivers)]
            assert isinstance(system, LatentSystem)
            received = arrived(system, images[:few], params.link, params.sample, rng)
        return net.loss(images, rng, settings.adversarial_weight, perceive, settings.perceptual_weight, received)

    train_on_photos(
        net, params, settings.train, crops, folder, log, "sharpen", loss, {"discriminator": settings.discriminator_rate}
    )
    return net.vae.eval()
