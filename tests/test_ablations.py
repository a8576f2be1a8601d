"""Ablations: the file's variants fit the committed parameters, differences are paired, and an interrupted run goes on."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from jscgc.config import ParamsError
from jscgc.data.prepared import prepare
from jscgc.evaluation.ablation import compare
from jscgc.evaluation.judges import CHOOSING
from jscgc.files import read_json, sha256
from jscgc.params import load_params
from jscgc.systems import store
from pipeline import ablations, apart

ROOT = Path(__file__).parents[1]
METRIC = "psnr"
CODEC = {"codec": {"steps": 3}}
LONGER = {
    "frozen, longer": {"jscgc": {"tuning": "receiver"}, **CODEC},
    "two stages, longer": {"method": "diffjscc", **CODEC},
}


def test_every_variant_of_the_file_fits_and_differs_from_the_base():
    planned = list(ablations.variants(ablations.read_yaml(ROOT / ablations.FILE), load_params(ROOT / "params.yaml")))
    base = planned[0]
    assert base.name == ablations.BASE and base.params.jscgc.tuning == "full"
    assert len({variant.name for variant in planned}) == len(planned)
    for variant in planned[1:]:
        same = (variant.params, variant.method, variant.sample) == (base.params, base.method, base.sample)
        assert not same, variant.name
        assert variant.params.jscgc.train == base.params.jscgc.train, "an equal number of steps"


def test_the_paper_s_variant_has_all_of_its_choices_at_once():
    planned = list(ablations.variants(ablations.read_yaml(ROOT / ablations.FILE), load_params(ROOT / "params.yaml")))
    variant = next(variant for variant in planned if variant.name == "jscgc_paper")
    jscgc, adapter, objective = variant.params.jscgc, variant.params.jscgc.adapter, variant.params.objective
    assert (jscgc.tuning, jscgc.condition_dropout, jscgc.perception_weight, jscgc.codec_rate) == ("frozen", 0, 0, 1)
    assert adapter.sees_x_t and not adapter.reading and not adapter.refiner_decoder
    assert not variant.params.encoder.linear and variant.params.encoder.window == 0
    assert (objective.time_law, objective.weight_power) == ("uniform", 0)
    assert (variant.sample.steps, variant.sample.guidance, variant.sample.solver) == (50, 1.0, "euler")
    # What changes the encoder has a codec of its own to start from.
    assert {v.name for v in planned if v.own_codec} >= {"jscgc_paper", "no linear branch in the encoder"}


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ({"joint": {}, "x": {"jscgc": {"tunning": "full"}}}, "x: .*tunning"),
        ({"joint": {}, "x": {"jscgc": {"tuning": "half"}}}, "x: .*tuning"),
        ({"joint": {}, "x": {"method": "vae"}}, "x: method must be jscgc or diffjscc, not 'vae'"),
        ({"x": {}}, "variants lacks joint"),
    ],
)
def test_a_wrong_variant_is_named(variants, said):
    content = {"common": {}, "evaluate": {"snr_db": [5]}, "photos": 1, "variants": variants, "samplers": {}}
    with pytest.raises(ParamsError, match=said) as caught:
        list(ablations.variants(content, load_params(ROOT / "params.yaml")))
    assert "\n" not in str(caught.value)


def table(values: dict[str, float], of_set: float) -> pd.DataFrame:
    rows = [(image, 0, 5.0, METRIC, value) for image, value in values.items()]
    rows.append(("*", 0, 5.0, "fid_efficientnet_lite0", of_set))
    rows.append(("*-a", 0, 5.0, "fid_efficientnet_lite0", 99.0))
    return pd.DataFrame(rows, columns=["image", "seed", "snr_db", "metric", "value"])


def test_differences_are_paired_by_photograph():
    base, other = table({"a": 10, "b": 30, "c": 20}, 5.0), table({"c": 21, "a": 11, "b": 31}, 4.0)
    found = {row["metric"]: row for row in compare("other", other, base, 7.0)}
    assert found[METRIC]["mean"] == 21 and found[METRIC]["seconds"] == 7
    # Every photograph gained exactly one, so that the interval has no width, however much the photographs differ.
    assert (found[METRIC]["difference"], found[METRIC]["low"], found[METRIC]["high"]) == pytest.approx((1, 1, 1))
    assert found["fid_efficientnet_lite0"]["mean"] == 4 and found["fid_efficientnet_lite0"]["difference"] is None
    assert all(row["difference"] is None for row in compare("joint", base, None, 7.0))


@pytest.fixture
def project(params, models, latent_cache, tmp_path, monkeypatch):
    """A folder as the stages leave it, tiny, with two variants and a sampler to run."""
    monkeypatch.chdir(tmp_path)
    for part in ("vae", "flow", "mambajscc_psnr"):
        shutil.copytree(models / part, tmp_path / "data/models" / part)
    shutil.copytree(latent_cache, tmp_path / "data/latents")
    statistics = read_json(models / "flow/model.json")["latents"]
    assert statistics["vae_sha256"] == sha256(tmp_path / "data/models/vae")
    (tmp_path / "data/latents/statistics.json").write_text(json.dumps(statistics))
    small = params.data.model_copy(update={"max_photos": 1, "test_max_side": 128})
    prepare(small, 0, tmp_path / "data/photos")
    yaml = YAML(typ="safe", pure=True)
    with (tmp_path / "params.yaml").open("w") as file:
        yaml.dump(params.model_dump(mode="json"), file)
    content = {
        "common": {"jscgc": {"tuning": "full"}},
        "evaluate": {"channels": ["awgn"], "snr_db": [0, 5, 10], "rates": [2], "seeds": 1, "patch": 64},
        "photos": 1,
        "variants": {
            "frozen": {"jscgc": {"tuning": "frozen"}},
            "joint": {},
            "two stages": {"method": "diffjscc"},
            **LONGER,
        },
        "samplers": {"3 steps": {"steps": 3}},
    }
    (tmp_path / "pipeline").mkdir()
    with (tmp_path / ablations.FILE).open("w") as file:
        yaml.dump(content, file)
    return tmp_path


def run(monkeypatch, *arguments: str) -> pd.DataFrame:
    monkeypatch.setattr(sys, "argv", ["ablations", "--out", "out.csv", "--workers", "1", *arguments])
    ablations.main()
    return pd.read_csv("out.csv")


def test_variants_are_trained_once_and_end_in_one_table(project, monkeypatch):
    found = run(monkeypatch)
    assert list(found["variant"].unique()) == ["joint", "3 steps", *sorted(["frozen", "two stages", *LONGER])]
    assert set(found["metric"]) == set(CHOOSING)
    assert set(found.loc[found["variant"] == "3 steps", "snr_db"]) == {5.0}
    assert set(found.loc[found["variant"] == "frozen", "snr_db"]) == {0.0, 5.0, 10.0}
    frozen = found[(found["variant"] == "frozen") & (found["metric"] == METRIC)].set_index("snr_db")["mean"]
    joint = found[(found["variant"] == "joint") & (found["metric"] == METRIC)].set_index("snr_db")["mean"]
    assert (frozen != joint).all()
    # Both start from one codec of their own, which has three steps and not the stage's number.
    (own,) = (project / ".jscgc/ablations").glob("codec-*/mambajscc_psnr")
    assert sha256(own) != sha256(project / "data/models/mambajscc_psnr")
    codec = store.load(own).net.state_dict()
    encoders = [
        {n.removeprefix(prefix): v for n, v in store.load(folder).net.state_dict().items() if n.startswith(prefix)}
        for method, prefix in (("jscgc", "encoder."), ("diffjscc", "codec.encoder."))
        for folder in (project / ".jscgc/ablations").glob(f"*/models/{method}")
    ]
    own_encoder = {n.removeprefix("encoder."): v for n, v in codec.items() if n.startswith("encoder.")}
    assert sum(all(torch.equal(e[n], v) for n, v in own_encoder.items()) for e in encoders) == len(LONGER)

    def never(*arguments, **options):
        raise AssertionError("trained a second time")

    monkeypatch.setattr(apart, "train_on_workers", never)
    again = run(monkeypatch, "--only", "frozen", "frozen, longer")
    kept = found[found["variant"].isin(["joint", "frozen", "frozen, longer"])]
    pd.testing.assert_frame_equal(again, kept.reset_index(drop=True))


def test_what_is_missing_is_named(project, monkeypatch):
    shutil.rmtree(project / "data/models/flow")
    with pytest.raises(ValueError, match=r"data/models/flow is missing; run: dvc repro"):
        run(monkeypatch)
    with pytest.raises(ValueError, match="no variant 'nothing'"):
        run(monkeypatch, "--only", "nothing")
    assert not (project / "out.csv").exists()
