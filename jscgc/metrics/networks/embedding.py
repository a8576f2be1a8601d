"""One vector per image: published preprocessing of the picture, then a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor, nn

from jscgc.metrics.images import as_bytes, as_pictures, check_pair
from jscgc.metrics.memo import Memo

if TYPE_CHECKING:
    from jscgc.metrics.base import Images, Scores

_MEMO_BYTES = 16 * 2**20


class Embedder:
    """Images [B,3,H,W] in [0,1] -> float32 [B,D], on the CPU.

    Each image goes through the network alone, so that no value depends on the rest of the batch, and results are kept:
    the metrics of an evaluation compare many received images with the same few references.
    """

    def __init__(self, network: nn.Module, preprocess: Callable[[Image.Image], Tensor], device: str = "cpu") -> None:
        """`preprocess`: an 8-bit RGB picture to float32 [3,s,s]. `network`: float32 [1,3,s,s] to [1,D]."""
        self._network = network.requires_grad_(False).eval().to(device)
        self._preprocess = preprocess
        self._device = device
        self._memo = Memo(_MEMO_BYTES)

    def __call__(self, images: Images) -> Float32[Tensor, "b d"]:
        """Embed images as they would be saved."""
        saved = as_bytes(images)
        return torch.cat([self._one(saved[index : index + 1]) for index in range(len(saved))])

    def cosine(self, reference: Images, received: Images) -> Scores:
        """Cosine of the embeddings of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        return F.cosine_similarity(self(reference), self(received), dim=1)

    def _one(self, saved: UInt8[Tensor, "1 3 h w"]) -> Float32[Tensor, "1 d"]:
        def embed() -> tuple[Tensor]:
            (picture,) = as_pictures(saved)
            with torch.no_grad():
                return (self._network(self._preprocess(picture)[None].to(self._device)).float().cpu(),)

        return self._memo.of("embedding", saved, embed)[0]
