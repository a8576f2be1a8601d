"""What README and docs say exists: files, headings, and every command of their examples (blocks marked sh)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from jscgc.cli import build_parser
from jscgc.config import read_yaml

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "jscgc/pretrained/README.md", *sorted((ROOT / "docs").glob("*.md"))]
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
PROFILES = {"nano", *(path.stem for path in (ROOT / "pipeline/profiles").glob("*.yaml"))}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        name, _, place = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {link}"
        headings = (
            [line for line in target.read_text(encoding="utf-8").splitlines() if line.startswith("#")] if place else []
        )
        assert not place or place in map(anchor, headings), f"{page.name}: {link}"


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page, and words of each command of an example; those with placeholders in brackets or dots are left out."""
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
                lexer.whitespace_split = True
                words: list[str] = []
                for word in [*lexer, ";"]:
                    if set(word) <= set("&|;()<>"):
                        if words and not re.search(r"\[|\.\.\.", " ".join(words)):
                            yield page.name, words
                        words = []
                    else:
                        words.append(word)


@pytest.mark.parametrize(("page", "words"), [pytest.param(p, w, id=f"{p}-{i}") for i, (p, w) in enumerate(commands())])
def test_commands_are_there(page, words, capsys):
    words = [word for i, word in enumerate(words) if i or "=" not in word]  # without a variable before the command
    match words:
        case ["jscgc", *arguments] if arguments:
            try:
                build_parser().parse_args(arguments)
            except SystemExit as end:
                pytest.fail(f"{page}: {' '.join(words)}: {capsys.readouterr().err}") if end.code else None
        case ["make", *rest]:
            assert {word for word in rest if "=" not in word} <= TARGETS
            assert {word.removeprefix("PROFILE=") for word in rest if word.startswith("PROFILE=")} <= PROFILES
        case ["dvc", "repro", *stages]:
            for stage in (word for word in stages if not word.startswith("-")):
                name, _, item = stage.partition("@")
                assert name in STAGES and (not item or item in STAGES[name].get("foreach", [item]))
        case ["python", "-m", module, *_] if module.startswith(("pipeline.", "jscgc.")):
            assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists()


def test_there_are_commands_to_look_at():
    found = [words[0] for _, words in commands()]
    assert found.count("jscgc") > 20 and found.count("make") > 5 and "dvc" in found


# Any page, and files of the folders that hold sources; what a run writes (reports/, data/) is there after it only.
FILE = re.compile(
    r"(?<![\w/:.{}$*<>~-])"
    r"(/?(?:[\w.-]+/)*[\w-]+\.md|(?:jscgc|pipeline|tests|docs)/[\w./-]*\w\.(?:py|ya?ml|toml|j2|csv|json|svg|png|cpp|cu))"
    r"(?![\w/{}*])"
)
CITING = [
    path
    for folder in ("jscgc", "pipeline", "tests", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".yaml", ".toml", ".j2", ".md", ".cpp", ".cu"}
] + [ROOT / name for name in ("README.md", "Makefile", "params.yaml", "dvc.yaml", "pyproject.toml")]


def cited(text: str, place: Path) -> Iterator[str]:
    """Files that a text names and that are not there."""
    for name in FILE.findall(text):
        if not (ROOT / name).exists() and not (place / name).exists():
            yield name


def test_no_file_is_cited_that_is_not_there():
    """In docstrings, comments, strings and pages: a reader can't look into a file that we alone have."""
    missing = {path.relative_to(ROOT).as_posix(): [*cited(path.read_text("utf-8"), path.parent)] for path in CITING}
    assert not {name: files for name, files in missing.items() if files}
    assert len(CITING) > 300


@pytest.mark.parametrize(
    "name", ["notes" + ".md", "../elsewhere/notes" + ".md", "/w/notes" + ".md", "jscgc/none" + ".py"]
)
def test_what_is_not_there_is_seen(name):
    for text in (f'"""{name}: V = c"""', f"# {name}.", f'Check("", 1, 1, 0.1, "{name}")', f"({name}, eq. 4)"):
        assert [*cited(text, ROOT / "docs")] == [name]
    assert not [*cited("docs/theory.md, https://a.org/b/notes" + ".md, {place}/notes" + ".md", ROOT)]
