"""What a receiver costs: the parameters that it reads and the operations that it does for one photograph.

Counted while it receives, whatever it is made of: a dispatch mode sees every operation of torch below all modules.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from jscgc.systems.base import Decoded, System


@dataclass
class Cost:
    """parameters: numbers that are read. flops: of matrix products and convolutions, two a multiply-add, gradients included."""

    parameters: int = 0
    flops: int = 0
    _seen: dict[int, int] = field(default_factory=dict)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every parameter that an operation is given, and its operations by torch's own formulas.

    torch's FlopCounterMode also follows the modules, which fails where a receiver takes gradients (DiffCom).
    """

    def __init__(self, cost: Cost) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cost = cost
        self._flops: dict[Hashable, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._note(args)
        self._note(kwargs.values())
        out = func(*args, **kwargs)
        if (count := flop_registry.get(func.overloadpacket)) is not None:
            # By shapes, which come again in every step: a formula takes longer than many a small operation.
            like = func, *map(_shape, args), *kwargs.items()
            if like not in self._flops:
                self._flops[like] = count(*args, **kwargs, out_val=out)
            self._cost.flops += self._flops[like]
        return out

    def _note(self, values: Iterable[Any]) -> None:
        for value in values:
            kind = type(value)
            if kind in (list, tuple):
                self._note(value)
            elif kind is not Tensor and isinstance(value, nn.Parameter):
                self._cost._seen[id(value)] = value.numel()


def _shape(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return value.shape
    return tuple(map(_shape, value)) if isinstance(value, list) else value


@contextmanager
def counted(system: System) -> Iterator[Cost]:
    """Count what `system.decode` does while the block runs; it is slower meanwhile, with the same results."""
    cost = Cost()
    decode = system.decode

    def counting(*args: Any, **kwargs: Any) -> Decoded:
        with _Counter(cost):
            decoded = decode(*args, **kwargs)
        cost.parameters = sum(cost._seen.values())
        return decoded

    system.decode = counting  # type: ignore[method-assign]
    try:
        yield cost
    finally:
        del system.decode  # the class's method again
