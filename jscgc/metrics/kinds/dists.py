"""DISTS."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, as_pictures, check_pair
from jscgc.metrics.memo import Memo
from jscgc.metrics.packages import TORCHVISION
from jscgc.metrics.weights import DISTS_HEADS, VGG16

if TYPE_CHECKING:
    from jaxtyping import Float32
    from torch import Tensor

    from jscgc.metrics.base import Images, Scores
    from jscgc.metrics.networks.dists import DISTSNetwork

SIDE = 256
"""Pixels to which a longer shorter side is reduced, as the authors' script does."""

_MEMO_BYTES = 384 * 2**20
"""VGG-16's activations of seven photographs of 384x256 pixels."""

INFO = MetricInfo(
    name="dists",
    label="DISTS",
    direction="lower",
    minimum=0.0,
    maximum=2.0,
    citation="Ding et al., Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2020",
    scope="pair",
    network=VGG16.key,
    axis="perception",
)


class DISTS:
    """Structure and texture similarity as a distance; lower is better, from 0 (hardly ever above 1).

    As the authors' script prepares images: in 8 bits, a shorter side above 256 pixels reduced to 256 by Pillow's
    antialiased bilinear filter. (Some packages leave the resizing out; their values do not compare.)
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu", network: DISTSNetwork | None = None) -> None:
        """`network`: None for the published one."""
        if network is None:
            from jscgc.metrics.networks.dists import load_dists

            network = load_dists(device)
        self._device = device
        self._network = network.to(device).eval()
        self._memo = Memo(_MEMO_BYTES)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """DISTS of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch

        check_pair(reference, received)

        def stages(images: Images) -> tuple[Tensor, ...]:
            return self._network.stages(prepare(images).to(self._device))

        with torch.no_grad():
            sent = self._memo.of("stages", as_bytes(reference), lambda: stages(reference))
            return self._network.distance(sent, stages(received)).clamp(min=0).cpu()


def prepare(images: Images) -> Float32[Tensor, "b 3 h2 w2"]:
    """Images as the authors' script reads them, in [0,1]."""
    import torch
    from torchvision.transforms.functional import resize, to_tensor

    pictures = as_pictures(as_bytes(images))
    return torch.stack([to_tensor(resize(x, [SIDE]) if min(x.size) > SIDE else x) for x in pictures])


METRIC = Metric(INFO, DISTS, (("DISTS_pytorch", "DISTS-pytorch==0.1"), *TORCHVISION), (VGG16, DISTS_HEADS), order=60)
