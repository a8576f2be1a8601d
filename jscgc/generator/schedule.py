"""What the scheduler beside a pretrained generator says: the shift of its grid of times, and that its direction is ours.

Read from `scheduler/scheduler_config.json` of the pipeline that the model belongs to; no torch, no diffusers.

The classes that are read step along a straight path, x_s = (1 - s) x0 + s eps, by x += (s' - s) v with v = E[eps - x0 | x_s],
from s = 1 (noise) to s = 0: the paper's time and sign, and ours. With a constant `shift` their grid is `flow.samplers.Grid`.
What the transformer itself predicts, and in which time, is fixed by its class and turned in `generator.kinds`
(ZImageTransformer2DModel: x0 - eps, in 1 - t). N steps of ours are N of ZImagePipeline's, from 1, 1 - 1/N, ... 1/N before the
shift, as diffusers 0.42 has it (a test holds them together).
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
STRAIGHT = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
"""Classes of that path, time and sign."""
OTHER_GRIDS = (
    "use_dynamic_shifting",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "shift_terminal",
    "invert_sigmas",
    "stochastic_sampling",
)
"""Settings with which the grid is no constant shift, or the path another."""
FILE = "scheduler/scheduler_config.json"
DISTILLED = re.compile(r"turbo|distill|lightning|schnell|hyper|(^|[-_/])lcm", re.IGNORECASE)
"""In the names of models that were distilled to few steps."""


def read_shift(path: str, what: str = "generator.pretrained_path") -> float:
    """s of t = s u / (1 + (s - 1) u), by the scheduler of a pipeline.

    Args:
        path: folder or hub id of the pipeline, or the folder of its transformer.
        what: the key that names it, for errors.

    Raises:
        ValueError: it can't be read, or describes no such grid; says what to do.
    """
    remedy = "; state time_shift as a number"
    try:
        config = json.loads(_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{what} {path!r}: no {FILE} can be read beside it ({reason:.200}){remedy}") from None
    return _shift(config, f"{what} {path!r}: {FILE}", remedy)


def _shift(config: Any, where: str, remedy: str) -> float:
    kind = config.get("_class_name") if isinstance(config, dict) else None
    if kind not in STRAIGHT:
        raise ValueError(f"{where}: its class {kind!r} is none of {', '.join(STRAIGHT)}, whose time and sign are ours")
    if odd := [key for key in OTHER_GRIDS if config.get(key)]:
        raise ValueError(f"{where}: {odd[0]} is set, which is no constant shift of the times{remedy}")
    shift = config.get("shift", 1.0)
    if isinstance(shift, bool) or not isinstance(shift, int | float) or not 0 < shift < float("inf"):
        raise ValueError(f"{where}: shift is {shift!r}, not a positive number{remedy}")
    return float(shift)


def _file(path: str) -> Path:
    folder = Path(path)
    if folder.is_dir():
        places = [folder / FILE, folder.parent / FILE]
        return next((place for place in places if place.is_file()), places[0])
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(path, FILE))


def warn_if_distilled(path: str, what: str = "generator.pretrained_path") -> None:
    """One line of warning if a model is of few steps, by its own name or by what its model_index.json says."""
    names = ["/".join(Path(path).parts[-2:])]
    index = Path(path) / "model_index.json"
    if index.is_file():
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        if isinstance(content, dict):
            names += [str(content.get("_name_or_path", "")), "distilled" * (content.get("is_distilled") is True)]
    if any(DISTILLED.search(name) for name in names):
        log.warning(
            "%s %r is distilled to few steps: its field is not that of the loss (4), so many steps and the estimate of "
            "I(X; Y_hat) are not meant for it; the undistilled model is %s",
            what,
            path,
            UNDISTILLED,
        )


UNDISTILLED = "Tongyi-MAI/Z-Image"
"""The hub id of the paper's generator."""
