"""Systems by name: which are trained in a folder of models, and making one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.files import SHIPPED, companion
from jscgc.method import METHODS

if TYPE_CHECKING:
    import torch

    from jscgc.systems.base import SeparatedSystem, System
    from jscgc.systems.latent import LatentSystem


def trained_systems(models: Path) -> list[str]:
    """Names of the systems that lie trained in a folder of models."""
    return [method.name for method in METHODS if method.network and (models / method.name / "model.json").exists()]


def asked_systems(asked: Sequence[str], models: Path) -> list[str]:
    """Names as a user gives them, each once; `all` stands for every trained one.

    Raises:
        ValueError: nothing is left, because nothing is trained.
    """
    trained = trained_systems(models) if "all" in asked else []
    names = list(dict.fromkeys(name for one in asked for name in (trained if one == "all" else [one])))
    if not names:
        raise ValueError(
            f"{models}: no trained models here; train with `make reproduce`, or name the place with --models"
        )
    return names


def load_system(
    name: str, models: Path = SHIPPED, device: torch.device | str = "cpu", precision: str = "float32"
) -> LatentSystem | SeparatedSystem | System:
    """A system by name, from a folder of models (those that come with the package unless told otherwise); one that is not
    trained needs none.

    Args:
        precision: that its networks compute in, as `resolve_precision` takes it; nothing is measured for what has none.

    Raises:
        ValueError: no such method (suggests the nearest), or it is not trained; no such precision.
    """
    method = METHODS[name]
    if lacks := method.lacks():
        raise ValueError(f"{name} can't run here: {lacks}")
    if method.system is not None:
        made: SeparatedSystem | System = method.system()
        return made
    return load_folder(models / name, device, precision)


def load_folder(folder: Path, device: torch.device | str = "cpu", precision: str = "float32") -> LatentSystem:
    """The system that lies trained in a folder, whatever that is called; what it needs lies in it or beside it.

    Raises:
        ValueError: it can't be read, or is the model of no method; no such precision.
    """
    # Only here: what is not trained needs none of it.
    import torch

    from jscgc.precision import resolve_precision
    from jscgc.systems import store
    from jscgc.systems.latent import LatentSystem

    trained = store.load(folder)
    name = trained.architecture.kind
    network = METHODS[name].network
    assert network is not None
    space = store.latent_space(companion(folder, "vae"), trained.latents, network.multiple)
    # Convolutions are fast in no other layout, in bfloat16 least of all.
    for part in (space, trained.net):
        part.to(device).to(memory_format=torch.channels_last)
    rates = tuple(trained.architecture.rates)
    return LatentSystem(name, space, trained.net, rates, resolve_precision(precision, device))
