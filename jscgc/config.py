"""What every section of params.yaml is made of, and how a file of parameters is read.

An unknown key, a wrong type or a value out of range is one error that names the key and what is allowed. A section stands beside
what it configures (`encoder/params.py` and so on), a method's own with the method; `jscgc.params` puts them together.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

Positive = Annotated[int, Field(gt=0, lt=2**31)]
Width = Annotated[int, Field(gt=0, le=2**16)]
Depth = Annotated[int, Field(gt=0, le=1024)]
Levels = Annotated[list[Width], Field(max_length=16)]
"""A size for each level of a network."""
Rate = Annotated[int, Field(gt=0, le=60)]
"""Complex symbols per position of the 1/16 grid: CBR = rate / 768."""


UserPath = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path (or a hub's id), in which `~` is the user's home."""


def one_zero(value: Any) -> Any:
    """The same with 0.0 for -0.0, which is equal to it and would have another key."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {key: one_zero(inner) for key, inner in value.items()}
    return type(value)(map(one_zero, value)) if isinstance(value, list | tuple) else value


class Section(BaseModel):
    """A frozen part of params.yaml; unknown keys are errors, numbers are finite and have one zero."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        return one_zero(value)

    def named(self) -> tuple[str, ...]:
        """Modules that its own values name by a registry, such as a backbone's."""
        return ()

    def modules(self) -> set[str]:
        """Those of all sections in it, too."""
        values: list[Any] = [value for _, value in self]
        nested = [one for value in values for one in (value.values() if isinstance(value, dict) else (value,))]
        return set(self.named()).union(*(one.modules() for one in nested if isinstance(one, Section)))


def each_once(names: list[Any]) -> list[Any]:
    if len(set(names)) < len(names):
        raise ValueError(f"a name is there twice: {names}")
    return names


class TrainParams(Section):
    """What every training run has in common."""

    steps: Positive
    batch_size: Positive
    parts: Positive = 1
    """Batches whose gradients are averaged in a step (accumulation); the number of workers that share them must divide it."""
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """The learning rate rises over so many, at most a tenth of `steps`, and falls along a cosine from there."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest global gradient norm."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights that evaluation uses; 0 turns averaging off."""
    checkpoint_every: Positive = 200
    log_every: Positive = 10


class ParamsError(ValueError):
    """params.yaml is wrong; the message names every offending key."""


_MOST_NAMED = 8
_MOST_BITS = 1024
"""Of an integer: what no float holds is no parameter, and Python refuses to print much longer ones."""


def complaints(error: ValidationError, line: Callable[[Sequence[str | int]], str] = lambda place: "") -> str:
    """What pydantic found wrong, in one line: places, reasons and values.

    Args:
        line: what to say before a place, such as its line in a file.
    """

    def text(entry: Any) -> str:
        where = line(entry["loc"]) + (".".join(map(str, entry["loc"])) or "top level")
        reason = " ".join(entry["msg"].removeprefix("Value error, ").split())
        got = "" if isinstance(entry["input"], dict) else f" (got {entry['input']!r:.60})"
        return f"{where:.200}: {reason:.400}{got}"

    texts = [text(entry) for entry in error.errors()]
    more = f"; and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return "; ".join(texts[:_MOST_NAMED]) + more


MOST_YAML = 200_000
"""Characters, and values after aliases are followed, of a file of parameters."""


def _nodes(content: Any, known: dict[int, int]) -> int:
    """Values in nested mappings and lists, each alias counted where it stands; in time linear in the file.

    Raises:
        ValueError: a number beyond all reason.
        RecursionError: nested too deeply, or in itself.
    """
    if isinstance(content, int) and content.bit_length() > _MOST_BITS:
        raise ValueError(f"an integer of {content.bit_length()} bits")
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        inner = [*content, *content.values()] if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_nodes(value, known) for value in inner)
    return known[id(content)]


RELEASED_FROM = ("Tongyi-MAI/Z-Image", "Tongyi-MAI/Z-Image-Turbo")
"""Hub ids whose sizes the code knows: generator and VAE of the paper's profile, and what was distilled from them."""


def read_yaml(path: Path, advice: str = "") -> Any:
    """YAML 1.2 (so that `1e-4`, which `dvc exp run -S` may write, is a number); `advice` is for one whose file is not there."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > MOST_YAML:
            raise ParamsError(f"{path}: {len(text)} characters are no parameters of ours (at most {MOST_YAML})")
        content = YAML(typ="safe", pure=True).load(text)
        if _nodes(content, {}) > MOST_YAML:
            raise ParamsError(f"{path}: its aliases unfold to more than {MOST_YAML} values")
        return content
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file{advice}") from None
    except OSError as error:
        raise ParamsError(f"{path}: can't be read: {error.strerror}") from None
    except ParamsError:
        raise
    except RecursionError:
        raise ParamsError(f"{path}: not valid YAML: nested too deeply") from None
    except (YAMLError, ValueError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def line_of(path: Path, place: Sequence[str | int]) -> int | None:
    """The line, from 1, on which a file of parameters states a place, keys and positions of lists; None: it does not."""
    from ruamel.yaml import YAML

    content: Any = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    line = None
    for key in place:
        try:
            line = content.lc.item(key)[0] if isinstance(key, int) else content.lc.key(key)[0]
            content = content[key]
        except (AttributeError, KeyError, IndexError, TypeError):
            return None
    return None if line is None else line + 1


NAMES_OF_ITS_OWN = ("baselines.", "finetune.links.")
"""Sections of params.yaml whose keys are names that a user, or a profile, gives."""


def overlay(base: Any, changes: Any, where: str = "") -> None:
    """Change mapping `base` in place by the nested mapping `changes`: a profile over params.yaml.

    Raises:
        ParamsError: the overlay names a section that the base has not.
    """
    for key, value in changes.items():
        if isinstance(value, dict) and base.get(key) is not None:
            if not isinstance(base[key], dict):
                raise ParamsError(f"profile: {where}{key} is no section of params.yaml")
            overlay(base[key], value, f"{where}{key}.")
        elif isinstance(value, dict) and key not in base and where not in NAMES_OF_ITS_OWN:
            raise ParamsError(f"profile: {where}{key} is no section of params.yaml")
        else:
            base[key] = value


def read_profile(path: Path, among: Sequence[Path] = ()) -> dict[str, Any]:
    """The changes of a profile's file; with `over: NAME` it states only what differs from the profile NAME beside it.

    Raises:
        ParamsError: no mapping of sections, or over itself.
    """
    changes = read_yaml(path, "; profiles are files, such as pipeline/profiles/paper.yaml")
    if not isinstance(changes, dict):
        raise ParamsError(f"{path}: expected a mapping of sections at the top")
    if (name := changes.pop("over", None)) is None:
        return changes
    below = path.with_name(f"{name}.yaml")
    if below in (path, *among):
        raise ParamsError(f"{path}: over: {name} stands on itself")
    base = read_profile(below, (path, *among))
    _merge(base, changes)
    return base


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def digest(*parts: Any) -> str:
    """Twelve hex digits that identify a configuration (pydantic models, JSON-like values)."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    return hashlib.sha256(json.dumps(one_zero(plain), sort_keys=True).encode()).hexdigest()[:12]
