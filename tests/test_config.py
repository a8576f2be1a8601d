"""params.yaml: what is right is read as typed models, what is wrong is one line that names the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from jscgc.config import ParamsError, digest, read_yaml
from jscgc.method import network, own_sections
from jscgc.params import Params, load_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"


def text() -> str:
    """The committed params.yaml, whatever profile is selected."""
    return COMMITTED.read_text(encoding="utf-8")


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    """params.yaml with one dotted key set (or, for DELETE, removed)."""
    content = YAML(typ="safe", pure=True).load(text())
    *sections, last = key.split(".")
    section = content
    for name in sections:
        section = section[name]
    if value is DELETE:
        del section[last]
    else:
        section[last] = value
    path = tmp_path / "params.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    return path


DELETE = object()


def message(path: Path) -> str:
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_committed_parameters_load():
    params = load_params(COMMITTED)
    assert {"jscgc", "mambajscc_psnr", "diffjscc", "klt", "hevc_ldpc"} < set(params.evaluate.methods)
    assert set(params.evaluate.rates) <= set(params.link.rates)
    assert {2, 8} <= set(params.link.rates)


def test_every_section_is_frozen():
    params = load_params(COMMITTED)
    with pytest.raises(ValidationError):
        params.seed = 1
    with pytest.raises(ValidationError):
        params.jscgc.train.steps = 1


@pytest.mark.parametrize("key", ["sead", "jscgc.train.learningrate", "vae.widht", "link.rate", "encoder.stat"])
def test_an_unknown_key_is_named(tmp_path, key):
    assert f"{key}: Extra inputs are not permitted" in message(changed(tmp_path, key, 1))


@pytest.mark.parametrize("key", ["seed", "vae", "jscgc.train", "jscgc.train.steps", "sample.guidance", "link.snr_db"])
def test_a_missing_key_is_named(tmp_path, key):
    assert f"{key}: Field required" in message(changed(tmp_path, key, DELETE))


@pytest.mark.parametrize("key", ["baselines.deepjsc", "baselines.klt.crobs", "baselines.mambajscc_feature.train.stepz"])
def test_an_unknown_competitor_or_key_of_one_is_named(tmp_path, key):
    assert f"{key}: Extra inputs are not permitted" in message(changed(tmp_path, key, 1))


@pytest.mark.parametrize("name", sorted(own_sections()))
def test_a_competitor_is_trained_if_it_is_named_with_its_own_defaults_and_not_otherwise(tmp_path, name):
    content = read_yaml(COMMITTED)
    content["evaluate"]["methods"], content["baselines"] = ["jscgc"], {}
    assert name not in Params.model_validate(content).trained
    content["baselines"] = {need: {} for need in (name, *network(name).needs) if need in own_sections()}
    params = Params.model_validate(content)
    assert name in params.trained and params.own(name, own_sections()[name]) == own_sections()[name]()
    # As DVC and `dvc exp run -S` leave a key that was taken out.
    content["baselines"][name] = None
    assert name not in Params.model_validate(content).trained


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed", "zero"),
        ("seed", 1.5),
        ("seed", True),
        ("seed", None),
        ("vae.train.steps", "100"),
        ("vae.train.learning_rate", "1e-4"),
        ("vae.train.learning_rate", [0.1]),
        ("jscgc.tuning", "yes"),
        ("jscgc.tuning", True),
        ("generator.widths", 64),
        ("data.train", "photos/"),
        ("evaluate.snr_db", 5),
        ("codec", 3),
        ("profile", 7),
    ],
)
def test_a_wrong_type_is_named(tmp_path, key, value):
    assert f"{key}: " in message(changed(tmp_path, key, value))


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed", -1),
        ("seed", 2**32),
        ("device", "tpu"),
        ("precision", "bf16"),
        ("vae.channels", 5),
        ("vae.train.steps", 0),
        ("vae.train.learning_rate", 0.0),
        ("vae.train.ema_decay", 1.0),
        ("vae.colour", 1.5),
        ("latents.crop", 100),
        ("latents.min_scale", 0.0),
        ("generator.backbone", "dit"),
        ("link.rates", []),
        ("jscgc.condition_dropout", 1.0),
        ("sample.steps", 0),
        ("sample.guidance", -0.1),
        ("sample.guidance", [[0, 1, 2]]),
        ("sample.guidance", [[0, 1], [0, 2]]),
        ("sample.guidance", [[0, -1]]),
        ("sample.guidance", True),
        ("sample.time_shift", 0.0),
        ("objective.weight_power", 1.5),
        ("evaluate.methods", []),
        ("evaluate.patch", 100),
        ("data.source", "imagenet"),
        ("baselines.mambajscc_feature.crop", 100),
        ("baselines.klt.crops", 0),
        ("baselines.diffcom.start", 1.5),
    ],
)
def test_a_value_out_of_range_is_named(tmp_path, key, value):
    assert f"{key}: " in message(changed(tmp_path, key, value))


@pytest.mark.parametrize("key", ["link.rates", "evaluate.rates", "evaluate.channels", "encoder.downsample"])
@pytest.mark.parametrize("value", [0, 61, "awgn "])
def test_a_wrong_entry_of_a_list_is_named_with_its_place(tmp_path, key, value):
    assert f"{key}.0: " in message(changed(tmp_path, key, [value]))


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize("key", ["vae.kl_weight", "jscgc.train.learning_rate", "sample.guidance"])
def test_numbers_are_finite(tmp_path, key, value):
    assert f"{key}: " in message(changed(tmp_path, key, YAML(typ="safe", pure=True).load(value)))


@pytest.mark.parametrize(
    "value", [[5, float("nan")], [float("-inf"), 5], [1], [1, 2, 3], ["0", 5], [None, 5], [[0], 5], 5, None, "0 5"]
)
def test_a_wrong_snr_range_is_named(tmp_path, value):
    assert "link.snr_db" in message(changed(tmp_path, "link.snr_db", value))


def test_a_reversed_snr_range_is_told(tmp_path):
    assert "snr_db must be [lowest, highest]" in message(changed(tmp_path, "link.snr_db", [15, -5]))


def test_stages_of_the_encoder_have_one_length(tmp_path):
    found = message(changed(tmp_path, "encoder.depths", [1]))
    assert "encoder: " in found and "same length" in found


@pytest.mark.parametrize("spelling", ["5e-05", "5e-5", "0.00005", "5.0E-5", "5.e-5"])
def test_every_spelling_of_a_small_number_is_a_number(tmp_path, spelling):
    """`dvc exp run -S` writes 5e-05, which YAML 1.1 would read as a string."""
    content = YAML(typ="safe", pure=True).load(text())
    written = f"    learning_rate: {content['generator']['train']['learning_rate']}"
    assert written in text()
    path = tmp_path / "params.yaml"
    path.write_text(text().replace(written, f"    learning_rate: {spelling}", 1))
    found = load_params(path)
    assert 5e-5 in (found.vae.train.learning_rate, found.generator.train.learning_rate, found.jscgc.train.learning_rate)


def test_whole_numbers_are_fine_where_fractions_are_meant(tmp_path):
    assert load_params(changed(tmp_path, "sample.guidance", 2)).sample.guidance == 2.0
    assert load_params(changed(tmp_path, "link.snr_db", [-5, 15])).link.snr_db == (-5.0, 15.0)


def test_several_mistakes_are_told_at_once(tmp_path):
    path = changed(tmp_path, "sead", 1)
    path.write_text(path.read_text().replace("device: auto", "device: tpu"))
    found = message(path)
    assert "sead" in found and "device" in found


@pytest.mark.parametrize(
    "content", ["a: [1", "a: b: c", "\t- x", "seed: 1\nseed: 2", "{", "a: !!python/object:os.system {}"]
)
def test_bad_yaml_is_one_line(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    message(path)


def test_bytes_that_are_no_text_are_one_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seed: \xff\xfe")
    message(path)


@pytest.mark.parametrize("content", ["", "[]", "- seed", "7", "null"])
def test_a_file_without_sections_is_one_line(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    assert "mapping" in message(path)


def test_a_missing_file_says_where_to_run(tmp_path):
    assert "run from the project's root" in message(tmp_path / "params.yaml")


def test_a_folder_is_one_line(tmp_path):
    message(tmp_path)


def test_nothing_is_executed_by_reading(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("!!python/object/apply:os.mkdir ['" + str(tmp_path / "made") + "']")
    with pytest.raises(ParamsError):
        read_yaml(path)
    assert not (tmp_path / "made").exists()


def test_the_digest_is_stable_and_complete(params: Params):
    assert digest({"a": 1, "b": [0.5, None]}) == "868a5d6a72d6"  # on every machine and for ever
    assert digest({"b": 2, "a": 1}) == digest({"a": 1, "b": 2})
    assert digest(params) == digest(Params.model_validate(params.model_dump()))
    assert len(digest(params)) == 12
    one = params.model_copy(update={"vae": params.vae.model_copy(update={"kl_weight": 2e-3})})
    assert digest(one) != digest(params)
    assert digest(params.vae, 1) != digest(params.vae, 2) != digest(1, params.vae)


def test_channels_are_kept_as_their_canonical_text(tmp_path):
    path = changed(
        tmp_path, "evaluate.channels", ["awgn", "rician_block:csi=lmmse,k_db=6", "tdl_c:delay_spread_ns=300.0"]
    )
    assert load_params(path).evaluate.channels == ["awgn", "rician_block:csi=lmmse", "tdl_c:delay_spread_ns=300"]


@pytest.mark.parametrize(
    "channel, said",
    [
        ("rician_blok", r"did you mean rician_block\?"),
        ("tdl_c:speed=3", r"did you mean speed_mps\?"),
        ("rician_block:k_db=.nan", "finite"),
        ("rayleigh_fast:csi=ls", "can't be estimated"),
    ],
)
@pytest.mark.parametrize("key", ["link.channels", "evaluate.channels"])
def test_a_wrong_channel_is_named_with_its_place(tmp_path, key, channel, said):
    assert re.search(rf"{key}\.1: .*{said}", message(changed(tmp_path, key, ["awgn", channel])))


def test_one_channel_in_two_spellings_is_evaluated_once(tmp_path):
    said = message(changed(tmp_path, "evaluate.channels", ["awgn", "awgn:csi=perfect"]))
    assert "evaluate.channels: " in said and "awgn is there twice" in said


def test_blind_channels_are_for_evaluation(tmp_path):
    assert "is for evaluation" in message(changed(tmp_path, "link.channels", ["awgn", "awgn:snr=blind"]))
    load_params(changed(tmp_path, "evaluate.channels", ["awgn", "awgn:snr=blind"]))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"generator.source": "pretrained"}, "needs pretrained_path"),
        ({"generator.caption_path": "x"}, "caption_path is for backbone zimage"),
        ({"generator.dtype": "bfloat16"}, "dtype bfloat16 is for source pretrained only"),
        (
            {"init": "scratch", "generator.source": "pretrained", "generator.pretrained_path": "x"},
            "needs latents.normalise: false",
        ),
        ({"generator.source": "pretrained", "generator.pretrained_path": "x"}, "init shipped and generator.source"),
        ({"vae.source": "pretrained", "vae.pretrained_path": "x"}, "init shipped and vae.source"),
        (
            {"baselines.mambajscc_feature_pixels": {"train": {"steps": 5}}},
            "baselines.mambajscc_feature_pixels: it is trained on from mambajscc_psnr_pixels, which is not trained; give "
            "baselines that key, too",
        ),
        (
            {"evaluate.methods": ["jscgc", "swinjscc"]},
            "evaluate.methods: swinjscc is not trained; give baselines the key swinjscc",
        ),
        ({"latents.normalise": False}, "init shipped needs latents.normalise: true"),
        ({"jscgc.adapter.controlnet_path": "x"}, "controlnet_path is for generator.backbone zimage only"),
        (
            {
                "init": "scratch",
                "generator.source": "pretrained",
                "generator.pretrained_path": "x",
                "generator.dtype": "bfloat16",
                "latents.normalise": False,
                "jscgc.tuning": "full",
            },
            "would train in it and lose small updates",
        ),
        ({"jscgc.perception_weight": 0.1}, "perception_weight needs a condition_dropout above 0"),
        ({"objective.time_shift": 2.0}, "acts on time_law shifted only"),
    ],
)
def test_settings_that_would_do_nothing_are_errors(tmp_path, changes, said):
    content = YAML(typ="safe", pure=True).load(text())
    for key, value in changes.items():
        *sections, last = key.split(".")
        part = content
        for section in sections:
            part = part[section]
        part[last] = value
    path = tmp_path / "params.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    assert said in message(path)


def test_profiles_leave_the_precision_to_the_machine_unless_they_are_for_gpus():
    root = Path(__file__).parents[1]
    for profile in (None, *sorted((root / "pipeline/profiles").glob("*.yaml"))):
        params = load_params(root / "params.yaml", profile)
        # The rehearsal of a GPU's profile is to be the same on any processor.
        rehearsal = profile is not None and profile.stem == "paper_small"
        expected = "bfloat16" if params.device == "cuda" else "float32" if rehearsal else "auto"
        assert params.precision == expected, profile


def test_no_profile_leaves_diffjscc_fewer_steps_than_jscgc():
    """What nano says of DiffJSCC's steps would be nonsense in a profile with other steps of JSCGC's."""
    root = Path(__file__).parents[1]
    for profile in (None, *sorted((root / "pipeline/profiles").glob("*.yaml"))):
        params = load_params(root / "params.yaml", profile)
        training, own = network("diffjscc").training(params), params.jscgc.train
        assert training is not None and "diffjscc" in params.trained
        assert own.steps <= training.steps <= 2 * own.steps, profile


def test_workers_that_cannot_share_a_step_are_named_with_every_section_at_once(tmp_path):
    found = message(changed(tmp_path, "distributed", {"workers": 2}))
    assert "2 workers can't share the parts of a step evenly" in found
    assert "codec.parts (1)" in found and "jscgc.train.parts (1)" in found
    assert "vae.train" not in found  # init: shipped trains none
    path = changed(tmp_path, "distributed", {"workers": 2})
    path.write_text(path.read_text().replace("init: shipped", "init: finetune", 1))
    found = message(path)
    assert "codec.parts" in found and "jscgc.train.parts" in found  # what is trained on, too
    assert "vae.train" not in found and "generator.train" not in found
    path.write_text(path.read_text().replace("init: finetune", "init: widen", 1))
    found = message(path)
    assert "vae.train" in found and "generator.train" in found and "codec.parts" in found


def test_any_multiple_of_the_workers_will_do(tmp_path):
    content = YAML(typ="safe", pure=True).load(text())
    content["distributed"] = {"workers": 4, "strategy": "fsdp"}
    for train in (
        content["codec"],
        content["jscgc"]["train"],
        content["few_step"]["train"],
    ):
        train["parts"] = 8
    content["baselines"]["mambajscc_feature"]["train"]["parts"] = 4
    path = tmp_path / "params.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    assert load_params(path).jscgc.train.parts == 8


def test_what_is_evaluated_must_be_trained():
    content = read_yaml(COMMITTED)
    Params.model_validate(content).check()
    content["link"]["rates"], content["evaluate"]["rates"] = [8], [2, 8]
    with pytest.raises(ValueError, match=r"evaluate.rates: \[2\] are not trained for jscgc; link.rates are \[8\]"):
        Params.model_validate(content).check()
    content["evaluate"]["methods"] = ["hevc_capacity"]
    Params.model_validate(content).check()


def test_conditions_are_not_dropped_to_no_purpose():
    content = read_yaml(COMMITTED)
    content["jscgc"] |= {"condition_dropout": 0.1, "perception_weight": 0.0}
    with pytest.raises(ValueError, match="needs a perception_weight above 0"):
        Params.model_validate(content).check()
    content["jscgc"] |= {"condition_dropout": 0.0, "perception_weight": 0.1}
    with pytest.raises(ValidationError, match="needs a condition_dropout above 0"):
        Params.model_validate(content)


def test_no_two_snrs_are_one_step_of_mlflow(tmp_path):
    """Its steps are whole numbers: hundredths of a dB."""
    from jscgc.evaluation.params import snr_step

    given = [-5.0, 0.0, 0.5, 1.0, 1.5, 12.34]
    assert [snr_step(snr_db) for snr_db in given] == [-500, 0, 50, 100, 150, 1234]
    assert load_params(changed(tmp_path, "evaluate.snr_db", given)).evaluate.snr_db == given
    assert "evaluate.snr_db: 0 and 0.001 dB are nearer" in message(changed(tmp_path, "evaluate.snr_db", [0.0, 0.001]))
