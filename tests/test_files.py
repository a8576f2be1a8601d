"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import os

import pytest

from jscgc.files import atomic, component, read_json, sha256, write_json


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "x.txt"
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole" and names(path.parent) == ["x.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("before")
    with pytest.raises(error), atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "before" and names(tmp_path) == ["x.txt"]


def test_a_folder_replaces_a_folder_whole(tmp_path):
    path = tmp_path / "model"
    for name in ("a", "b"):
        with atomic(path) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert names(path) == ["b"] and names(tmp_path) == ["model"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "a").write_text("a")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "b").write_text("b")
        raise RuntimeError
    assert names(path) == ["a"] and names(tmp_path) == ["model"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path, kind):
    """Process numbers come again, in containers soon."""
    left = tmp_path / f".model.{os.getpid()}.tmp"
    if kind == "file":
        left.write_text("half")
    else:
        left.mkdir()
        (left / "half").write_text("half")
    with atomic(tmp_path / "model") as temporary:
        temporary.mkdir()
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == []


def test_json_round_trips(tmp_path):
    content = {"a": [1, 0.5, None, "ü"], "b": {"c": True}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
    assert (tmp_path / "x.json").read_text(encoding="utf-8").endswith("\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_is_not_json_is_not_written(tmp_path, value):
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "x.json", {"a": value})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"{'a': 1}", b"\xff\xfe"])
def test_what_is_not_json_is_one_line_that_names_the_file(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.json: not valid JSON") as caught:
        read_json(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


def test_the_checksum_of_a_file_is_its_sha256(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_the_checksum_of_a_folder_is_of_names_and_contents(tmp_path):
    def folder(**files) -> str:
        root = tmp_path / str(len(names(tmp_path)))
        for name, content in files.items():
            (root / name.replace("__", "/")).parent.mkdir(parents=True, exist_ok=True)
            (root / name.replace("__", "/")).write_text(content)
        return sha256(root)

    base = folder(a="1", b__c="2")
    assert folder(b__c="2", a="1") == base
    others = {
        folder(a="1", b__c="3"),
        folder(a="1", b__d="2"),
        folder(a="1"),
        folder(a="1", b="2"),
        folder(a="2", b__c="1"),
    }
    assert len(others) == 5 and base not in others


def test_a_name_is_one_component_of_a_path():
    plain = ["a.png", "IMG [final].png", "grün.png", "a b", "..."]
    assert [component(name) for name in plain] == plain
    odd = [
        "a/b.png",
        "a_b.png/",
        "a//b.png",
        "a\\b.png",
        "../a.png",
        "..",
        ".",
        "",
        "/",
        "x" * 300,
        "x" * 299 + "y",
        "ü" * 150,
    ]
    made = [component(name) for name in odd]
    assert len({*made, *plain}) == len(odd) + len(plain)
    for name in made:
        assert "/" not in name and name not in (".", "..") and 0 < len(name.encode()) <= 200
        assert component(name) == name


def test_the_checksum_of_a_folder_knows_names_that_are_not_text(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"gr\xfcn")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    one = sha256(tmp_path)
    (tmp_path / os.fsdecode(b"gr\xfcn")).rename(tmp_path / "b")
    assert sha256(tmp_path) != one
