"""What training starts from of the models that come with the package, for every `init` but scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from jscgc.files import SHIPPED, read_json
from jscgc.latent.autoencoder import LatentStatistics, load_vae
from jscgc.latent.nano_vae import NanoVae
from jscgc.method import PARTS
from jscgc.systems import store
from jscgc.systems.params import PriorShape
from jscgc.systems.receiver import Prior
from jscgc.systems.store import Architecture, Trained
from jscgc.training.widen import widen

if TYPE_CHECKING:
    from jscgc.params import Params

KEEPS_PRIOR, STARTS_FROM_SHIPPED = ("shipped", "finetune"), ("finetune", "widen")
"""`init` with which VAE and prior stay the shipped ones; with which codec, JSCGC and DiffJSCC start from the shipped ones."""


def shipped_vae(params: Params) -> NanoVae:
    """The VAE that comes with the package, for `init: shipped` and `finetune`.

    Raises:
        ValueError: section vae states other sizes.
    """
    vae = load_vae(SHIPPED / "vae")
    assert isinstance(vae, NanoVae)
    stated = {key: getattr(params.vae, key) for key in ("channels", "width", "depth")}
    _as_shipped(params, "vae", stated, read_json(SHIPPED / "vae" / "model.json"))
    return vae


def shipped_prior(params: Params) -> Prior:
    """The prior that comes with the package, for `init: shipped` and `finetune`.

    Raises:
        ValueError: section generator states other sizes.
    """
    shipped = store.load(SHIPPED / "flow")
    _same_generator(params, shipped)
    assert isinstance(shipped.net, Prior)
    return shipped.net


def _same_generator(params: Params, shipped: Trained) -> None:
    known = shipped.architecture.network
    assert isinstance(known, PriorShape)
    stated = {key: getattr(params.generator, key) for key in ("backbone", "widths", "depth")}
    _as_shipped(params, "generator", stated, vars(known.generator))


def _as_shipped(params: Params, section: str, stated: Mapping[str, Any], shipped: Mapping[str, Any]) -> None:
    for key, value in stated.items():
        if shipped[key] != value:
            raise ValueError(
                f"init {params.init}: the {section} that comes with the package has {key} {shipped[key]}, params.yaml says "
                f"{value}; set {section}.{key}: {shipped[key]}, or init: scratch"
            )


def from_shipped(net: nn.Module, kind: str, params: Params) -> None:
    """Give a network the weights of the one that comes with the package, for `init: finetune` and `widen`.

    Raises:
        ValueError: the parameters describe another network; says which part or weight.
    """
    shipped = store.load(SHIPPED / kind)
    wanted, known = Architecture.of(kind, params), shipped.architecture
    if kind == "flow":
        _same_generator(params, shipped)
    else:
        stated, there = (architecture.network.model_dump()["encoder"] for architecture in (wanted, known))
        _as_shipped(params, "encoder", stated, there)
        _as_shipped(params, "link", {"rates": wanted.rates}, {"rates": known.rates})
    try:
        if params.init == "widen":
            widen(shipped.net, net, shipped.latents.channels, params.vae.channels)
        else:
            net.load_state_dict(shipped.net.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"init {params.init}: the {kind} that comes with the package has another generator, adapter or kind of tuning than "
            f"params.yaml ({str(error).splitlines()[-1].strip():.200}); set what they share, or init: scratch"
        ) from None


def check_start(params: Params) -> None:
    """Whether all that `init: finetune` or `widen` trains on can be: asked before the first of them is trained for hours.

    Raises:
        ValueError: as `from_shipped`.
    """
    channels = params.vae.channels
    latents = LatentStatistics([0.0] * channels, [1.0] * channels, NanoVae.factor, "")
    for kind, network in params.trained.items():
        passed_through = kind in PARTS and params.init == "finetune"
        if network.starts_from_shipped and not passed_through:
            from_shipped(store.build(Architecture.of(kind, params), latents), kind, params)


def shipped_record(kind: str) -> Mapping[str, Any]:
    """How the one that comes with the package was trained."""
    return store.describe(SHIPPED / kind).trained


def shipped_statistics() -> LatentStatistics:
    """Those of the latents that the prior which comes with the package knows."""
    return store.describe(SHIPPED / "flow").latents


def widen_vae(vae: NanoVae, params: Params) -> NanoVae:
    """Start a VAE from the one that comes with the package, which is returned.

    Raises:
        ValueError: it has not fewer channels, or other sizes.
    """
    known = load_vae(SHIPPED / "vae")
    assert isinstance(known, NanoVae)
    sizes = read_json(SHIPPED / "vae" / "model.json")
    _as_shipped(params, "vae", {key: getattr(params.vae, key) for key in ("width", "depth")}, sizes)
    if vae.channels <= known.channels:
        raise ValueError(
            f"init widen: the vae that comes with the package has {known.channels} channels already, params.yaml says "
            f"{vae.channels}; set vae.channels to more, or init: finetune"
        )
    widen(known, vae, known.channels, vae.channels)
    return known
