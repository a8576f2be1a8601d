"""Systems by name: which are trained in a folder of models, and making one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.channel.accounting import RATES, parse_rate
from jscgc.channel.spec import told
from jscgc.files import SHIPPED, companion
from jscgc.method import METHODS, parted

if TYPE_CHECKING:
    import torch

    from jscgc.channel.params import LinkParams
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


def model_for(
    name: str, models: Path, channel: str, snr_db: float, rate: int, among: Collection[str] | None = None
) -> str:
    """The folder's name of the model that a trained method sends with over a link: the one fine-tuned for it, of several the
    narrowest (`LinkParams.breadth`); else the method's general one.

    Args:
        among: the fine-tuned models that count; None: all that lie there.

    Raises:
        ValueError: some are fine-tuned, and neither they nor the general one send that.
    """
    from jscgc.systems.store import describe

    at = told(channel), float(snr_db), rate
    tuned = [(model, link) for model, link in finetuned(name, models) if among is None or model in among]
    covering = [(link.breadth, model) for model, link in tuned if link.covers(*at)]
    if covering:
        return min(covering)[1]
    if tuned and rate not in (general := describe(models / name).architecture.rates):
        links = ", ".join(parted(model)[1] for model, _ in tuned)
        sent = ", ".join(f"{one}/768" for one in general)
        raise ValueError(
            f"{models}: no model of {name} sends {rate}/768 over {at[0]} at {at[1]:g} dB; fine-tuned are {links}, "
            f"the general one sends {sent}"
        )
    return name


def sender(name: str, models: Path, channel: str, snr_db: float, cbr: str) -> str:
    """As `model_for`, for a CBR such as `8/768`; of a method without fine-tuned models its own name, whatever is asked.

    Raises:
        ValueError: not a CBR; as `model_for`.
    """
    return model_for(name, models, channel, snr_db, parse_rate(cbr, RATES)) if finetuned(name, models) else name


def finetuned(name: str, models: Path) -> list[tuple[str, LinkParams]]:
    """Names of a method's fine-tuned models in a folder, METHOD-LINK, and the link that each is for."""
    from jscgc.systems.store import describe

    found = (path.parent for path in sorted(models.glob(f"{name}-*/model.json")))
    return [(folder.name, link) for folder in found if (link := describe(folder).architecture.link)]


def load_system(
    name: str, models: Path = SHIPPED, device: torch.device | str = "cpu", precision: str = "float32"
) -> LatentSystem | SeparatedSystem | System:
    """A system by name, from a folder of models (those that come with the package unless told otherwise); one that is not
    trained needs none.

    Args:
        name: a method's, or METHOD-LINK of a model that was fine-tuned for a link.
        precision: that its networks compute in, as `resolve_precision` takes it; nothing is measured for what has none.

    Raises:
        ValueError: no such method (suggests the nearest), or it is not trained; no such precision.
    """
    method = METHODS[parted(name)[0]]
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
