"""What a generator's backbone is: the velocity nu(x_t, t) of a diffusers model, with residuals that steer it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from jscgc.config import RELEASED_FROM
from jscgc.flow.path import expand, preconditioning
from jscgc.generator.params import BackboneParams

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResidualPoint:
    """A layer that takes a residual: its channels, and by what factor it is coarser than the latent."""

    channels: int
    scale: int


class Backbone(Protocol):
    """nu(x_t [B,C,h,w], t [B], residuals) -> [B,C,h,w]; residual i is [B, points[i].channels, h', w'], h' = ceil(h / scale).

    A residual may be None: its layer is left alone. The last point is the network's output itself, C channels at scale 1.
    """

    points: tuple[ResidualPoint, ...]
    net: nn.Module
    """The diffusers model."""
    width_multiple: int
    """The adapter's width must be a multiple of it."""

    def __call__(self, x_t: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None = None) -> Tensor: ...

    def stage(self, width: int, embedding: int) -> nn.Module:
        """A block of the backbone's own type for the adapter: x [B,width,h,w], e [B,embedding] -> [B,width,h,w]."""
        ...


class DiffusersBackbone(nn.Module):
    """A diffusers model as a `Backbone`. From scratch it is preconditioned: nu = skip x_t + out (F + r), see `preconditioning`.

    A pretrained one predicts the velocity itself: nu = F + r. F is the model's output, r the residual of that output.

    Args:
        net: the model.
        points, width_multiple: as of `Backbone`.
        run: F(backbone, input [B,C,h,w] in the model's dtype, t [B], residuals of all points but the last) -> [B,C,h,w].
        stage: makes a block of the model's type, (backbone, width, embedding) -> module, as `Backbone.stage`.
        preconditioned: whether it is from scratch.
        caption: what it reads, if it reads text.
        unreached: of the net, see there.
    """

    def __init__(
        self,
        net: Any,
        points: Sequence[ResidualPoint],
        width_multiple: int,
        run: Callable[[DiffusersBackbone, Tensor, Tensor, Sequence[Tensor | None] | None], Tensor],
        stage: Callable[[DiffusersBackbone, int, int], nn.Module],
        preconditioned: bool,
        caption: Caption | None = None,
        unreached: Callable[[Any], Iterable[nn.Module]] = lambda net: (),
    ) -> None:
        super().__init__()
        self.net = net
        self.caption = caption
        self.points, self.width_multiple, self.preconditioned = tuple(points), width_multiple, preconditioned
        self._run, self._stage, self._unreached = run, stage, unreached

    def forward(self, x_t: Tensor, t: Tensor, residuals: Sequence[Tensor | None] | None = None) -> Tensor:
        seen = x_t
        if self.preconditioned:
            skip, out, scale = (expand(c, x_t) for c in preconditioning(t))
            seen = scale * x_t
        inner = None if residuals is None else residuals[:-1]
        output = self._run(self, seen.to(self.net.dtype), t, inner).to(x_t.dtype)
        if residuals and residuals[-1] is not None:
            output = output + residuals[-1]
        return skip * x_t + out * output if self.preconditioned else output

    def unreached(self) -> Iterable[nn.Module]:
        """Modules, called once each in a forward pass, whose output no residual changes."""
        return self._unreached(self.net)

    def stage(self, width: int, embedding: int) -> nn.Module:
        """As `Backbone.stage`."""
        return self._stage(self, width, embedding)


def together(
    backbone: Backbone, x_t: Tensor, t: Tensor, steered: Sequence[Sequence[Tensor | None] | None]
) -> list[Tensor]:
    """A call of the backbone for each of several residuals at the same point; what none of them reaches is computed once, if
    the backbone says what that is (`DiffusersBackbone.unreached`)."""
    unreached = getattr(backbone, "unreached", tuple)
    with _once(unreached()):
        return [backbone(x_t, t, residuals) for residuals in steered]


@contextmanager
def _once(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, every one of these computes at its first call and returns the same at any later one."""
    modules = list(modules)

    def remembering(forward: Callable[..., Any]) -> Callable[..., Any]:
        first: list[Any] = []

        def call(*args: Any, **kwargs: Any) -> Any:
            if not first:
                first.append(forward(*args, **kwargs))
            return first[0]

        return call

    for module in modules:
        module.forward = remembering(module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.forward  # the class's method again


class TokenStage(nn.Module):
    """A transformer's block on an image: x [B,W,h,w], e [B,E] -> [B,W,h,w].

    Args:
        modulate: from the embedding what the block is modulated by.
        block: the block.
        run: (block, tokens [B,hw,W], modulation, (h, w)) -> [B,hw,W].
    """

    def __init__(
        self, modulate: nn.Module, block: nn.Module, run: Callable[[Any, Tensor, Tensor, tuple[int, int]], Tensor]
    ) -> None:
        super().__init__()
        self.modulate, self.block, self._run = modulate, block, run

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        modulation = self.modulate(nn.functional.silu(embedding))
        return self._run(self.block, x.flatten(2).mT, modulation, (height, width)).mT.reshape(x.shape)


class Caption(nn.Module):
    """The constant text features [L, D] that a text-to-image backbone reads: zeros, until others are loaded or set."""

    features: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(1, width))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # Prompts differ in length.
        given = state_dict.get(f"{prefix}features")
        if given is not None and given.ndim == 2 and given.shape[1] == self.features.shape[1]:
            self.features = self.features.new_zeros(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def zero(layer: Any) -> Any:
    """The layer, set to zero. A fresh preconditioned network that ends so is the best linear velocity."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def load_pretrained(cls: Any, params: BackboneParams, channels: int) -> Any:
    """A diffusers model of class `cls` from a folder or hub id (safetensors only).

    On the meta device only its shape: from its configuration, or where that can't be reached, as the class was released.

    Raises:
        ValueError: it can't be loaded, or is for latents of other channels; says what to do.
    """
    from safetensors import SafetensorError

    path, subfolder = params.pretrained_path, params.pretrained_subfolder or None
    if torch.get_default_device().type == "meta":
        if path in RELEASED_FROM:
            net = cls()  # the class's own sizes: nobody need be asked for them
        else:
            try:
                net = cls.from_config(cls.load_config(path, subfolder=subfolder))
            except (OSError, ValueError):
                log.warning(
                    "generator.pretrained_path %r can't be reached: %s's released sizes are taken", path, cls.__name__
                )
                net = cls()
        return _fitting(nn.Module.to(net, getattr(torch, params.dtype)), path, channels)
    try:
        net = cls.from_pretrained(
            path, subfolder=subfolder, use_safetensors=True, torch_dtype=getattr(torch, params.dtype)
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"generator.pretrained_path {path!r}: no {cls.__name__} can be loaded ({reason:.200}); give a folder with "
            "config.json and safetensors weights, or a hub id with internet access, or set generator.source: scratch"
        ) from None
    return _fitting(net, path, channels)


def _fitting(net: Any, path: str, channels: int) -> Any:
    if net.config.in_channels != channels:
        raise ValueError(
            f"generator.pretrained_path {path!r} generates latents of {net.config.in_channels} channels, the VAE's have "
            f"{channels}; use the VAE that belongs to it"
        )
    return net
