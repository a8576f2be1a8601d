"""dvc.yaml follows from the table of stages, and DVC sees what a stage can run."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from jscgc import stages
from jscgc.config import ParamsError
from jscgc.params import load_params
from jscgc.sources import PACKAGE
from jscgc.systems.params import FinetuneParams
from pipeline import graph

ROOT = Path(__file__).parents[1]
LINKS = {"clear": "awgn", "echoes": "tdl_a"}


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def content():
    return YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def test_dvc_yaml_is_what_the_table_says(params):
    assert (ROOT / "dvc.yaml").read_text(encoding="utf-8") == graph.render(params), "run: python -m pipeline.graph"


def test_every_stage_depends_on_the_closure_of_its_code(params, content):
    """Fails with the path that is missing."""
    code = {graph.name_of(r): stages.stage(r).sources(params) for r in ("photos", "vae", "latents", *params.trained)}
    code |= {"evaluate": stages.evaluation_sources(), "theory": stages.theory_sources()}
    code["report"] = stages.report_sources()
    assert code.keys() == content["stages"].keys()
    for name, paths in code.items():
        places = [ROOT / dep for dep in content["stages"][name]["deps"]]
        assert all(place.exists() for place in places if place.is_relative_to(PACKAGE)), name
        for path in paths:
            assert any(path.is_relative_to(place) for place in places), f"{name}: {path.relative_to(ROOT)} is missing"


def test_an_evaluation_depends_on_all_that_it_can_be_asked_for():
    reached = {path.relative_to(PACKAGE).as_posix() for path in stages.evaluation_sources()}
    for folder in ("methods", "channel", "metrics/kinds", "generator/kinds", "flow/solvers", "encoder", "classical"):
        missing = {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / folder).glob("*.py")} - reached
        assert not missing, folder


def test_every_stage_depends_on_what_it_needs_and_on_the_keys_that_it_reads(params, content):
    made = {out: name for name, stage in content["stages"].items() for out in stage["outs"]}
    for result in ("photos", "vae", "latents", *params.trained):
        stage = content["stages"][graph.name_of(result)]
        assert set(stages.stage(result).keys) <= set(stage["params"])
        for need in stages.stage(result).needs:
            assert made[f"data/{stages.place(need).as_posix()}"] == graph.name_of(need)
            assert f"data/{stages.place(need).as_posix()}" in stage["deps"]


def test_every_parameter_that_dvc_sees_is_in_params_yaml(content):
    """DVC refuses a key that its file lacks: a competitor that is trained has its section there, be it empty."""
    known = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name, stage in content["stages"].items():
        for key in stage.get("params", ()):
            place = known
            for part in key.split("."):
                assert part in place, f"{name}: {key}"
                place = place[part]


def test_what_is_trained_follows_from_params_yaml(params):
    fewer = params.model_copy(update={"baselines": {"diffjscc": params.baselines["diffjscc"]}})
    names = graph.graph(fewer)["stages"].keys()
    assert "train_diffjscc" in names and "train_klt" not in names
    # Over another channel: that channel's file is read, and no other's.
    faded = params.model_copy(update={"link": params.link.model_copy(update={"channels": ["tdl_a"]})})
    deps = graph.graph(faded)["stages"]["train_jscgc"]["deps"]
    assert "jscgc/channel/kinds/multipath.py" in deps and "jscgc/channel/kinds/awgn.py" not in deps


def test_a_method_without_a_stage_is_named_at_once(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"trains flow, and dvc.yaml has no stage for it; run: python -m pipeline.graph"
    ):
        graph.check(params)
    graph.write(params)
    graph.check(params)
    text = graph.FILE.read_text().replace("\n  train_klt:", "\n  train_other:")
    graph.FILE.write_text(text)
    with pytest.raises(ValueError, match="trains klt, and dvc.yaml has no stage"):
        graph.check(params)


def test_a_stage_that_lacks_a_file_which_it_runs_says_so(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph.write(params)
    for result in ("vae", *params.trained):
        graph.check(params, graph.name_of(result))
    # As `dvc repro -S link.channels=[tdl_a]` would run on the file that nano's channels gave.
    faded = params.model_copy(update={"link": params.link.model_copy(update={"channels": ["tdl_a"]})})
    graph.check(faded, "train_vae")
    with pytest.raises(
        ValueError, match=r"stage train_jscgc runs jscgc/channel/.*\.py and does not depend on it; run: python"
    ):
        graph.check(faded, "train_jscgc")


def test_fine_tuning_is_a_stage_for_each_link(params, tmp_path, monkeypatch):
    links = {name: {"channels": [kind], "snr_db": [5, 5], "rates": [2]} for name, kind in LINKS.items()}
    train = {"steps": 1, "batch_size": 1, "learning_rate": 0.1}
    params = params.model_copy(update={"finetune": FinetuneParams.model_validate({"links": links, "train": train})})
    assert params.finetuned == ["jscgc-clear", "jscgc-echoes", "diffjscc-clear", "diffjscc-echoes"]
    made = graph.graph(params)["stages"]["finetune_jscgc"]
    stage = made["do"]
    assert made["foreach"] == ["clear", "echoes"] and stage["cmd"] == "python -m pipeline.train jscgc-${item}"
    assert {"data/models/jscgc", "data/latents"} < set(stage["deps"]) and "data/models/flow" not in stage["deps"]
    # Each has its own link among its parameters, and all links' code.
    assert "finetune.links.${item}" in stage["params"] and "link" not in stage["params"]
    assert {"jscgc/channel/kinds/awgn.py", "jscgc/channel/kinds/multipath.py"} < set(stage["deps"])
    assert stage["outs"] == ["data/models/jscgc-${item}", "reports/metrics/finetune_jscgc-${item}.json"]
    assert stages.name_of("jscgc-echoes") == "finetune_jscgc@echoes"
    monkeypatch.chdir(tmp_path)
    graph.write(params)
    for result in params.finetuned:
        graph.check(params, stages.name_of(result))
    text = graph.FILE.read_text()
    # A link that was added by hand has no stage yet.
    graph.FILE.write_text(text.replace("    - echoes\n", ""))
    with pytest.raises(ValueError, match="trains jscgc-echoes, and dvc.yaml has no stage"):
        graph.check(params)
    graph.FILE.write_text(text.replace("\n  finetune_diffjscc:", "\n  other:"))
    with pytest.raises(ValueError, match="trains diffjscc-clear, and dvc.yaml has no stage"):
        graph.check(params)


@pytest.mark.parametrize("profile", sorted((ROOT / "pipeline/profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_has_a_graph(profile):
    try:
        params = load_params(ROOT / "params.yaml", profile)
    except ParamsError as error:
        pytest.fail(str(error))
    assert {graph.name_of(result) for result in params.trained} <= graph.graph(params)["stages"].keys()


def test_the_photographs_depend_on_the_list_of_them(params):
    assert "ids.csv" not in graph.graph(params)["stages"]["prepare"]["deps"]
    listed = params.model_copy(update={"data": params.data.model_copy(update={"list_file": "ids.csv"})})
    assert graph.graph(listed)["stages"]["prepare"]["deps"][-1] == "ids.csv"
