"""The space file: every mistake is one line, before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from jscgc.cli import main
from jscgc.config import ParamsError
from jscgc.params import Init, load_params
from jscgc.sweep import chain
from jscgc.sweep.plan import prepare
from jscgc.sweep.space import changed, check, nested, read_space

ROOT = Path(__file__).parents[2]
MINIMAL: dict[str, Any] = {
    "name": "s",
    "trials": 4,
    "evaluate": {"snr_db": [0], "rates": [8]},
    "space": {"jscgc.train.learning_rate": {"log_uniform": [0.001, 0.002]}},
}


def checked(tmp_path: Path, **changes: Any) -> Any:
    path = tmp_path / "space.yaml"
    path.write_text(json.dumps(MINIMAL | changes))
    space = read_space(path)
    return check(space, load_params(ROOT / "params.yaml"), path)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            {"jscgc.learning_rate": {"uniform": [0, 1]}},
            "no jscgc.learning_rate; did you mean jscgc.train.learning_rate?",
        ),
        ({"jcsgc.train.steps": {"integer": [1, 2]}}, "no jcsgc.train.steps; did you mean jscgc.train.steps?"),
        (
            {"jscgc.train.learning_rate": {"uniform": [-1, 1]}},
            "jscgc.train.learning_rate: Input should be greater than 0",
        ),
        ({"jscgc.train.steps": {"uniform": [10, 20]}}, "jscgc.train.steps: Input should be a valid integer"),
        ({"objective.time_law": {"choice": ["uniform", "cosine"]}}, "objective.time_law: Input should be"),
        (
            {"jscgc": {"choice": [{"codec_rate": 0.5}, {"codec_rat": 0.5}]}},
            "jscgc.codec_rat: Extra inputs are not permitted",
        ),
        ({"jscgc.train.learning_rate": {}}, "expected one of uniform, log_uniform, integer, choice"),
        ({"sample.guidance": {"uniform": [2, 1]}}, "the first end must be below the second"),
        ({"sample.guidance": {"log_uniform": [0, 1]}}, "the ends must be above 0"),
        ({"sample.guidance": {"choice": [1, 1]}}, "a value is there twice"),
        ({"sample.guidance": {"gaussian": [1, 1]}}, "gaussian: Extra inputs are not permitted"),
        ({"sample.guidance": {"uniform": [1, float("inf")]}}, "Input should be a valid number"),
        ({}, "space: Dictionary should have at least 1 item"),
        (
            {"evaluate.seeds": {"integer": [1, 3]}},
            "evaluate.seeds can't be searched: evaluate decides how trials are scored",
        ),
        ({"seed": {"integer": [1, 3]}}, "seed can't be searched"),
        ({"baselines.diffcom.steps": {"integer": [1, 3]}}, "has no effect on jscgc"),
        ({"baselines.diffjscc.steps": {"integer": [10, 30]}}, "has no effect on jscgc"),
        ({"sample.reconstruction_guidance": {"uniform": [0, 1]}}, "has no effect on jscgc"),
        ({"vae.width": {"integer": [10, 30]}}, "has no effect on jscgc with init shipped"),
    ],
)
def test_a_wrong_axis_is_one_line_that_names_it(tmp_path: Path, space: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError) as error:
        checked(tmp_path, space=space)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'space.yaml'}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../up"}, "name: String should match"),
        ({"trials": 0}, "trials: Input should be greater than 0"),
        ({"trials": 2.5}, "trials: Input should be a valid integer"),
        ({"metric": "psnrr"}, "psnr"),
        ({"system": "hevc_ldpc"}, "system: nothing of 'hevc_ldpc' is trained; choose from jscgc, "),
        ({"system": "diffcom"}, "system: nothing of 'diffcom' is trained"),
        ({"system": "swinjscc"}, "system: params.yaml does not train swinjscc; give its baselines that key"),
        ({"search": "grid"}, "search: Input should be"),
        ({"asha": {"rungs": 0}}, "asha.rungs: Input should be greater than or equal to 1"),
        ({"fixed": {"jscgc": {"train": {"stepz": 3}}}}, "fixed: jscgc.train.stepz: Extra inputs are not permitted"),
        ({"fixed": {"jscgcc": {"train": 3}}}, "jscgcc is no section of params.yaml"),
        ({"evaluate": {"snr_db": [0], "rates": [99]}}, "evaluate.rates.0: Input should be less than or equal to 60"),
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
    ],
)
def test_anything_else_wrong_is_one_line_too(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError) as error:
        checked(tmp_path, **changes)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "7"])
def test_what_is_no_space_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"space\.yaml"):
        read_space(path)


def test_values_that_fit_only_with_others_are_allowed(tmp_path: Path) -> None:
    """time_shift needs time_law shifted, which params.yaml has not; a space that has both is right."""
    axes = {"objective.time_law": {"choice": ["uniform", "shifted"]}, "objective.time_shift": {"uniform": [0.5, 2]}}
    checked(tmp_path, space=axes)
    plan = prepare(tmp_path / "space.yaml", ROOT / "params.yaml", tmp_path, tmp_path / "out", None)
    del axes["objective.time_law"]
    (tmp_path / "space.yaml").write_text(json.dumps(MINIMAL | {"space": axes}))
    with pytest.raises(ParamsError, match="draws gave no values that work together.*acts on time_law shifted only"):
        prepare(tmp_path / "space.yaml", ROOT / "params.yaml", tmp_path, tmp_path / "out", None)
    assert plan.works({"objective.time_law": "shifted", "objective.time_shift": 1.5}).objective.time_shift == 1.5


def test_the_ready_space_is_right_and_its_first_trials_are_always_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    command = ["sweep", "pipeline/sweeps/jscgc.yaml", "--dry-run", "--json", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert main([*command, "--trials", "3"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert (first["trials"], second["trials"]) == (24, 3)
    assert first["first"][:3] == second["first"] and len(first["first"]) == 5
    assert first["rung_steps"] == [100, 200, 400] and first["trained"] == ["jscgc"]
    searched = " ".join(first["space"])
    assert all(word in searched for word in ("learning_rate", "objective", "adapter", "guidance"))
    assert first["rejected"]["count"] == 0
    assert not list(tmp_path.iterdir())


def test_nested() -> None:
    assert nested({"a.b": 1, "a": {"c": 2}, "d": [1]}) == {"a": {"b": 1, "c": 2}, "d": [1]}
    assert nested({"a": {"c": 2}, "a.b": 1}) == {"a": {"c": 2, "b": 1}}


def test_only_what_the_values_touch_is_trained(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml", ROOT / "pipeline/profiles/smoke.yaml")
    origin = chain.Origin(params, tmp_path / "data", tmp_path / "out")

    results = ["vae", "latents", *params.trained]
    for result in results:
        origin.left(result).mkdir(parents=True)

    def trained(**values: Any) -> set[str]:
        wanted = changed(params, {key.replace("__", "."): value for key, value in values.items()})
        return {result for result in results if origin.folder(result, wanted)}

    receivers = {"jscgc", "diffjscc", "jscgc_fast", "jscgc_one_step"}
    assert trained(sample__guidance=2.0, evaluate__seeds=3) == set()
    assert trained(jscgc__train__learning_rate=0.1) == receivers
    assert trained(objective__weight_power=0.5) == {"flow", "diffcom", *receivers}
    assert trained(codec__steps=7) == {"mambajscc_psnr", "mambajscc_feature", "diffcom", *receivers}
    assert trained(baselines__diffjscc__steps=7) == {"diffjscc"}
    assert trained(baselines__deepjscc__train__steps=7) == {"deepjscc"}
    assert trained(vae__width=24) == set(results) - {"deepjscc", "klt"}, "they work on pixels"
    one, other = (origin.folder("jscgc", changed(params, {"jscgc.codec_rate": rate})) for rate in (0.5, 0.7))
    same = origin.folder("jscgc", changed(params, {"jscgc.codec_rate": 0.5, "sample.guidance": 2.0}))
    assert one == same != other
    shipped = load_params(ROOT / "params.yaml")
    assert "flow" not in {s for s in results if chain.acts_on_stage(s, "objective.weight_power", shipped)}
    assert chain.acts_on("jscgc", "codec.steps", "shipped") and chain.acts_on("jscgc", "jscgc.encoder_init", "shipped")
    for key in ("jscgc.encoder_init", "vae.width", "generator.train.steps"):
        assert not chain.acts_on("jscgc", key, "finetune"), key
    assert chain.acts_on("jscgc", "jscgc.train.steps", "finetune") and chain.acts_on(
        "diffjscc", "codec.steps", "finetune"
    )
    for key in ("codec.steps", "generator.depth", "jscgc.adapter.width", "link.rates"):
        assert not chain.acts_on("jscgc", key, "finetune") and not chain.acts_on("jscgc", key, "widen"), key
    for key in ("vae.anchor_weight", "vae.added_shrink", "latents.added_scale"):
        assert [init for init in get_args(Init) if chain.acts_on("jscgc", key, init)] == ["widen"], key
    assert chain.acts_on("jscgc", "generator.train.steps", "widen")
