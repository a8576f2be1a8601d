"""What was computed lately, kept up to so many bytes, and how tensors are told apart by what is in them. No torch here."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

V = TypeVar("V")


class Memory(Generic[V]):
    """Values by key; what was asked for longest ago goes when all together are larger than `limit_bytes` (never the last one).

    Args:
        size: of a value, in bytes.
    """

    def __init__(self, limit_bytes: int, size: Callable[[V], int]) -> None:
        self.limit_bytes, self._size = limit_bytes, size
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, made if it is not here."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = make()
        self._bytes += self._size(value)
        while self._bytes > self.limit_bytes and len(self._values) > 1:
            self._bytes -= self._size(self._values.popitem(last=False)[1])
        return value


def content(tensor: Tensor) -> tuple[Hashable, ...]:
    """What tells tensors apart whatever memory they lie in: shape, type and a digest of the numbers."""
    array = tensor.cpu().contiguous().numpy()
    return array.shape, array.dtype.str, hashlib.blake2b(array.data, digest_size=32).digest()
