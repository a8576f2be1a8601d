"""mamba-ssm, where it is installed; the only module that knows it.

Its package insists on a compiled CUDA extension when it is imported. Mamba-2's Triton kernels and the reference functions need
none: for them it is imported with an empty stand-in for the extension, and a build without CUDA (`MAMBA_SKIP_CUDA_BUILD=TRUE`,
seconds) does. Mamba-1's selective scan is that extension.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch

EXTENSION = "selective_scan_cuda"


def mamba_ssm_module(name: str) -> ModuleType:
    """A module of mamba-ssm.

    Raises:
        ImportError: mamba-ssm, or something that it needs, is not installed.
    """
    if find_spec("mamba_ssm") is None:
        raise ImportError("mamba-ssm is not installed")
    if find_spec(EXTENSION) is not None:
        return import_module(f"mamba_ssm.{name}")
    # Only while importing: nothing else may take the stand-in for the real extension.
    sys.modules[EXTENSION] = ModuleType(EXTENSION)
    try:
        return import_module(f"mamba_ssm.{name}")
    finally:
        del sys.modules[EXTENSION]


@cache
def cuda_scan() -> tuple[Any | None, str]:
    """mamba-ssm's `mamba_chunk_scan_combined` where it can run, and why it is chosen or not."""
    if not torch.cuda.is_available():
        return None, "torch sees no GPU, which mamba-ssm's kernels need"
    try:
        kernel = mamba_ssm_module("ops.triton.ssd_combined").mamba_chunk_scan_combined
    except ImportError as error:
        return None, f"{error}; pip install 'jscgc[cuda]' adds mamba-ssm's kernels"
    return kernel, "mamba-ssm is installed and the device is a GPU"


@cache
def cuda_selective_scan() -> tuple[Any | None, str]:
    """mamba-ssm's `selective_scan_fn` where it can run, and why it is chosen or not."""
    if not torch.cuda.is_available():
        return None, "torch sees no GPU, which mamba-ssm's kernels need"
    if find_spec("mamba_ssm") is not None and find_spec(EXTENSION) is None:
        return None, f"mamba-ssm was built without its CUDA extension {EXTENSION}; pip install 'jscgc[cuda]' adds it"
    try:
        kernel = mamba_ssm_module("ops.selective_scan_interface").selective_scan_fn
    except ImportError as error:
        return None, f"{error}; pip install 'jscgc[cuda]' adds mamba-ssm's kernels"
    return kernel, "mamba-ssm is installed and the device is a GPU"
