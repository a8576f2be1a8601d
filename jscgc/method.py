"""What a method declares: one module of `jscgc/methods/` (or of another package) says all that the rest has to know of it.

Reading the registry imports no torch: what builds and trains a network imports it when it is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jscgc.config import Section, TrainParams
from jscgc.registry import Registry

Group = Literal["generative", "latent_codec", "pixel_codec", "separation"]
"""What its receiver does, in the order in which reports list them: it samples; it reconstructs a VAE's latents, or pixels; it
decodes a file."""
GROUPS: tuple[Group, ...] = ("generative", "latent_codec", "pixel_codec", "separation")
DECODER_LOSSES = frozenset({"efficientnet_lite0"})
"""Networks by which the VAE's decoder is trained, through which every method on latents is seen."""
Folders = Mapping[str, Path]
"""Name of a result that a recipe reads -> its folder."""


_OURS = re.compile(
    r"all|original|photos|latents|vae|metrics|side_by_side|jscgc_(reference|wrong_symbols|unconditional)"
    r"|.+_mean_of_.*|.+_(mean|uncertainty|sample_\d+)"
)
"""What stands beside methods' names: on the command line, among results, stages and the pictures of a transmission."""


def check_name(name: str) -> None:
    """Whether a method may be called that, in any case of letters: file systems may know only one.

    Raises:
        ValueError: the name means something of ours.
    """
    if _OURS.fullmatch(name.casefold()):
        raise ValueError(f"no method can be called {name}: results and files have that name for something else")


@dataclass(frozen=True)
class Look:
    """A line in plots: hue as #rrggbb, dash and marker as plotly names them."""

    hue: str
    dash: str
    marker: str


@dataclass(frozen=True, kw_only=True)
class Network:
    """How a stage makes a network, and how it is built again from its folder.

    `params` is params.yaml, `jscgc.params.Params`; this module stands below it.
    """

    about: str
    """One line, for DVC's stage."""
    needs: tuple[str, ...]
    """Results that the recipe reads: `photos`, `latents`, `vae`, or another network's name."""
    section: str
    """Dotted key of params.yaml with its own settings; NAME is trained only if params.yaml has its `baselines.NAME`."""
    settings: type[Section] | None = None
    """Of `baselines.NAME`, with its defaults; None where `section` is one of params.yaml's fixed sections."""
    metrics: tuple[str, ...] = ()
    """Metrics that it is trained for: their sources are among those that its training depends on."""
    keys: tuple[str, ...] = ()
    """Other keys of params.yaml that its training depends on, beside the seed, the device and the precision."""
    shape: type[Section]
    """What builds it; written into model.json. What is added later has a default."""
    describe: Callable[[Any], Section]
    """params -> the shape."""
    build: Callable[[Any, Any, int], Any]
    """(shape, LatentStatistics, max_rate) -> a randomly initialised nn.Module with planes for max_rate symbols per position."""
    recipe: Callable[..., Any]
    """(params, inputs, folder, log, until=None) -> the trained nn.Module in evaluation mode.

    inputs: name of each of `needs` -> its folder. folder: of checkpoints. log(step, scalars). until: see `training.loop.train`.
    """
    trained_by: str
    """Dotted key of its steps, batch and so on, a `TrainParams`; empty: nothing is trained."""
    link: Callable[[Any], Any] = lambda params: params.link
    """params -> the `LinkParams` that it is trained over."""
    finetunes: bool = False
    """Whether section `finetune` may name it: the recipe then goes on from a model of its own among `inputs`."""
    steps: Callable[[Any], int | None] = lambda params: None
    """params -> training steps, where they are not those of `trained_by`."""
    record: Callable[[Any], Mapping[str, Any] | None] = lambda params: None
    """params -> how it was really trained, where that is not what params.yaml says (a network that is passed through)."""
    pixels: bool = False
    """Whether it sends pixels and no VAE's latents."""
    multiple: int = 16
    """Images are padded to multiples of this many pixels; a VAE may ask for more."""
    starts_from: tuple[str, ...] = ()
    """Of `needs`, what gives it its start and nothing else: not read where it starts from the one that comes with the package."""
    starts_from_shipped: bool = False
    """Whether `init: finetune` trains on the one that comes with the package."""
    ships: bool = False
    """Whether it comes with the package."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Parts that are other networks, bit for bit, where it ships: part -> their name."""

    def __post_init__(self) -> None:
        if not self.pixels and not set(self.needs) - {"photos", "vae"}:
            raise ValueError("a network on latents needs `latents`, or another network, whose statistics it takes over")

    def training(self, params: Any) -> TrainParams | None:
        """Steps, batch and so on; None: nothing is trained."""
        if not self.trained_by:
            return None
        settings: TrainParams = params.at(self.trained_by)
        steps = self.steps(params)
        return settings.model_copy(update={"steps": steps}) if steps else settings


@dataclass(frozen=True, kw_only=True)
class Part:
    """A network that is no method, such as the prior."""

    name: str
    network: Network
    order: int = 0


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way of sending photographs: trained (`network`), or made as it is (`system`)."""

    name: str
    label: str
    """For people, in reports."""
    group: Group
    order: int = 1000
    look: Look | None = None
    """In plots; None: whatever is free."""
    network: Network | None = None
    system: Callable[[], Any] | None = None
    """Makes a `systems.base.SeparatedSystem` or `System` that needs no training."""
    lacks: Callable[[], str | None] = lambda: None
    """What it needs here and has not, in one line; None if it can run."""
    ideal: bool = False
    """Whether its channel code is one that no real code reaches: reports say so."""
    samples: bool = False
    """Whether its receiver draws samples: the sampler's settings then act."""
    receives_by: tuple[str, ...] = ()
    """Keys of params.yaml that act when it receives, not when it is trained."""
    losses: tuple[str, ...] = ()
    """Networks whose features its losses used; such a network's metrics can't judge it."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if (self.network is None) == (self.system is None):
            raise ValueError(f"method {self.name}: give either network (trained) or system (nothing to train)")

    @property
    def loss_networks(self) -> frozenset[str]:
        """Networks whose features were in a loss of anything that it receives by: its own, and the VAE's decoder's."""
        on_latents = self.network is not None and not self.network.pixels
        return frozenset(self.losses) | (DECODER_LOSSES if on_latents else frozenset())


METHODS = Registry("method", Method, "jscgc.methods", "jscgc.methods")
PARTS = Registry("part", Part, "jscgc.methods", "jscgc.parts")


def trainable() -> dict[str, Network]:
    """Every network that can be trained by name: the parts first, then the methods in order."""
    every = [*PARTS, *METHODS]
    return {one.name: one.network for one in every if one.network is not None}


def network(name: str) -> Network:
    """The network of a part or method.

    Raises:
        ValueError: there is none of that name, or nothing of it is trained.
    """
    declared = PARTS[name].network if name in PARTS else METHODS[name].network
    if declared is None:
        raise ValueError(f"{name} has no network: nothing of it is trained")
    return declared


def parted(result: str) -> tuple[str, str]:
    """Method and link of a fine-tuned model, METHOD-LINK; of any other result its name, and no link."""
    name, _, link = result.partition("-")
    return name, link


def own_sections() -> dict[str, type[Section]]:
    """Name -> settings of every method that is trained only if params.yaml has `baselines.NAME`."""
    return {name: network.settings for name, network in trainable().items() if network.settings is not None}
