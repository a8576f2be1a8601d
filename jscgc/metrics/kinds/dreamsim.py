"""DreamSim."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.packages import OPEN_CLIP
from jscgc.metrics.weights import DINO_VITB16, DREAMSIM_ENSEMBLE

if TYPE_CHECKING:
    from jaxtyping import Float32
    from PIL import Image
    from torch import Tensor

    from jscgc.metrics.base import Images, Scores
    from jscgc.metrics.networks.embedding import Embedder

INFO = MetricInfo(
    name="dreamsim",
    label="DreamSim",
    direction="lower",
    minimum=0.0,
    maximum=2.0,
    citation="Fu et al., DreamSim: Learning New Dimensions of Human Visual Similarity, NeurIPS 2023",
    scope="pair",
    network=DREAMSIM_ENSEMBLE.key,
    axis="semantics",
    judge=True,
)


class DreamSim:
    """One minus the cosine of the ensemble's embeddings of both images; lower is better, in [0, 2].

    Source: Fu, Tamir, Sundaram et al., DreamSim, NeurIPS 2023, package dreamsim 0.2.1 (`dreamsim_type="ensemble"`).
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu", embedder: Embedder | None = None) -> None:
        """`embedder`: to use instead of the published one."""
        if embedder is None:
            from jscgc.metrics.networks.dreamsim import load_ensemble
            from jscgc.metrics.networks.embedding import Embedder

            embedder = Embedder(load_ensemble(), preprocess, device)
        self._embed = embedder

    def __call__(self, reference: Images, received: Images) -> Scores:
        """DreamSim of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        return (1 - self._embed.cosine(reference, received)).clamp(0, 2)


def preprocess(picture: Image.Image) -> Float32[Tensor, "3 224 224"]:
    """The library's: the whole picture, squeezed into a square; each network's mean and standard deviation follow."""
    from torchvision import transforms

    resize = transforms.Resize((224, 224), interpolation=transforms.InterpolationMode.BICUBIC)
    prepared: Tensor = transforms.ToTensor()(resize(picture))
    return prepared


_PACKAGES = (("dreamsim", "dreamsim==0.2.1"), *OPEN_CLIP)
METRIC = Metric(INFO, DreamSim, _PACKAGES, (DREAMSIM_ENSEMBLE, DINO_VITB16), order=100)
