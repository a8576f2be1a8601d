"""The closure of imports: lazy ones and named modules count, types and orchestration do not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from jscgc import sources, stages
from jscgc.method import METHODS, trainable
from jscgc.params import Params, load_params
from jscgc.sources import ORCHESTRATION, PACKAGE, closure, entry

ROOT = Path(__file__).parents[1]


def names(*entries: str) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in closure(*entries)}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of our name, of files that a test writes."""
    folder = tmp_path / "jscgc"

    def write(**files: str) -> None:
        for name, text in {"__init__": "", **files}.items():
            path = folder / f"{name.replace('__', '/', 1) if not name.startswith('__') else name}.py"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
            if path.parent != folder:
                (path.parent / "__init__.py").touch()

    def forget() -> None:
        for cached in (closure, sources._path, sources._tree, sources._reached):
            cached.cache_clear()

    monkeypatch.setattr(sources, "PACKAGE", folder)
    forget()
    yield write, lambda *entries: {path.relative_to(folder).as_posix() for path in closure(*entries)}
    forget()


def test_imports_count_wherever_they_stand(package):
    write, reached = package
    write(
        a="from typing import TYPE_CHECKING\nimport jscgc.b\nif TYPE_CHECKING:\n    import jscgc.types\n"
        "else:\n    import jscgc.others\ndef f():\n    from jscgc import lazy\n    return 'jscgc.named:call'\n",
        b="from jscgc.sub.c import thing",
        sub__c="thing = 1",
        types="",
        others="",
        lazy="",
        named="",
        unrelated="",
    )
    assert reached("jscgc.a") == {
        "__init__.py", "a.py", "b.py", "sub/__init__.py", "sub/c.py", "lazy.py", "named.py", "others.py"
    }  # fmt: skip


def test_a_circle_ends(package):
    write, reached = package
    write(a="import jscgc.b", b="import jscgc.a")
    assert reached("jscgc.a") == {"__init__.py", "a.py", "b.py"}


def test_of_a_declaring_module_only_what_is_asked_for_counts(package):
    write, reached = package
    write(
        methods__one="from jscgc import shared\ndef build():\n    return helper()\ndef helper():\n    import jscgc.net\n"
        "def train():\n    import jscgc.training\nMETHOD = (build, train)\n",
        methods__two="def build():\n    from jscgc.methods import one\n    return one.build()\n",
        shared="",
        net="",
        training="",
    )
    package_files = {"__init__.py", "methods/__init__.py", "shared.py"}
    assert reached("jscgc.methods.one:build") == {*package_files, "methods/one.py", "net.py"}
    assert reached("jscgc.methods.one:train") == {*package_files, "methods/one.py", "training.py"}
    assert reached("jscgc.methods.one:<outside>") == {*package_files, "methods/one.py"}
    assert reached("jscgc.methods.two:build") == {*package_files, "methods/one.py", "methods/two.py", "net.py"}


def test_helpers_that_a_class_an_alias_or_a_lambda_uses_count(package):
    write, reached = package
    write(
        methods__one="def _far():\n    import jscgc.far\ndef _near():\n    import jscgc.near\nALIAS = _near\n"
        "class Net:\n    def __init__(self):\n        _far()\ndef build():\n    return Net()\ndef other():\n    ALIAS()\n"
        "def shape():\n    import jscgc.lazy\nMETHOD = dict(describe=lambda: shape())\n",
        methods__two="import jscgc.methods.one as one\ndef build():\n    return one.build()\n",
        far="", near="", lazy="",
    )  # fmt: skip
    assert "far.py" in reached("jscgc.methods.one:build") and "near.py" not in reached("jscgc.methods.one:build")
    assert "near.py" in reached("jscgc.methods.one:other")
    assert "lazy.py" in reached("jscgc.methods.one:<lambda>")
    assert "far.py" in reached("jscgc.methods.two:build")


def test_relative_imports_of_another_package_are_followed(tmp_path, monkeypatch):
    folder = tmp_path / "zz_plugin"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "one": "from .net import f\nfrom . import help\n",
        "net": "f = 1",
        "help": "",
    }.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert {path.name for path in closure("zz_plugin.one")} == {"__init__.py", "one.py", "net.py", "help.py"}
    assert {path.name for path in closure("zz_plugin.net")} == {"__init__.py", "net.py"}


def test_tables_beside_a_module_belong_to_it(package, tmp_path):
    write, reached = package
    write(sub__a="", other__b="")
    for name in ("sub/table.csv", "other/table.csv"):
        (tmp_path / "jscgc" / name).write_text("1")
    assert reached("jscgc.sub.a") == {"__init__.py", "sub/__init__.py", "sub/a.py", "sub/table.csv"}


def test_what_receives_is_no_training_and_what_trains_is_no_evaluation():
    for method in METHODS:
        made = entry(method.system) if method.system else entry(method.network.build)
        assert not {name for name in names(made) if name.startswith(("training/", "evaluation/", "sweep/"))}, (
            method.name
        )
    for name, own in trainable().items():
        reached = names(entry(own.recipe))
        assert not {path for path in reached if path.startswith("evaluation/")} - {"evaluation/__init__.py"}, name


def test_one_method_does_not_reach_another_that_it_does_not_use():
    jscgc = names(entry(METHODS["jscgc"].network.build))
    assert "systems/jscgc.py" in jscgc
    assert not jscgc & {
        "systems/diffcom.py",
        "encoder/cnn.py",
        "encoder/swin.py",
        "classical/codecs.py",
        "systems/store.py",
    }


@pytest.fixture(scope="module")
def nano() -> Params:
    return load_params(ROOT / "params.yaml")


def test_orchestration_reaches_no_result(nano):
    """It is left out of every closure, so nothing that computes may import it: but for who hands out the jobs of a grid."""
    every = set(closure(*stages.declared(), "jscgc.evaluation.run"))
    for result in ("photos", "vae", "latents", *trainable()):
        every |= set(stages.stage(result).sources(nano))
    own = {path.relative_to(PACKAGE).as_posix(): path for path in every if path.suffix == ".py"}
    importers = {
        (name, imported.split(".")[1])
        for name, path in own.items()
        for imported in sources._imports(ast.parse(path.read_text(encoding="utf-8")))
        if imported.startswith("jscgc.") and imported.split(".")[1] in ORCHESTRATION
    }
    # Section `distributed` of params.yaml, which no training reads (`cluster.train` does, and any number of workers computes
    # the same: tests/cluster); and the evaluation, whose table is the same with any workers (tests/test_pipeline.py).
    # Section `tracking`: what MLflow keeps. And what is shown while something runs: bars.
    shown = {(name, "printing") for name in ("data/progress.py", "training/loop.py", "evaluation/table.py")}
    sections = {("params.py", "cluster"), ("params.py", "tracking")}
    ending = ("data/readers.py", "signals")  # of the processes that read photographs
    assert importers == {*sections, ("evaluation/run.py", "cluster"), *shown, ending}


FOLDERS = {
    "report": set(), "demo": set(), "sweep": set(), "bench": set(), "tracking": set(), "cluster": set(), "commands": set(),
    "evaluation/run.py": set(), "evaluation/worker.py": set(), "theory": set(), "classical": set(),
    "systems/separation.py": set(), "methods/separation.py": set(), "metrics/kinds/lpips.py": set(),
    "metrics/kinds/feature_distance.py": {"vae", "mambajscc_feature"},
    "channel/kinds/multipath.py": set(), "channel/multipath.py": set(), "generator/kinds/sana.py": set(),
    "flow/solvers/heun.py": set(),
    "encoder/cnn.py": set(), "methods/deepjscc.py": set(), "methods/klt.py": {"klt"}, "methods/swinjscc.py": set(),
    "methods/diffcom.py": {"diffcom"}, "systems/diffcom.py": {"diffcom"}, "methods/jscgc_fast.py": {"jscgc_fast"},
    "latent/sharpen.py": {"vae", "mambajscc_feature"},
}  # fmt: skip
"""What touching a folder or file of the package makes anew, of photos, vae, latents and the networks of params.yaml."""
EVERYTHING = ("config.py", "seeding.py", "params.py", "files.py")
"""What every one of them runs."""


@pytest.mark.parametrize("place", FOLDERS)
def test_touching_a_folder_makes_anew_what_it_can_affect(nano, place):
    touched = {
        result
        for result in ("photos", "vae", "latents", *nano.trained)
        if any(path.is_relative_to(PACKAGE / place) for path in stages.stage(result).sources(nano))
    }
    # A folder's settings stand in its params.py: a changed default is for who reads the section.
    assert touched == FOLDERS[place]


@pytest.mark.parametrize("result", ["photos", "vae", "latents", "flow", "jscgc", "klt", "diffcom"])
def test_every_stage_depends_on_what_all_run_and_on_the_defaults_of_its_sections(nano, result):
    reached = {path.relative_to(PACKAGE).as_posix() for path in stages.stage(result).sources(nano)}
    assert {name for name in EVERYTHING if name != "seeding.py" or result not in ("diffcom",)} <= reached
    places = {"data": "data", "vae": "latent", "latents": "latent", "link": "channel", "generator": "generator"}
    for key in stages.stage(result).keys:
        if (place := places.get(key)) is not None:
            assert f"{place}/params.py" in reached


def test_a_new_file_with_a_method_channel_or_metric_is_nobody_elses(nano, tmp_path, monkeypatch):
    before = {result: stages.stage(result).sources(nano) for result in ("vae", "latents", *nano.trained)}
    made = [
        PACKAGE / "methods" / "zz_new.py", PACKAGE / "channel" / "kinds" / "zz_new.py", PACKAGE / "metrics/kinds/zz_new.py"
    ]  # fmt: skip
    try:
        for path in made:
            path.write_text('"""A new one."""\n')
        closure.cache_clear()
        assert before == {result: stages.stage(result).sources(nano) for result in before}
    finally:
        for path in made:
            path.unlink()
        closure.cache_clear()
