"""What maintainers rely on says the same as the files that it stands beside: versions, tools, commands, Pythons."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from lean import PROJECT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML
from test_docs import PAGES, cited

from jscgc import __version__

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CLASSIFIED = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def read(name: str | Path) -> Any:
    """YAML 1.2: `on` is a word, as it is to GitHub."""
    return YAML(typ="safe").load(ROOT / name)


def recipe(target: str) -> list[str]:
    """Commands of a target of the Makefile, its prerequisites' first (but for those of the environment)."""
    (needs, lines) = re.findall(rf"^{target}:(.*)\n((?:\t.*\n)*)", text("Makefile"), re.MULTILINE)[0]
    before = [command for name in needs.split("##")[0].split() if name.isalpha() for command in recipe(name)]
    return [*before, *lines.replace("\t", "").splitlines()]


def releases() -> list[tuple[str, str]]:
    """Version and date of each section of the changelog."""
    return re.findall(r"^## \[([^\]]+)\](?: - (.+))?$", text("CHANGELOG.md"), re.MULTILINE)


def misnamed(tags: Iterable[str]) -> list[str]:
    """Tags of releases that name another version than the code, or one that the changelog has no section of."""
    known = {f"v{version}" for version, _ in releases()} & {f"v{__version__}"}
    return [tag for tag in tags if tag.startswith("v") and tag not in known]


# Versions


def test_citation_is_of_this_version():
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software" and citation["message"]
    assert citation["version"] == __version__ and citation["license"] == PROJECT["license"]
    names = [author["name"] for author in citation["authors"]]
    assert names == [author["name"] for author in PROJECT["authors"]]
    assert all(name in text("LICENSE") for name in names)


def test_citation_has_the_paper():
    (paper,) = read("CITATION.cff")["references"]
    assert paper["url"] == PROJECT["urls"]["Paper"]
    assert f"[arXiv 2606.12858]({paper['url']})" in text("README.md")
    assert paper["type"] == "article" and paper["title"] and len(paper["authors"]) == 7


def test_the_changelog_has_this_version():
    (first, no_date), *released = releases()
    assert first == "Unreleased" and not no_date
    if __version__ not in dict(released):  # then it is the next one, and says so
        preamble = text("CHANGELOG.md").split("## [Unreleased]\n")[1].split("\n#")[0]
        assert f"will become {__version__}" in " ".join(preamble.split())
    assert all(date.fromisoformat(day) for _, day in released)
    kinds = set(re.findall(r"^### (.+)$", text("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an exported tree has no tags")
def test_a_release_is_tagged_with_its_version():
    command = ["git", "-C", str(ROOT), "tag", "--points-at", "HEAD"]
    assert not misnamed(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    # The version has no section of its own before its release: a tag is too early.
    assert misnamed(["v0.0.0", "draft"]) == ["v0.0.0"]


def test_a_wheel_of_an_exported_tree_has_version_and_metadata(tmp_path):
    """Without git, and without importing the package."""
    (tmp_path / "jscgc").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "jscgc/__init__.py"):
        (tmp_path / name).write_text(text(name), encoding="utf-8")
    code = "from setuptools import build_meta as b; print(b.prepare_metadata_for_build_wheel('out'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "SetuptoolsDeprecationWarning" not in done.stderr
    made = metadata.PathDistribution(tmp_path / "out" / done.stdout.split()[-1])
    assert made.version == __version__
    assert made.metadata["License-Expression"] == PROJECT["license"]
    assert made.metadata.get_all("Classifier") == PROJECT["classifiers"]
    assert made.metadata.get_all("Project-URL") == [f"{name}, {url}" for name, url in PROJECT["urls"].items()]


# Pythons


def test_the_pythons_are_the_same_everywhere():
    (workflow,) = WORKFLOWS
    assert set(read(workflow)["jobs"]["test"]["strategy"]["matrix"]["python"]) == CLASSIFIED
    first, last = sorted(CLASSIFIED)[0], sorted(CLASSIFIED)[-1]
    assert f"Python {first} to {last}" in text("CONTRIBUTING.md")
    assert PROJECT["requires-python"] == f">={first}"
    assert SpecifierSet(PROJECT["requires-python"]).contains(".".join(map(str, sys.version_info[:2])))


def test_the_images_python_has_every_extra():
    bases = set(re.findall(r"^FROM python:(3\.\d+)-slim", text("Dockerfile"), re.MULTILINE))
    (python,) = bases
    assert python in CLASSIFIED
    for requirement in map(Requirement, PROJECT["optional-dependencies"]["text"]):
        assert requirement.marker and requirement.marker.evaluate({"python_version": python})


# Tools and commands


def test_hooks_are_the_commands_of_make_test():
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local" and {hook["language"] for hook in repository["hooks"]} == {"system"}
    hooks = [hook["entry"].replace(".venv/bin/", "").replace(" --force-exclude", "") for hook in repository["hooks"]]
    lint = [command.removesuffix(" .") for command in recipe("lint")]
    assert hooks == lint == ["ruff check", "ruff format --check", "mypy"]
    assert recipe("test")[:3] == recipe("quick")[:3] == recipe("lint")
    # What gets files' names is asked for nothing that `make test` does not look at.
    assert all(hook.get("pass_filenames", True) == ("ruff" in hook["entry"]) for hook in repository["hooks"])


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pytest"])
def test_the_tools_are_the_pinned_ones(tool):
    (pinned,) = re.findall(rf"^{tool}==(\S+)$", text("requirements.lock"), re.MULTILINE)
    assert metadata.version(tool) == pinned


def test_quick_is_the_tests_without_the_long_ones():
    whole, quick = recipe("test")[-1], recipe("quick")[-1]
    assert quick.removeprefix(whole) == " -m 'not slow and not long'"


def test_long_files_are_there():
    """A name that is no file's would mark nothing."""
    spec = importlib.util.spec_from_file_location("ours", ROOT / "tests" / "conftest.py")  # other folders have one, too
    assert spec is not None and spec.loader is not None
    ours = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ours)
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(ours.LONG) <= files


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_workflow_runs_what_ci_runs_and_may_only_read(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    matrix = job["strategy"]["matrix"]
    commands = {*matrix["command"], *(row["command"] for row in matrix["include"])}
    assert commands == {"make quick", "bash .ci/run"} and "make test\n" in text(".ci/run")
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["make install PYTHON=python", "${{ matrix.command }}"]
    assert re.search(r"^PYTHON \?=", text("Makefile"), re.MULTILINE) and recipe("quick")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(path):
    used = re.findall(r"uses: (.*)", text(path.relative_to(ROOT).as_posix()))
    assert used and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) for line in used)


def test_the_cache_is_keyed_by_files_that_are_there():
    (workflow,) = WORKFLOWS
    (names,) = re.findall(r"hashFiles\((.+?)\)", text(workflow.relative_to(ROOT).as_posix()))
    assert all((ROOT / name.strip(" '")).is_file() for name in names.split(","))


# The image


def installed(commands: str) -> set[str]:
    """What is set before, and stands behind, each `pip install` of the packages."""
    found = re.findall(
        r"((?:MAMBA_\w+=\w+ )*)\S*(?:python -m )?pip install (?:--quiet --disable\S+ )?(--no-deps .+?)(?= \\|\n)",
        commands,
    )
    return {before + packages.replace("--editable ", "") for before, packages in found}


def test_the_image_installs_what_make_install_does():
    makefile = text("Makefile")
    (mamba,) = re.findall(r"^MAMBA := (\S+)$", makefile, re.MULTILINE)
    here, image = installed(makefile.replace("$(MAMBA)", mamba)), installed(text("Dockerfile"))
    assert here == image and len(here) == 3 and any("-r requirements.lock" in packages for packages in here)
    (fetched,) = re.findall(r"^\t@\.venv/bin/(jscgc weights fetch [\w ]+?) \|\|", makefile, re.MULTILINE)
    assert f"RUN {fetched}\n" in text("Dockerfile")


def test_the_image_runs_the_command_and_not_as_root():
    image = text("Dockerfile")
    (entry,) = re.findall(r'^ENTRYPOINT \["(.+)"\]$', image, re.MULTILINE)
    assert entry in PROJECT["scripts"]
    users = re.findall(r"^USER (\S+)$", image, re.MULTILINE)
    assert users == ["1000"] and image.index("USER 1000") < image.index("ENTRYPOINT")
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", image, re.MULTILINE):
        assert all((ROOT / name).exists() for name in sources.split())


def test_the_image_gets_nothing_that_git_ignores():
    kept_out = {line.removeprefix("**/") for line in text(".dockerignore").splitlines() if not line.startswith("#")}
    ignored = {line.strip("/") for line in text(".gitignore").splitlines() if line}
    assert ignored <= kept_out and not kept_out & {"jscgc", "requirements.lock", "pyproject.toml", ".git"}


# Templates, and what they name


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_forms_are_forms(path):
    form = read(path)
    assert form.keys() == {"name", "description", "labels", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 1
    assert all(field["type"] in {"input", "textarea"} and field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_there_is_a_form_for_each_kind():
    assert [path.stem for path in FORMS] == ["bug", "idea", "result"]


def test_files_that_are_named_are_there():
    names = ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff", "Dockerfile", ".dockerignore"]
    names += [".pre-commit-config.yaml", ".github/pull_request_template.md"]
    names += [path.relative_to(ROOT).as_posix() for path in (*FORMS, *WORKFLOWS)]
    assert not {name: missing for name in names if (missing := [*cited(text(name), ROOT)])}
    # Links and commands of pages: tests/test_docs.py.
    assert {ROOT / name for name in names[:3]} <= set(PAGES)
