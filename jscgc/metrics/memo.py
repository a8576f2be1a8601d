"""Results of networks, kept by the content of the images: an evaluation compares many received images with few sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jscgc.machine import cores, memory_bytes
from jscgc.memory import Memory, content

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

_SHARE = 16
"""Of the memory that a core has: there are a few of these, and a worker on each core."""


class Memo(Memory["tuple[Tensor, ...]"]):
    """Recent results, at most so many bytes of them (and always the last one)."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes`: less where the machine has little memory for each of its cores."""
        limit = min(limit_bytes, memory_bytes() // cores() // _SHARE)
        super().__init__(limit, lambda result: sum(tensor.nbytes for tensor in result))

    def of(
        self, what: str, images: UInt8[Tensor, "b 3 h w"], compute: Callable[[], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """`compute()`, or its result from a recent call with the same `what` and images of the same bytes."""
        return self.get((what, content(images)), compute)
