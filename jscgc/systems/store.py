"""Trained networks on disk: a folder each with model.json (what it is) and weights.safetensors, never pickle.

A model may share parts with the models beside it (DiffJSCC's codec is mambajscc_psnr): model.json then names them and their
checksum, and the weights lie there once; in a folder that was made to be taken elsewhere, within it (`files.companion`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator
from safetensors.torch import load_file
from torch import nn

from jscgc.channel.accounting import GRID
from jscgc.channel.params import LinkParams
from jscgc.config import Rate, Section, complaints
from jscgc.files import atomic, companion, read_json, sha256, write_json
from jscgc.latent.autoencoder import LatentSpace, LatentStatistics, check_weights, load_weights, save_weights
from jscgc.latent.pixels import PIXELS, PixelVae
from jscgc.method import network, trainable
from jscgc.systems.migration import FORMAT, migrated

NAMED = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Architecture(Section):
    """All that is needed to build a network again, and nothing of others; written beside its weights."""

    kind: NAMED
    """A part or method, which knows how it is built."""
    rates: Annotated[list[Rate], Field(min_length=1)]
    max_rate: Rate
    """Symbols per position that the networks have planes for: the largest rate of section `link`."""
    network: SerializeAsAny[Section]
    """Of the kind's own shape."""
    link: LinkParams | None = None
    """What it was fine-tuned for; None: it is the method's general model."""

    @model_validator(mode="before")
    @classmethod
    def _of_its_shape(cls, content: Any) -> Any:
        if isinstance(content, dict) and isinstance(kind := content.get("kind"), str):
            if kind not in trainable():
                raise ValueError(
                    f"no method {kind!r} here; if a plugin declares it, install that, or name its file with --plugin"
                )
            # ValidationErrors pass through as they are.
            content = {**content, "network": network(kind).shape.model_validate(content.get("network"))}
        return content

    @model_validator(mode="after")
    def _has_the_planes(self) -> Architecture:
        if max(self.rates) > self.max_rate:
            raise ValueError(f"rates {self.rates} go beyond max_rate {self.max_rate}")
        return self

    @classmethod
    def of(cls, kind: str, params: Any) -> Architecture:
        """What params.yaml (`jscgc.params.Params`) makes of a part or method."""
        declared = network(kind)
        rates = declared.link(params).rates
        return cls(kind=kind, rates=sorted(rates), max_rate=max(params.link.rates), network=declared.describe(params))

    def finetuned(self, link: LinkParams) -> Architecture:
        """The same network, for this link."""
        return self.model_copy(update={"rates": sorted(link.rates), "link": link})

    def elsewhere(self, name: str, shared: Collection[str] = ()) -> bool:
        """Whether a weight of that name is a pretrained generator's, unchanged, which stays where it came from, or in a part that
        is `shared`."""
        source = getattr(getattr(self.network, "generator", None), "source", "scratch")
        changed = getattr(self.network, "generator_learns", False)
        kept = source == "pretrained" and not changed and "backbone.net." in name and "lora_" not in name
        return kept or name.split(".")[0] in shared


def build(architecture: Architecture, latents: LatentStatistics) -> Any:
    """A randomly initialised network; `latents` are those of `PIXELS` for codecs on pixels."""
    return network(architecture.kind).build(architecture.network, latents, architecture.max_rate)


class Shared(Section):
    """A part of a network that is another model, which lies beside it: `model`, with this SHA-256 of its weights."""

    model: NAMED
    sha256: str


def _known(number: int) -> int:
    if number != FORMAT:
        raise ValueError(f"this jscgc reads formats up to {FORMAT}; install a later version")
    return number


class Description(Section):
    """What model.json says."""

    format: Annotated[int, AfterValidator(_known)]
    architecture: Architecture
    latents: Annotated[LatentStatistics, BeforeValidator(LatentStatistics.of)]
    shared: dict[str, Shared] = Field(default={})
    trained: dict[str, Any] = Field(default={})
    """How it was really trained: dotted keys of params.yaml and their values. Nothing reads it but people."""


def save(
    folder: Path,
    architecture: Architecture,
    latents: LatentStatistics,
    net: nn.Module,
    shared: Mapping[str, str] | None = None,
    trained: Mapping[str, Any] | None = None,
) -> None:
    """Write a trained network: whole or not at all.

    Args:
        trained: how it was trained, for people.
        shared: part of the network (such as `codec`) -> the model beside `folder` that it is, bit for bit, and not written again.

    Raises:
        ValueError: a shared part differs from that model.
    """
    parts = {part: Shared(model=name, sha256=sha256(_weights(folder, name))) for part, name in (shared or {}).items()}
    for part, at in parts.items():
        other = load_file(_weights(folder, at.model))
        state = net.get_submodule(part).state_dict()
        if state.keys() != other.keys() or any(
            not torch.equal(state[n].cpu().to(other[n].dtype), other[n]) for n in state
        ):
            raise ValueError(f"{folder}: its {part} is not the {at.model} beside it")
    with atomic(folder) as temporary:
        temporary.mkdir()
        content: dict[str, Any] = {
            "format": FORMAT,
            "architecture": architecture.model_dump(mode="json", exclude=None if architecture.link else {"link"}),
            "latents": asdict(latents),
            **({"shared": {part: at.model_dump() for part, at in parts.items()}} if parts else {}),
            "trained": dict(trained or {}),
        }
        write_json(temporary / "model.json", content)
        save_weights(net, temporary / "weights.safetensors", partial(architecture.elsewhere, shared=parts))


def _weights(folder: Path, model: str) -> Path:
    return companion(folder, model) / "weights.safetensors"


def _fill_shared(
    net: nn.Module, folder: Path, shared: Mapping[str, Shared], fill: Callable[[nn.Module, Path], None]
) -> None:
    """Load (or check) the parts that lie with the models beside `folder`.

    Raises:
        ValueError: one is missing, damaged or not the one that the model was made with.
    """
    for part, at in shared.items():
        path = _weights(folder, at.model)
        if not path.is_file():
            raise ValueError(f"{folder}: its {part} is the {at.model} beside it, and {path} is missing")
        if sha256(path) != at.sha256:
            raise ValueError(f"{path}: not the {at.model} that {folder.name} was made with")
        child = getattr(net, part, None)
        if not isinstance(child, nn.Module):
            raise ValueError(f"{folder / 'model.json'}: the network has no part {part!r}")
        fill(child, path)


def latent_space(vae: Path | None, latents: LatentStatistics, multiple: int = GRID) -> LatentSpace:
    """The space that a model's latents belong to: the VAE's in a folder, or the pixels themselves, which need none.

    Args:
        multiple: of pixels that the model wants images padded to.

    Raises:
        ValueError: the model was trained on another VAE.
    """
    if latents == PIXELS:
        return LatentSpace(PixelVae(), PIXELS, multiple)
    assert vae is not None
    return LatentSpace.load(vae, latents, multiple)


@dataclass(frozen=True)
class Trained:
    """A network from disk, in evaluation mode, with what it is."""

    architecture: Architecture
    latents: LatentStatistics
    net: Any
    trained: Mapping[str, Any]


def load(folder: Path) -> Trained:
    """Read a folder that `save` wrote.

    Raises:
        ValueError: missing or damaged; says what to do.
    """
    if not (folder / "model.json").exists():
        raise ValueError(f"{folder}: no trained model here; train with `dvc repro`, or name the place with --models")
    description = describe(folder)
    architecture, latents, shared = description.architecture, description.latents, description.shared
    elsewhere = partial(architecture.elsewhere, shared=shared)
    if getattr(getattr(architecture.network, "generator", None), "source", "scratch") == "scratch":
        # First without memory: a description may ask for more than there is, its weights have the sizes that they have.
        with torch.device("meta"):
            sketch = _built(architecture, latents, folder)
        _fill_shared(sketch, folder, shared, check_weights)
        check_weights(sketch, folder / "weights.safetensors", elsewhere)
    net = _built(architecture, latents, folder)
    _fill_shared(net, folder, shared, load_weights)
    load_weights(net, folder / "weights.safetensors", elsewhere)
    return Trained(architecture, latents, net.eval(), description.trained)


def describe(folder: Path) -> Description:
    """What a folder's model.json says, of whatever format; nothing is built.

    Raises:
        ValueError: it is damaged, or of a later format.
    """
    path = folder / "model.json"
    try:
        return Description.model_validate(migrated(read_json(path)))
    except ValidationError as error:
        raise ValueError(f"{path}: not a model description: {complaints(error)}") from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: not a model description, nor one of an earlier format") from None


def _built(architecture: Architecture, latents: LatentStatistics, folder: Path) -> Any:
    try:
        return build(architecture, latents)
    except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{folder / 'model.json'}: no such network can be built ({reason:.600})") from None
