"""The metrics of large networks on random ones of the same class: for a rehearsal of a run where the weights are not.

`evaluate.metric_weights: random` puts them in the place of those that `evaluate.metrics` names. Every number that they give
carries the name `NAME_random` and says so in its label; none judges, ranks or chooses anything. Preprocessing, network class and
comparison are the metric's own; the networks are small where their class can be, and drawn from a fixed seed. LPIPS's and DISTS's
small heads are the published ones, which come with their packages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from jscgc.metrics.base import RANDOM, RANDOM_SUFFIX, Metric, MetricInfo, PairMetric, SetMetric
from jscgc.metrics.kinds import clip, dino, dists, dreamsim, fid_kid, lpips
from jscgc.metrics.weights import DISTS_HEADS

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from jscgc.metrics.base import Features, Images, Scores
    from jscgc.metrics.distances import Against

SEED = 0
INCEPTION_SIDE = 75
"""Pixels to which Inception's input is reduced here, the least that its class takes: a sixteenth of the time."""


def _info(info: MetricInfo) -> MetricInfo:
    return replace(
        info,
        name=f"{info.name}{RANDOM_SUFFIX}",
        label=f"{info.label}, random network",
        citation=f"no metric: {info.citation}, on a network of random weights",
        network=RANDOM,
        judge=False,
        stand_in=True,
    )


class RandomPair:
    """A pair metric's own computation under the name that says that its network is random."""

    def __init__(self, info: MetricInfo, make: Callable[[str], PairMetric], device: str = "cpu") -> None:
        self.info = info
        self._metric = make(device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """As the metric; [B,3,H,W] in [0,1] twice -> [B]."""
        return self._metric(reference, received)


class RandomSet:
    """A set metric's, likewise."""

    def __init__(self, info: MetricInfo, make: Callable[[str], fid_kid.SetDistance], device: str = "cpu") -> None:
        self.info = info
        self._metric = make(device)

    def features(self, images: Images) -> Features:
        """Features of patches; [N,3,s,s] in [0,1] -> [N,D]."""
        return self._metric.features(images)

    def distance(self, reference: Features, received: Features) -> float:
        """As the metric."""
        return self._metric.distance(reference, received)

    def against(self, reference: Sequence[Features]) -> Against:
        """As `Jackknifed.against`."""
        return self._metric.against(reference)


def drawn(network: nn.Module) -> nn.Module:
    """The network with weights from the seed: activations keep their size from layer to layer, and layer scales, which start at
    next to nothing, are such that every block counts. Norms stay as they are made."""
    import torch
    from torch import nn

    rng = torch.Generator().manual_seed(SEED)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1, generator=rng)
    for name, value in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.uniform_(value, 0.2, 0.8, generator=rng)
        elif name.rpartition(".")[2] in ("pos_embed", "cls_token"):
            nn.init.normal_(value, 0.0, 0.1, generator=rng)
    return network.requires_grad_(False).eval()


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """Made without a trace in the caller's random numbers."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return drawn(make())


@cache
def _trunk(net: str) -> nn.Sequential:
    """torchvision's AlexNet, or VGG-16 up to relu5_3."""
    import torch
    from torchvision.models import alexnet

    from jscgc.metrics.networks import vgg

    with torch.device("meta"):  # without the fully connected layers, which are most of the memory
        layers: nn.Module = vgg.trunk() if net == "vgg" else alexnet(weights=None).features
    return cast("nn.Sequential", drawn(layers.to_empty(device="cpu")))


def _lpips(net: Any, device: str) -> PairMetric:
    return lpips.LPIPS(device, lpips.load(net, dict(_trunk(net).state_dict())), net=net)


def _dists(device: str) -> PairMetric:
    import torch

    from jscgc.metrics.networks.dists import DISTSNetwork

    heads = torch.load(DISTS_HEADS.verified(), map_location="cpu", weights_only=True)
    return dists.DISTS(device, DISTSNetwork(_trunk("vgg"), heads["alpha"].detach(), heads["beta"].detach()))


def _clip(device: str) -> PairMetric:
    """A ConvNeXt of the smallest size, at the published size of pictures."""
    import open_clip

    from jscgc.metrics.networks.embedding import Embedder

    config = dict(open_clip.get_model_config(clip.MODEL))
    config |= {
        "embed_dim": 64,
        "vision_cfg": {**config["vision_cfg"], "timm_model_name": "convnext_atto", "timm_model_pretrained": False},
        "text_cfg": {**config["text_cfg"], "width": 64, "heads": 1, "layers": 1},
    }
    tower = _seeded(lambda: open_clip.CLIP(**config).visual)
    return clip.ClipScore(device, Embedder(tower, clip.preprocess(clip.MODEL, clip.PRETRAINED), device))


def _dino(of: partial[dino.DinoScore], device: str) -> PairMetric:
    """A narrow ViT of two blocks with the published size of patches."""
    import timm

    small: dict[str, Any] = {"depth": 2, "embed_dim": 48, "num_heads": 3}
    _, model, _ = of.args
    network = _seeded(lambda: timm.create_model(model, pretrained=False, num_classes=0, img_size=dino.SIDE, **small))
    return of(device, network)


def _dreamsim(device: str) -> PairMetric:
    """The ensemble of three narrow ViTs of two blocks."""
    import torch
    from dreamsim.feature_extraction.vision_transformer import VisionTransformer
    from torch import nn

    from jscgc.metrics.networks.dreamsim import PATCH, Ensemble
    from jscgc.metrics.networks.embedding import Embedder

    width = 48

    def vit(normalised: bool) -> nn.Module:
        network: Any = VisionTransformer(
            patch_size=PATCH, embed_dim=width, depth=2, num_heads=3, qkv_bias=True, norm_layer=nn.LayerNorm
        )
        if normalised:
            network.pos_drop = nn.LayerNorm(width)
        return cast("nn.Module", network)

    def ensemble() -> nn.Module:
        projections = torch.randn(2, width, 32)
        return Ensemble(vit(False), (vit(True), projections[0]), (vit(True), projections[1]))

    return dreamsim.DreamSim(device, Embedder(_seeded(ensemble), dreamsim.preprocess, device))


@cache
def _inception(device: str) -> Callable[[Tensor], np.ndarray]:
    """torchvision's Inception-v3, of which the published network is another build, up to its 2048 pooled features."""
    from torch import nn
    from torchvision.models import Inception3

    from jscgc.metrics.networks.inception import InceptionFeatures

    def make() -> nn.Module:
        network: nn.Module = Inception3(aux_logits=False, init_weights=False)
        network.fc = nn.Identity()
        return network

    network: nn.Module = _seeded(make).to(device)

    class Reduced(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            small = nn.functional.interpolate(pixels, size=(INCEPTION_SIDE, INCEPTION_SIDE), mode="area")
            described: Tensor = network(small / 127.5 - 1)
            # Means of random features grow with depth; the kernel of KID is made for features of about this size.
            return described / described.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-6)

    return InceptionFeatures(device, Reduced())


def _pair(of: Metric, make: Callable[[str], PairMetric], order: int) -> Metric:
    heads = tuple(file for file in of.weights if file is DISTS_HEADS)
    return Metric(_info(of.info), partial(RandomPair, _info(of.info), make), of.packages, heads, order)


def _set(of: Metric, statistic: Any, order: int) -> Metric:
    def make(device: str) -> fid_kid.SetDistance:
        return fid_kid.SetDistance(_info(of.info), statistic, _inception, device)

    made: Callable[[str], SetMetric] = partial(RandomSet, _info(of.info), make)
    return Metric(_info(of.info), made, of.packages, (), order)


def _declared() -> tuple[Metric, ...]:
    alex, vgg = lpips.METRICS
    large, small = dino.METRICS
    fid, kid = (one for one in fid_kid.METRICS if one.name in ("fid_inception", "kid_inception"))
    return (
        _pair(alex, partial(_lpips, "alex"), 2000),
        _pair(vgg, partial(_lpips, "vgg"), 2010),
        _pair(dists.METRIC, _dists, 2020),
        _pair(clip.METRIC, _clip, 2030),
        _pair(large, partial(_dino, dino.LARGE), 2040),
        _pair(small, partial(_dino, dino.SMALL), 2050),
        _pair(dreamsim.METRIC, _dreamsim, 2060),
        _set(fid, "Frechet", 2070),
        _set(kid, "Kernel", 2080),
    )


METRICS = _declared()
