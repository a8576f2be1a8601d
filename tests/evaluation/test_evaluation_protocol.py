"""A protocol: its hash, its file, and the photographs and weights that it insists on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from jscgc.config import complaints, digest
from jscgc.evaluation.protocol import Protocol
from jscgc.files import sha256
from jscgc.flow.params import CalibratedParams, SampleParams

FIXED = {
    "images": [{"name": "a", "sha256": "0" * 64}, {"name": "b", "sha256": "1" * 64}],
    "max_side": 0,
    "channels": ["awgn"],
    "snr_db": [-5, 5.0],
    "cbr": ["2/768", "8/768"],
    "seeds": [0, 1, 2, 3, 4],
    "metrics": [{"name": "psnr", "weights_sha256": []}],
    "patch": 64,
    "sample": {"steps": 2, "guidance": [[-5, 2], [10, 1.2]]},
    "controls": False,
    "dial": [],
    "dial_steps": 16,
    "information_points": 0,
    "reference_steps": 0,
}


def test_the_hash_is_that_of_the_content_for_ever():
    """Golden: published results carry it. Whole numbers and options at their default are spelt in many ways."""
    fixed = Protocol.model_validate(FIXED)
    assert fixed.hash == "49554def9b07"
    spelt = FIXED | {"snr_db": [-5.0, 5], "channels": ["awgn:csi=perfect"], "precision": "float32"}
    assert Protocol.model_validate(dict(reversed(spelt.items()))).hash == fixed.hash
    assert fixed.rates == [2, 8]


@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_a_zero_is_one_key_whatever_its_sign_and_type(zero):
    """Of an SNR, of guidance points and weights, wherever they stand."""
    written = FIXED | {"snr_db": [zero, 5], "sample": {"steps": 2, "guidance": [[zero, 2], [10, zero]]}}
    assert repr(Protocol.model_validate(written).snr_db) == "[0.0, 5.0]"
    assert Protocol.model_validate(written).hash == "2dea183e9cf7"
    assert digest({"a": [1.0 * zero]}) == digest({"a": [0.0]})


def test_order_and_repetition_in_the_grid_make_no_other_protocol(protocol):
    assert protocol(snr_db=[5, -5, 5], rates=[4, 2]) == protocol(snr_db=[-5, 5], rates=[2, 4])
    assert protocol(metrics=["fid_efficientnet_lite0", "psnr"]) == protocol(metrics=["psnr", "fid_efficientnet_lite0"])
    assert protocol(methods=["jscgc"], workers=3, store="elsewhere").hash == protocol().hash


@pytest.mark.parametrize(
    "change",
    [
        {"channels": ["rayleigh_fast"]},
        {"snr_db": [5, 10]},
        {"rates": [4]},
        {"seeds": 3},
        {"seed": 1},
        {"patch": 128},
        {"metrics": ["psnr"]},
        {"max_side": 64},
        {"controls": True},
        {"dial": [2]},
        {"sample": SampleParams(steps=2, guidance=1.5, calibrated=CalibratedParams(steps=3))},
        {"information_points": 4},
        {"reference_steps": 9},
        {"sample": SampleParams(steps=2, guidance=1.0)},
        {"sample": SampleParams(steps=1, guidance=1.5)},
    ],
    ids=str,
)
def test_anything_else_makes_another_protocol(protocol, change: dict[str, Any]):
    assert protocol(**change).hash != protocol().hash


def test_numbers_of_steps_are_one_or_several_and_one_has_the_hash_that_it_had(protocol, tmp_path: Path):
    fixed = Protocol.model_validate(FIXED | {"reference_steps": 50})
    assert fixed.hash == "e0d82a2fea17" and fixed.reference_steps == [50] and "reference_at" not in FIXED
    assert Protocol.model_validate(FIXED | {"reference_steps": [50]}) == fixed
    assert Protocol.model_validate(FIXED | {"reference_steps": []}) == Protocol.model_validate(FIXED)
    several = protocol(reference_steps=[50, 10, 50], reference_at={"snr_db": -0.0 + 5, "rate": 2})
    assert several.reference_steps == [10, 50] and several.hash != protocol(reference_steps=[10, 50]).hash
    for one in (fixed, several):
        one.write(tmp_path / "protocol.json")
        assert Protocol.read(tmp_path / "protocol.json") == one


@pytest.mark.parametrize(
    "wrong, said",
    [
        (
            {"reference_steps": -1},
            "reference_steps: expected a number of steps, 0 for none, or a list such as",
        ),
        ({"reference_steps": [10, 0]}, "reference_steps.1: Input should be greater than 0"),
        ({"reference_steps": [2], "reference_at": {"snr_db": 10, "rate": 2}}, "10 dB at rate 2 is not of the grid"),
        ({"reference_steps": [2], "reference_at": {"snr_db": 5, "rate": 3}}, "5 dB at rate 3 is not of the grid"),
    ],
)
def test_wrong_numbers_of_steps_and_places_are_one_clear_line(protocol, wrong: dict[str, Any], said: str):
    with pytest.raises(ValidationError) as error:
        protocol(**wrong)
    assert said in complaints(error.value) and "\n" not in complaints(error.value)


def test_the_precision_is_part_of_it_and_one_that_states_none_is_of_float32(protocol, tmp_path: Path):
    half = protocol().model_copy(update={"precision": "bfloat16"})
    assert half.hash != protocol().hash
    half.write(tmp_path / "half.json")
    assert Protocol.read(tmp_path / "half.json") == half
    assert Protocol.model_validate(FIXED).precision == "float32"


def test_photographs_and_their_names_are_part_of_it(protocol, photos):
    assert protocol(photos=photos[:1]).hash != protocol().hash
    assert protocol(photos=[("c", photos[0][1]), photos[1]]).hash != protocol().hash
    before = protocol().hash
    Image.open(photos[0][1]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos[0][1])
    assert protocol().hash != before


def test_sets_are_part_of_it_and_one_that_knows_none_is_what_it_was(protocol, tmp_path: Path):
    assert protocol().sets == {"a": "", "b": ""}
    content = protocol().model_dump(mode="json")
    images = [image | {"set": one} for image, one in zip(content["images"], ("one", "two"), strict=True)]
    split = Protocol.model_validate(content | {"images": images})
    assert split.hash != protocol().hash and split.sets == {"a": "one", "b": "two"}
    split.write(tmp_path / "protocol.json")
    assert Protocol.read(tmp_path / "protocol.json") == split
    # As written before there were sets.
    for image in content["images"]:
        del image["set"]
    assert Protocol.model_validate(content) == protocol()


def test_the_file_comes_back_and_one_changed_by_hand_is_refused(protocol, tmp_path: Path):
    written = protocol(sample=SampleParams(steps=2, guidance=[(-5.0, 2.0), (10.0, 1.2)]))
    path = tmp_path / "protocol.json"
    written.write(path)
    assert Protocol.read(path) == written
    content = json.loads(path.read_text())
    assert next(iter(content)) == "hash" and content["hash"] == written.hash
    path.write_text(json.dumps(content | {"snr_db": [5.0, 10.0]}))
    with pytest.raises(ValueError, match=f"its hash says {written.hash}.*it was changed after it was written"):
        Protocol.read(path)
    del content["hash"]
    path.write_text(json.dumps(content | {"snr_db": [5.0, 10.0]}))
    assert Protocol.read(path).snr_db == [5.0, 10.0]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"snr": [5]}, "snr: Extra inputs"),
        ({"cbr": ["8/512"]}, "expected RATE/768"),
        ({"cbr": ["61/768"]}, "RATE in 1..60"),
        ({"channels": ["awgm"]}, "did you mean awgn"),
        ({"patch": 32}, "patch"),
        ({"images": FIXED["images"] * 2}, "images: .*twice"),
        ({"seeds": []}, "seeds"),
        ({"images": [{"name": "a", "sha256": "abc"}]}, "images.0.sha256"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_key(tmp_path: Path, change: dict[str, Any], said: str):
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps(FIXED | change))
    with pytest.raises(ValueError, match=f"protocol.json: not a protocol: .*{said}") as caught:
        Protocol.read(path)
    assert "\n" not in str(caught.value)
    path.write_text("[]")
    with pytest.raises(ValueError, match="not a protocol"):
        Protocol.read(path)
    with pytest.raises(ValueError, match="no such file"):
        Protocol.read(tmp_path / "none.json")


def test_photographs_are_found_by_content_whatever_their_names(protocol, photos, tmp_path: Path):
    moved = [path.rename(tmp_path / f"other{i}.png") for i, (_, path) in enumerate(photos)]
    frozen = Protocol.model_validate(protocol(photos=list(zip("ab", moved, strict=True))).model_dump(mode="json"))
    assert frozen.find(list(reversed(moved))) == [("a", moved[0]), ("b", moved[1])]


def test_another_or_a_missing_photograph_is_refused_by_name(protocol, photos):
    listed = protocol()
    paths = [path for _, path in photos]
    Image.open(paths[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(paths[0])
    with pytest.raises(ValueError, match=r"1 of 2 photographs are not these: a \(another content\)"):
        listed.find(paths)
    with pytest.raises(ValueError, match=r"2 of 2 photographs are not these: a \(another content\), b \(missing\)"):
        listed.find(paths[:1])


def test_metrics_are_those_listed_with_the_listed_weights(protocol):
    listed = protocol(metrics=["feature_distance_efficientnet_lite0"])
    from jscgc.metrics.weights import EFFICIENTNET_LITE0

    assert listed.metrics[0].weights_sha256 == [EFFICIENTNET_LITE0.digest] == [sha256(EFFICIENTNET_LITE0.locate())]
    listed.check_metrics()
    other = listed.model_dump(mode="json")
    other["metrics"][0]["weights_sha256"] = ["0" * 64]
    with pytest.raises(ValueError, match="weights of metric feature_distance_efficientnet_lite0 here are others"):
        Protocol.model_validate(other).check_metrics()
    other["metrics"] = [{"name": "psnrr", "weights_sha256": []}]
    with pytest.raises(ValueError, match="did you mean psnr"):
        Protocol.model_validate(other).check_metrics()
    with pytest.raises(ValueError, match="did you mean psnr"):
        protocol(metrics=["psnrr"])


def test_a_metric_that_can_not_run_is_refused_and_says_why(protocol, monkeypatch: pytest.MonkeyPatch):
    listed = protocol()
    monkeypatch.setattr("jscgc.metrics.base.Metric.missing", lambda metric: f"no {metric.name} here")
    with pytest.raises(
        ValueError, match=f"protocol {listed.hash}: 3 of 3 metrics can't run here: .*psnr lacks no psnr here"
    ):
        listed.check_metrics()
    said = "2 of 2 metrics can't run here: psnr lacks no psnr here; ms_ssim lacks .*leave out psnr ms_ssim"
    with pytest.raises(ValueError, match=f"evaluate.metrics: {said}"):
        protocol(metrics=["psnr", "ms_ssim"])


def test_a_rehearsal_s_protocol_and_table_name_no_metric_that_was_not_measured(
    protocol, photos, models, tmp_path: Path, jobs_run
):
    """`metric_weights: random`: every file says NAME_random, on the page the label does."""
    from jscgc.evaluation.run import follow
    from jscgc.report.command import make

    asked = ["psnr", "lpips_alex", "dists", "clip_score", "dino_score", "dreamsim", "fid_inception"]
    rehearsal = protocol(metrics=asked, metric_weights="random", headline_metrics=["lpips_vgg"])
    named = {metric.name for metric in rehearsal.metrics}
    assert named == {"psnr", *(f"{name}_random" for name in [*asked[1:], "lpips_vgg"])}
    assert rehearsal.headline_metrics == ["lpips_vgg_random"]
    assert rehearsal.hash != protocol(metrics=["psnr", "lpips_alex"]).hash
    out = tmp_path / "report" / "results.csv"
    done = follow(rehearsal, models, photos, ["mambajscc_psnr"], device="cpu", out=out)
    measured = set(done.table["metric"])
    assert named <= measured and not measured & set(asked[1:])
    assert set(done.headline().methods["mambajscc_psnr"]) >= {"psnr"}
    assert done.headline().ranked_by("mambajscc_psnr") == "psnr"
    make(out.parent)
    page = (out.parent / "index.html").read_text()
    assert "LPIPS (AlexNet), random network" in page and "FID, random network" in page
