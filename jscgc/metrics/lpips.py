"""LPIPS."""

from __future__ import annotations

import warnings
from typing import ClassVar

import lpips
import torch
from torch import Tensor, nn

from jscgc.metrics import catalogue
from jscgc.metrics.base import MetricInfo
from jscgc.metrics.images import Images, Scores, as_saved, check_pair
from jscgc.metrics.weights import ALEXNET


class LPIPS:
    """Learned perceptual distance, version 0.1, AlexNet, by package lpips; lower is better, from 0.

    At native resolution. The linear heads come with the package; the trunk is torchvision's, from torch hub's cache.
    """

    info: ClassVar[MetricInfo] = catalogue.LPIPS

    def __init__(self, device: str = "cpu", network: nn.Module | None = None) -> None:
        """`network`: an `lpips.LPIPS` to use instead of the published weights (a test's random trunk)."""
        self._device = device
        self._network = (load_alex() if network is None else network).to(device).eval()

    def __call__(self, reference: Images, received: Images) -> Scores:
        """LPIPS of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        a, b = (as_saved(x.to(self._device)) for x in (reference, received))
        with torch.no_grad():
            return torch.as_tensor(self._network(a, b, normalize=True)).flatten().cpu()

    def loss(self, reference: Images, received: Images) -> Tensor:
        """As `Trainable.loss`."""
        check_pair(reference, received)
        return torch.as_tensor(self._network.requires_grad_(False)(reference, received, normalize=True)).flatten()


def load_alex() -> nn.Module:
    """`lpips.LPIPS(net="alex")` with its published trunk, without the library's unsafe, downloading loader."""
    state = torch.load(ALEXNET.verified(), map_location="cpu", weights_only=True)
    # the random trunk must not shift the caller's random numbers; lpips spells torchvision's argument the old way
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    trunk = network.get_submodule("net")
    # the library's slices keep torchvision's layer numbers: slice2.3.weight is features.3.weight
    trunk.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in trunk.state_dict()})
    return network
