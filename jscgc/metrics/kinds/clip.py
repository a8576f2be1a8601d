"""CLIP score of two images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import middle
from jscgc.metrics.packages import OPEN_CLIP
from jscgc.metrics.weights import CLIP_CONVNEXT_LARGE

if TYPE_CHECKING:
    from torch import nn

    from jscgc.metrics.base import Images, Scores
    from jscgc.metrics.networks.embedding import Embedder

MODEL, PRETRAINED = "convnext_large_d_320", "laion2b_s29b_b131k_ft_soup"
"""open_clip's names. The JSCGC paper says ConvNeXt CLIP and no more: this variant is our choice."""

INFO = MetricInfo(
    name="clip_score",
    label="CLIP score (ConvNeXt-L)",
    direction="higher",
    minimum=-1.0,
    maximum=1.0,
    citation="Radford et al., CLIP, ICML 2021; Ilharco et al., OpenCLIP, 2021; between images, as Hessel et al., EMNLP 2021",
    scope="pair",
    network=CLIP_CONVNEXT_LARGE.key,
    axis="semantics",
    judge=True,
)


class ClipScore:
    """Cosine of the CLIP embeddings of both images (no text); higher is better, in [-1, 1].

    open_clip's preprocessing: Pillow's bicubic filter to a shorter side of 320 pixels, the central 320x320 of it (the
    ends of a longer side are not looked at), CLIP's mean and standard deviation.
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu", embedder: Embedder | None = None) -> None:
        """`embedder`: to use instead of the published one."""
        from jscgc.metrics.networks.embedding import Embedder

        self._embed = Embedder(load_tower(), preprocess(MODEL, PRETRAINED), device) if embedder is None else embedder

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Cosine of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        return self._embed.cosine(reference, received).clamp(-1, 1)


def preprocess(model: str, pretrained: str) -> Any:
    """open_clip's own transform for a published model: a picture to float32 [3,s,s]."""
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    side = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
    declared = open_clip.get_pretrained_cfg(model, pretrained)
    known = {name: value for name, value in declared.items() if name in PreprocessCfg.__dataclass_fields__}
    published = image_transform_v2(PreprocessCfg(**known | {"size": side}), is_train=False)
    return lambda picture: published(middle(picture))


def image_tower(model: str) -> nn.Module:
    """The image half of an open_clip model, float32 [B,3,s,s] -> [B,D], without weights (on the meta device)."""
    import open_clip
    import torch

    with torch.device("meta"):
        tower: nn.Module = open_clip.CLIP(**open_clip.get_model_config(model)).visual
    return tower


def load_tower() -> nn.Module:
    """The published image tower; the text half of the file is left alone."""
    import torch

    state = torch.load(CLIP_CONVNEXT_LARGE.verified(), map_location="cpu", weights_only=True)
    images = {n.removeprefix("visual."): value.float() for n, value in state.items() if n.startswith("visual.")}
    tower = image_tower(MODEL)
    tower.load_state_dict(images, assign=True)
    return tower


METRIC = Metric(INFO, ClipScore, OPEN_CLIP, (CLIP_CONVNEXT_LARGE,), order=70)
