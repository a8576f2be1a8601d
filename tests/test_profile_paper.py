"""The profiles of the paper's own experiment: whole, and alike but for sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jscgc.config import read_profile, read_yaml
from jscgc.params import Params, load_params
from jscgc.tracking.spool import flat

ROOT = Path(__file__).parents[1]
PROFILES = ROOT / "pipeline" / "profiles"
MACHINE = {
    "tracking.checkpoints",
    "distributed.workers",
    "distributed.cpus_per_worker",
    "distributed.strategy",
    "evaluate.cpus_per_worker",
    "evaluate.gpus_per_worker",
    "evaluate.store",
    "seed",
}
"""What nano may say for paper: on what it runs, and what is drawn; not what."""
UNUSED = {
    *(f"vae.{key}" for key in ("width", "depth", "kl_weight", "crop", "colour", "sharpen")),
    *(f"vae.train.{key}" for key in ("steps", "batch_size", "learning_rate", "ema_decay")),
    *(f"generator.{key}" for key in ("widths", "depth")),
    *(f"generator.train.{key}" for key in ("steps", "batch_size", "learning_rate", "ema_decay")),
}
"""Sizes and training of what is pretrained."""
SIZES = {
    "steps",
    "batch_size",
    "parts",
    "checkpoint_every",
    "widths",
    "depths",
    "state",
    "head",
    "width",
    "stages",
    "crop",
    "crops",
    "patch",
    "seeds",
    "snr_db",
    "rate",
    "rates",
    "dial",
    "information_points",
    "reference_steps",
    "train_side",
    "test_max_side",
}
"""Last parts of the keys by which paper_small may differ: how large, how long, how many."""
PLACES = {
    "profile",
    "device",
    "precision",
    "data.source",
    "data.train",
    "data.validation",
    "data.test",
    "data.list_file",
    "data.validation_fraction",
    "vae.pretrained_path",
    "generator.pretrained_path",
    "generator.caption_path",
    "evaluate.metric_weights",
}
"""And these: on what photographs, whose weights, on which machine."""


def stated(content: Any, place: str = "") -> set[str]:
    """Dotted keys of what nested mappings state; an empty mapping states itself."""
    if not isinstance(content, dict) or not content:
        return {place}
    return {key for name, value in content.items() for key in stated(value, f"{place}.{name}" if place else str(name))}


def profile(name: str) -> Params:
    return load_params(ROOT / "params.yaml", PROFILES / f"{name}.yaml")


def inherited(changes: Any) -> set[str]:
    """Keys that nano states and these changes do not, neither as they are nor as a whole."""
    mine = stated(changes)

    def covered(key: str) -> bool:
        parts = key.split(".")
        above = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        return bool(above & mine) or any(one.startswith(f"{key}.") for one in mine)

    return {key for key in stated(read_yaml(PROFILES / "nano.yaml")) if not covered(key)}


def test_nothing_that_matters_to_the_paper_is_inherited_from_nano() -> None:
    assert inherited(read_profile(PROFILES / "paper.yaml")) - MACHINE - UNUSED == set()


@pytest.mark.parametrize("key", ["objective", "jscgc.codec_rate", "baselines.mambajscc_feature", "latents.min_scale"])
def test_a_key_that_is_taken_out_of_paper_is_noticed(key: str) -> None:
    changes: Any = read_profile(PROFILES / "paper.yaml")
    section, _, last = key.rpartition(".")
    inner = changes[section] if section else changes
    del inner[last]
    missing = inherited(changes)
    assert any(one == key or one.startswith(f"{key}.") for one in missing)


def different(one: Params, other: Params) -> set[str]:
    ours, theirs = (flat(params.model_dump(mode="json")) for params in (one, other))
    return {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}


def test_paper_small_differs_from_paper_in_sizes_and_places_alone() -> None:
    paper, small = profile("paper"), profile("paper_small")
    assert small.finetune.links.keys() < paper.finetune.links.keys()
    for name, link in small.finetune.links.items():
        assert link == paper.finetune.links[name]
    odd = {
        key
        for key in different(paper, small) - PLACES
        if key.rpartition(".")[2] not in SIZES and not key.startswith("finetune.links.")
    }
    assert odd == set()


def test_paper_small_has_the_stages_of_paper() -> None:
    from pipeline import graph

    def kinds(params: Params) -> dict[str, bool]:
        return {name: "foreach" in stage for name, stage in graph.graph(params)["stages"].items()}

    assert kinds(profile("paper_small")) == kinds(profile("paper"))


def test_paper8_is_paper_whose_parts_eight_workers_share() -> None:
    paper, eight = profile("paper"), profile("paper8")
    assert (
        {paper.at(key).parts for key in ("codec", "jscgc.train", "finetune.train")}
        == {eight.distributed.workers}
        == {8}
    )
    odd = {"profile", "distributed.workers", "distributed.cpus_per_worker", "evaluate.workers"}
    assert different(paper, eight) == odd


def test_the_paper_s_schedule_is_what_the_paper_says() -> None:
    """100 k joint iterations at 10 dB and CBR 60/768, then 20 k for each condition; DiffJSCC the same; no switch of ours."""
    paper = profile("paper")
    joint = paper.jscgc.link
    assert joint is not None and (joint.channels, joint.snr_db, joint.rates) == (["awgn"], (10.0, 10.0), [60])
    assert (paper.jscgc.train.steps, paper.finetune.train.steps) == (100_000, 20_000)
    assert (
        set(paper.finetune.methods) == {"jscgc", "diffjscc"}
        and paper.trained["diffjscc"].training(paper).steps == 100_000
    )
    curves = {(channel, snr_db, 2) for channel in ("awgn", "rayleigh_fast") for snr_db in (-5.0, 0.0, 5.0, 10.0)}
    assert set(paper.conditions) == curves | {("awgn", 5.0, rate) for rate in (1, 4, 8)}
    assert paper.jscgc.tuning == "frozen" and not paper.jscgc.condition_dropout and not paper.jscgc.perception_weight
    adapter = paper.jscgc.adapter
    assert adapter.sees_x_t and not adapter.reading and not adapter.refiner_decoder
    assert (paper.encoder.block, paper.encoder.linear, paper.encoder.window) == ("mambajscc", False, 0)
    assert (paper.objective.time_law, paper.objective.weight_power) == ("uniform", 0)
    assert (paper.sample.solver, paper.sample.steps, paper.sample.guidance) == ("euler", 50, 1.0)
    assert {paper.generator.pretrained_path, paper.vae.pretrained_path} == {"Tongyi-MAI/Z-Image"}, "undistilled"


def test_the_schedule_of_a_fine_tuning_is_its_own() -> None:
    paper = profile("paper")
    for result in ("jscgc-awgn_5db_2", "diffjscc-awgn_5db_2"):
        tuned = paper.finetuning(result)
        assert tuned.jscgc.train == paper.finetune.train and tuned.jscgc.link is None
        assert tuned.link == paper.finetune.links["awgn_5db_2"] and tuned.seed != paper.seed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("finetune: {methods: []}", "finetune.methods: name at least one method"),
        (
            "finetune: {methods: [klt]}",
            "finetune.methods: klt can't be fine-tuned here; choose from jscgc, mambajscc_psnr, diffjscc",
        ),
        (
            "finetune: {links: {x: {channels: [awgn], snr_db: [5, 5], rates: [3]}}}",
            r"finetune.links.x: rates \[3\] are not among",
        ),
        ("finetune: {links: {X-1: {channels: [awgn], snr_db: [5, 5], rates: [2]}}}", "X-1"),
        ("jscgc: {link: {rates: [3]}}", r"jscgc.link: rates \[3\] are not among link.rates"),
        ("finetune: {links: null}", "no link in the grid"),
        (
            "evaluate: {conditions: all}",
            "are not trained for jscgc; jscgc.link.rates are .60., and no link of section finetune",
        ),
        (
            "evaluate: {reference_at: {snr_db: 10, rate: 8}}",
            "reference_at: awgn at 10 dB and rate 8 is none of the conditions",
        ),
        ("latents: {crop: 512}", r"data.train_side: 256 is less than latents.crop \(512\)"),
        ("evaluate: {methods: [jscgc_fast]}", "jscgc_fast is not trained; give params.yaml section few_step"),
        ("encoder: {state: 1}", "needs a state of 2 at least"),
    ],
)
def test_what_does_not_fit_is_one_line_before_anything_is_trained(changes: str, said: str, tmp_path: Path) -> None:
    for file in ("paper", "paper8"):
        (tmp_path / f"{file}.yaml").write_text(
            (PROFILES / f"{file}.yaml").read_text(encoding="utf-8"), encoding="utf-8"
        )
    (tmp_path / "mine.yaml").write_text(f"over: paper\nprofile: mine\n{changes}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=said) as error:
        load_params(ROOT / "params.yaml", tmp_path / "mine.yaml").check()
    assert "\n" not in str(error.value)


def test_one_model_for_every_condition_is_a_choice_over_paper(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text((PROFILES / "paper.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    changes = "finetune: {links: null}\njscgc: {link: null}\nevaluate: {conditions: all}\n"
    (tmp_path / "one.yaml").write_text(f"over: paper\nprofile: one\n{changes}", encoding="utf-8")
    params = load_params(ROOT / "params.yaml", tmp_path / "one.yaml")
    params.check()
    assert params.finetuned == [] and len(params.conditions) == 32
