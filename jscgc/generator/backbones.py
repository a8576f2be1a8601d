"""Which backbones there are, and building one. No torch here; a backbone brings its own.

A backbone is a module-level `BackboneKind` in a module of `generator.kinds`, or of a plugin (see `registry`):

    DIT = BackboneKind("dit", build)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jscgc.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor, nn

    from jscgc.generator.backbone import Backbone
    from jscgc.generator.params import BackboneParams


@dataclass(frozen=True)
class BackboneKind:
    """A backbone that can be named.

    build: makes it for latents of so many channels, as `build_backbone` says. order: where it is listed.

    empty_prompt: of one that reads text, the empty prompt's features [L, D] by the pipeline in a folder or hub id, computed on a
    device; without it `generator.caption_path` is an error.
    start_stages: gives the adapter's stages, in order, the weights of a ControlNet in a folder or hub id, and says how many were
    filled; without it `jscgc.adapter.controlnet_path` is an error. Both raise ValueError, naming the key, for what can't be used.
    """

    name: str
    build: Callable[[int, BackboneParams], Backbone]
    order: int = 100
    empty_prompt: Callable[[str, torch.device | str], Tensor] | None = None
    start_stages: Callable[[Sequence[nn.Module], str], int] | None = None


BACKBONES = Registry("backbone", BackboneKind, "jscgc.generator.kinds", "jscgc.backbones")


def build_backbone(channels: int, params: BackboneParams) -> Any:
    """A backbone for latents of `channels` channels: randomly initialised, or with the architecture and weights of
    params.pretrained_path.

    Raises:
        ValueError: sizes that do not fit, or a pretrained model that can't be loaded or has other channels.
    """
    backbone: Any = BACKBONES[params.backbone].build(channels, params)
    if params.gradient_checkpointing:
        backbone.net.enable_gradient_checkpointing()
    return backbone
