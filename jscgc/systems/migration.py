"""model.json of earlier formats, read as today's.

Format 1 (without a number) held every section of params.yaml, those of a network's competitors too. Format 2 holds what builds
that network, and beside it how it was trained.
"""

from __future__ import annotations

from typing import Any

FORMAT = 2
_RECEIVERS = ("jscgc", "diffjscc", "jscgc_fast")


def migrated(content: Any) -> Any:
    """The content of a model.json in today's format; what is no model.json of ours stays as it is.

    Raises:
        KeyError, TypeError, AttributeError: of the first format, but something is missing.
    """
    if not isinstance(content, dict) or "format" in content or not isinstance(old := content.get("architecture"), dict):
        return content
    kind = old["kind"]
    known = {"kind", "rates", "max_rate", "encoder", "generator", "jscgc", "few_step", "baselines"}
    new = {key: old[key] for key in ("kind", "rates", "max_rate")} | {key: old[key] for key in old.keys() - known}
    rest = {key: value for key, value in content.items() if key != "architecture"}
    return {
        "format": FORMAT,
        **rest,
        "architecture": new | {"network": _shape(kind, old)},
        "trained": _trained(kind, old),
    }


def _shape(kind: str, old: dict[str, Any]) -> dict[str, Any]:
    generator = {key: value for key, value in old["generator"].items() if key != "train"}
    if kind == "flow":
        return {"generator": generator}
    if kind == "diffcom":
        return {"encoder": old["encoder"], "generator": generator, **old["baselines"]["diffcom"]}
    if kind in _RECEIVERS:
        shape = {"encoder": old["encoder"], "generator": generator}
        shape |= _of(old["jscgc"], "adapter", "tuning", "lora_rank")
        return shape | (_of(old["few_step"], "steps", "time_shift") if kind == "jscgc_fast" else {})
    if kind in ("deepjscc", "swinjscc"):
        settings: dict[str, Any] = old["baselines"][kind]
        return settings
    return {"encoder": old["baselines"]["mamba_pixels"] if kind.endswith("_pixels") else old["encoder"]}


def _trained(kind: str, old: dict[str, Any]) -> dict[str, Any]:
    """What of it was that network's own training."""
    if kind == "flow":
        return {"generator.train": old["generator"]["train"]}
    if kind == "jscgc_fast":
        return {"few_step": old["few_step"]}
    if kind in _RECEIVERS:
        return {"jscgc": old["jscgc"]}
    if kind in ("mambajscc_psnr", "diffcom"):
        return {}  # the section of the one was not written down, and nothing of the other is trained
    if kind.startswith(("mambajscc_feature", "mambajscc_lpips")):
        return {f"baselines.{kind}": _of(old["baselines"]["perceptual"], "distortion", "crop", "train")}
    pixels = old["baselines"]["pixels"]
    train = pixels["train"] | {"steps": pixels.get("steps", {}).get(kind, pixels["train"]["steps"])}
    return {f"baselines.{kind}": {"crop": pixels["crop"], "train": train}}


def _of(section: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Those of the keys that a section has; what it lacks was added later and has a default."""
    return {key: section[key] for key in keys if key in section}
