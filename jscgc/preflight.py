"""What a run needs and this machine has not, asked before anything is trained: metrics, and pretrained models. No torch here.

A run of days that ends for want of a file is what this is for: all that is missing is one error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jscgc.generator.schedule import FILE as SCHEDULER_FILE
from jscgc.generator.schedule import read_shift, warn_if_distilled
from jscgc.params import Params

SECONDS = 10.0
"""To wait for the hub, of which one small file is asked for."""


@dataclass(frozen=True)
class Needed:
    """A file of a pretrained model: the key that names the model, its folder or hub id, the file's folder below that ("" none),
    its name, and whether weights lie beside it."""

    key: str
    path: str
    subfolder: str
    file: str = "config.json"
    weights: bool = True

    @property
    def inside(self) -> str:
        """The file below the model's folder."""
        return f"{self.subfolder}/{self.file}" if self.subfolder else self.file


def check(params: Params) -> None:
    """Whether every metric that is named can run here, and every pretrained model is here or can be had from the hub.

    Raises:
        ValueError: one line with all that is missing.
    """
    said: list[str] = []
    try:
        params.evaluate.check_metrics()
    except ValueError as error:
        said.append(str(error))
    said += [reason for needed in _needed(params) if (reason := _missing(needed))]
    if (
        params.scheduled
        and params.generator.scheduler_shift is None
        and Path(params.generator.pretrained_path).is_dir()
    ):
        try:
            read_shift(params.generator.pretrained_path)
        except ValueError as error:
            said.append(str(error))
    if said:
        raise ValueError("; and ".join(said))
    if params.generator.source == "pretrained":
        warn_if_distilled(params.generator.pretrained_path)


def _needed(params: Params) -> Iterator[Needed]:
    vae, generator = params.vae, params.generator
    if vae.source == "pretrained":
        yield Needed("vae.pretrained_path", vae.pretrained_path, vae.pretrained_subfolder)
    if generator.source == "pretrained":
        yield Needed("generator.pretrained_path", generator.pretrained_path, generator.pretrained_subfolder)
        if params.scheduled and generator.scheduler_shift is None and not Path(generator.pretrained_path).is_dir():
            folder, file = SCHEDULER_FILE.split("/")
            yield Needed("generator.pretrained_path", generator.pretrained_path, folder, file, weights=False)
    if generator.caption_path:
        yield Needed("generator.caption_path", generator.caption_path, "text_encoder")
    if params.jscgc.adapter.controlnet_path:
        yield Needed("jscgc.adapter.controlnet_path", params.jscgc.adapter.controlnet_path, "")


def _missing(needed: Needed) -> str | None:
    """None if a model is there or can be had, else one line."""
    folder, named = Path(needed.path), f"{needed.key} {needed.path!r}"
    if folder.is_dir():
        there = folder / needed.inside
        if not there.is_file():
            return f"{named}: the folder has no {needed.inside}"
        lacking = _lacking(there) if needed.weights else None
        return f"{named}: {there.parent} has no {lacking}" if lacking else None
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(needed.path, needed.inside)
    except HFValidationError:
        return f"{named}: no such folder, and no id of the hub"
    lacking = needed.inside
    if isinstance(cached, str):
        if not needed.weights or not (absent := _lacking(Path(cached))):
            return None
        lacking = absent
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    elif not (reason := _unreachable(needed) or ""):
        return None
    return (
        f"{named}: no such folder, the hub's cache ({constants.HF_HUB_CACHE}) has no {lacking} of it, and {reason}; "
        f"where there is a network: `hf download {needed.path}`"
    )


def _lacking(config: Path) -> str | None:
    """Which file of weights is not beside a model's configuration."""
    folder = config.parent
    for index in sorted(folder.glob("*.safetensors.index.json")):
        try:
            files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return index.name
        return next((file for file in sorted(files) if not (folder / file).is_file()), None)
    return None if any(folder.glob("*.safetensors")) else "*.safetensors"


def _unreachable(needed: Needed) -> str | None:
    """Why the hub does not give a file; None if it would."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(needed.path, needed.inside), timeout=SECONDS)
    except Exception as error:  # of whatever kind: those of the hub's HTTP client, which it changes
        first = " ".join(str(error).split())
        return f"the hub can't be asked for it ({type(error).__name__}: {first:.120})"
    return None
