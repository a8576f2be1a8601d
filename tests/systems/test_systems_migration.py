"""model.json of earlier formats: the same network, nothing of its competitors, and how it was trained.

`format1` holds model.json as they were before the format had a number: those of the shipped models, and tiny ones of methods that
do not ship.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from jscgc.files import SHIPPED, read_json, write_json
from jscgc.method import METHODS, network
from jscgc.systems import store
from jscgc.systems.migration import FORMAT, migrated
from jscgc.systems.params import ReceiverShape

FORMAT1 = Path(__file__).parent / "format1"
GOLDEN: dict[str, tuple[int, str]] = {
    "deepjscc": (28, "5e9af5ccd96cfd7e"),
    "diffcom": (270, "b6b09388de166630"),
    "diffjscc": (395, "c81af531008f6a7e"),
    "flow": (134, "5237cab39923041d"),
    "jscgc": (397, "905a7b4f5800f91e"),
    "jscgc_fast": (323, "1817dec89c69f3ea"),
    "mambajscc_feature_pixels": (136, "5fe6b84bfb7fcf13"),
    "mambajscc_psnr": (136, "b4b7a407474cf9ab"),
    "swinjscc": (208, "fcb43f3460a56729"),
}
"""Number of tensors, and digest of their names and shapes in order, as the code of format 1 built them."""
TRAINED: dict[str, set[str]] = {
    "deepjscc": {"baselines.deepjscc"},
    "diffcom": set(),
    "diffjscc": {"jscgc"},
    "flow": {"generator.train"},
    "jscgc": {"jscgc"},
    "jscgc_fast": {"few_step"},
    "mambajscc_feature_pixels": {"baselines.mambajscc_feature_pixels"},
    "mambajscc_psnr": set(),
    "swinjscc": {"baselines.swinjscc"},
}
"""Format 1 did not write down the codec's training."""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Makes the folder of a model with this description."""

    def written(content: Any) -> Path:
        write_json(tmp_path / "model.json", content)
        return tmp_path

    return written


def old(kind: str) -> Any:
    return read_json(FORMAT1 / f"{kind}.json")


def test_every_shipped_model_is_among_them() -> None:
    assert {path.stem for path in FORMAT1.glob("*.json")} == GOLDEN.keys() == TRAINED.keys()
    shipped = {path.parent.name for path in SHIPPED.glob("*/weights.safetensors")}
    assert shipped - {"vae", "jscgc_one_step", "klt"} < GOLDEN.keys()  # these are younger than the format


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_an_old_description_builds_the_same_network(kind: str, write: Callable[[Any], Path]) -> None:
    found = store.describe(write(old(kind)))
    with torch.device("meta"):
        state = store.build(found.architecture, found.latents).state_dict()
    lines = "".join(f"{name} {list(value.shape)}\n" for name, value in state.items())
    print(f'    "{kind}": ({len(state)}, "{hashlib.sha256(lines.encode()).hexdigest()[:16]}"),')
    assert (len(state), hashlib.sha256(lines.encode()).hexdigest()[:16]) == GOLDEN[kind], lines


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_it_keeps_what_builds_that_network_and_nothing_of_others(kind: str, write: Callable[[Any], Path]) -> None:
    before = old(kind)
    found = store.describe(write(before))
    assert (found.architecture.kind, found.format) == (kind, FORMAT)
    for key in ("rates", "max_rate"):
        assert getattr(found.architecture, key) == before["architecture"][key]
    assert vars(found.latents) == before["latents"]
    assert {part: at.model_dump() for part, at in found.shared.items()} == before.get("shared", {})
    assert type(found.architecture.network) is network(kind).shape
    kept = json.dumps(found.model_dump(mode="json", exclude={"trained", "latents", "shared"}))
    strangers = {
        "swinjscc",
        "deepjscc",
        "few_step",
        "perceptual",
        "mamba_pixels",
        "baselines",
        "learning_rate",
        "batch_size",
    }
    assert not [name for name in strangers - {kind} if name in kept]


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_it_says_how_it_was_trained(kind: str, write: Callable[[Any], Path]) -> None:
    before = old(kind)["architecture"]
    trained = store.describe(write(old(kind))).trained
    assert trained.keys() == TRAINED[kind]
    if kind in ("jscgc", "diffjscc"):
        assert trained == {"jscgc": before["jscgc"]}
    elif kind == "jscgc_fast":
        assert trained == {"few_step": before["few_step"]}
    elif kind == "flow":
        assert trained == {"generator.train": before["generator"]["train"]}
    elif kind in ("deepjscc", "swinjscc"):
        own = before["baselines"]["pixels"]
        assert trained[f"baselines.{kind}"] == {"crop": own["crop"], "train": own["train"]}
    elif kind == "mambajscc_feature_pixels":
        own = before["baselines"]["perceptual"]
        assert trained[f"baselines.{kind}"] == {key: own[key] for key in ("distortion", "crop", "train")}


def test_steps_of_its_own_are_the_steps_that_a_codec_on_pixels_was_trained_for() -> None:
    content = old("deepjscc")
    content["architecture"]["baselines"]["pixels"]["steps"] = {"deepjscc": 1700}
    train = migrated(content)["trained"]["baselines.deepjscc"]["train"]
    assert train == content["architecture"]["baselines"]["pixels"]["train"] | {"steps": 1700}


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_what_is_written_again_reads_the_same_and_is_left_alone(
    kind: str, write: Callable[[Any], Path], tmp_path: Path
) -> None:
    found = store.describe(write(old(kind)))
    again = {
        "format": FORMAT,
        "architecture": found.architecture.model_dump(mode="json"),
        "latents": vars(found.latents),
        "shared": {part: at.model_dump() for part, at in found.shared.items()},
        "trained": found.trained,
    }
    assert migrated(again) is again
    assert store.describe(write(again)) == found


@pytest.mark.parametrize("number", [FORMAT + 1, 0, 1])
def test_an_unknown_format_is_one_line(number: int, write: Callable[[Any], Path]) -> None:
    content = migrated(old("jscgc")) | {"format": number}
    with pytest.raises(ValueError, match=rf"model\.json: .*format: this jscgc reads formats up to {FORMAT}") as caught:
        store.describe(write(content))
    assert "\n" not in str(caught.value) and "install a later version" in str(caught.value)


@pytest.mark.parametrize("missing", ["kind", "rates", "encoder", "generator", "jscgc"])
def test_an_old_description_that_lacks_something_is_one_line(missing: str, write: Callable[[Any], Path]) -> None:
    content = old("jscgc")
    del content["architecture"][missing]
    with pytest.raises(ValueError, match=r"model\.json: not a model description") as caught:
        store.describe(write(content))
    assert "\n" not in str(caught.value)


class Later(ReceiverShape):
    """As if a setting had been added since."""

    added_since: int = 7


@pytest.mark.parametrize("content", [old("jscgc"), migrated(old("jscgc"))], ids=["format 1", "format 2"])
def test_a_setting_that_is_added_later_leaves_old_files_readable(
    content: Any, write: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = METHODS["jscgc"].network
    assert known is not None
    monkeypatch.setattr(store, "network", lambda kind: replace(known, shape=Later))
    found = store.describe(write(content)).architecture.network
    assert isinstance(found, Later) and found.added_since == 7


@pytest.mark.parametrize(
    ("kind", "section", "key"),
    [("jscgc", "jscgc", "lora_rank"), ("jscgc_fast", "few_step", "time_shift"), ("jscgc", "encoder", "window")],
)
def test_what_had_a_default_in_format_1_may_be_missing(
    kind: str, section: str, key: str, write: Callable[[Any], Path]
) -> None:
    content = old(kind)
    del content["architecture"][section][key]
    store.describe(write(content))


@pytest.mark.parametrize("kind", sorted({path.parent.name for path in SHIPPED.glob("*/model.json")} & GOLDEN.keys()))
def test_what_ships_is_of_the_architecture_that_it_had(kind: str) -> None:
    """However its model.json is written today."""
    architecture = migrated(old(kind))["architecture"]
    assert store.describe(SHIPPED / kind).architecture == store.Architecture.model_validate(architecture)
