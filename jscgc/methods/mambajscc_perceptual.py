"""MambaJSCC trained on for a perceptual distance, on latents through the VAE's decoder, or on pixels: six methods alike.

`_gan` has an adversarial loss beside LPIPS. All are regressions: what they show is what their loss does without sampling.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from jscgc.config import Positive, Section, TrainParams
from jscgc.method import Folders, Look, Method, Network
from jscgc.methods import mambajscc_psnr, mambajscc_psnr_pixels
from jscgc.systems.params import CodecShape

if TYPE_CHECKING:
    from jscgc.params import Params
    from jscgc.systems.mambajscc import Codec
    from jscgc.training.loop import MetricLog


class PerceptualTraining(TrainParams):
    """Unless params.yaml says otherwise."""

    steps: Positive = 120
    batch_size: Positive = 8
    learning_rate: Annotated[float, Field(gt=0)] = 0.0005
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.98


class PerceptualParams(Section):
    """Training of a MambaJSCC for a perceptual distance, from the one for least squared error."""

    distortion: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the squared error (of pixels in [0,1]) beside the perceptual distance."""
    crop: Annotated[int, Field(ge=64, multiple_of=16)] = 96
    """Side of a training crop, pixels; the deep features need 64."""
    train: PerceptualTraining = PerceptualTraining()


class GanParams(PerceptualParams):
    """The same against a discriminator of patches, see `latent.sharpen`."""

    adversarial: Annotated[float, Field(ge=0)] = 0.02
    """Weight of the adversarial loss."""
    width: Positive = 48
    """Of the discriminator."""
    discriminator_rate: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the learning rate for the discriminator."""


def train(
    name: str,
    start: str,
    metric: str,
    settings_of: type[PerceptualParams],
    params: Params,
    inputs: Folders,
    folder: Path,
    log: MetricLog,
    until: int | None = None,
) -> Codec:
    """From the codec `start`, for a distance of whole photos. On latents the loss is seen through the VAE's decoder, which does
    not learn.

    Raises:
        ValueError: the codec that it starts from is not trained, or the distance's weights are not there.
    """
    import torch

    from jscgc.device import resolve_device
    from jscgc.latent.sharpen import PatchDiscriminator, hinge
    from jscgc.seeding import stream
    from jscgc.systems import store
    from jscgc.training.photos import batches, distance, photo_crops, place, seeded, train_on_photos

    device, settings = resolve_device(params.device), params.own(name, settings_of)
    started = store.load(inputs[start])
    codec: Codec = place(started.net, device).requires_grad_(True)
    net: torch.nn.Module = codec
    discriminator = None
    if isinstance(settings, GanParams):
        seeded(params, name)
        discriminator = place(PatchDiscriminator(settings.width), device)
        net = torch.nn.ModuleDict({"codec": codec, "discriminator": discriminator})
    space = store.latent_space(inputs.get("vae"), started.latents).to(device)
    crops = photo_crops(params, inputs["photos"], settings.crop)
    batch = batches(crops, settings.train, params.seed, name, device)
    perceive = distance(metric, device)

    def loss(draw: int) -> dict[str, Any]:
        images = place(batch(draw), device)
        rng = stream(params.seed, name, draw)
        decoded = space.decode(codec.over(space.encode(images), params.link, rng), settings.crop, settings.crop)
        perceived, squared = perceive.loss(images, decoded).mean(), torch.mean((decoded - images) ** 2)
        scalars = {"loss": perceived + settings.distortion * squared, "perceived": perceived, "squared": squared}
        if discriminator is not None and isinstance(settings, GanParams):
            adversarial, judged = hinge(discriminator, images, decoded)
            scalars["loss"] = scalars["loss"] + settings.adversarial * adversarial + judged
            scalars |= {"adversarial": adversarial.detach(), "discriminator": judged.detach()}
        return scalars

    scales = {"discriminator": settings.discriminator_rate} if isinstance(settings, GanParams) else None
    train_on_photos(net, params, settings.train, crops, folder, log, name, loss, scales, until=until)
    return codec.eval()


def _network(name: str, metric: str, settings: type[PerceptualParams], pixels: bool) -> Network:
    start = mambajscc_psnr_pixels.METHOD.name if pixels else mambajscc_psnr.METHOD.name
    return Network(
        about=f"The competitor {name}: {start} trained on for a perceptual distance",
        needs=("photos", start) if pixels else ("photos", "vae", start),
        section=f"baselines.{name}",
        settings=settings,
        metrics=(metric,),
        keys=(
            "link",
            "latents.min_scale",
            "latents.colour",
            f"baselines.{start}" if pixels else "encoder",
        ),
        shape=CodecShape,
        describe=mambajscc_psnr_pixels.describe if pixels else lambda params: CodecShape(encoder=params.encoder),
        build=mambajscc_psnr.build,
        recipe=partial(train, name, start, metric, settings),
        trained_by=f"baselines.{name}.train",
        pixels=pixels,
    )


def _method(
    distance: str, label: str, metric: str, network: str, settings: type[PerceptualParams], pixels: bool, look: Look
) -> Method:
    name = f"mambajscc_{distance}{'_pixels' * pixels}"
    return Method(
        name=name,
        label=f"MambaJSCC ({label}){', pixels' * pixels}",
        group="pixel_codec" if pixels else "latent_codec",
        order=(61 if pixels else 31) + ("feature", "lpips", "gan").index(distance),
        look=look,
        network=_network(name, metric, settings, pixels),
        losses=(network,),
    )


_LITE0 = ("feature", "features", "feature_distance_efficientnet_lite0", "efficientnet_lite0", PerceptualParams)
_LPIPS = ("lpips", "LPIPS", "lpips_vgg", "vgg16", PerceptualParams)
_GAN = ("gan", "LPIPS, adversarial", "lpips_vgg", "vgg16", GanParams)
METHODS = (
    _method(*_LITE0, pixels=False, look=Look("#0b9a74", "dash", "triangle-down")),
    _method(*_LPIPS, pixels=False, look=Look("#0b9a74", "dot", "triangle-left")),
    _method(*_LITE0, pixels=True, look=Look("#1a93ad", "dash", "triangle-down-open")),
    _method(*_LPIPS, pixels=True, look=Look("#1a93ad", "dot", "triangle-left-open")),
    _method(*_GAN, pixels=False, look=Look("#0b9a74", "dashdot", "triangle-right")),
    _method(*_GAN, pixels=True, look=Look("#1a93ad", "dashdot", "triangle-right-open")),
)
