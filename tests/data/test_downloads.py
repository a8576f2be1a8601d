"""Downloads without a network: one line when there is none, checksums, safe archives, the right splits."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests

from jscgc.config import ParamsError
from jscgc.data import downloads
from jscgc.data.images import open_photo, save_png
from jscgc.data.params import DataParams
from jscgc.data.splits import collect

Server = dict[str, bytes]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSCGC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """URL -> content, in place of the internet; any other URL is a 404."""
    files: Server = {}

    def get(url: str, timeout: object, **_: object) -> requests.Response:
        assert timeout == (downloads.CONNECT_SECONDS, downloads.READ_SECONDS)
        response = requests.Response()
        response.url = url
        response.status_code = 200 if url in files else 404
        response.raw = io.BytesIO(files.get(url, b""))
        return response

    monkeypatch.setattr(requests, "get", get)
    return files


@pytest.mark.parametrize("source", ["kodak", "cifar10", "div2k"])
@pytest.mark.parametrize("error", [requests.ConnectionError, requests.Timeout, requests.exceptions.SSLError])
def test_no_internet_is_one_clear_line(
    source: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    calls = []

    def fail(url: str, **_: object) -> None:
        calls.append(url)
        raise error("Failed to resolve\n'host' " + "x" * 500)

    monkeypatch.setattr(requests, "get", fail)
    with pytest.raises(ParamsError) as caught:
        collect(DataParams.model_validate({"source": source}), 0)
    message = str(caught.value)
    assert message.startswith(f"data.source {source}: cannot download https://") and "data.source: folder" in message
    assert "\n" not in message and len(message) < 400 and len(calls) == 1
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_no_such_page(server: Server) -> None:
    with pytest.raises(ParamsError, match="data.source kodak: cannot download .*404"):
        downloads.kodak_photos()


def test_a_connection_that_broke_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def broken(url: str, **_: object) -> None:
        calls.append(url)
        raise requests.exceptions.ChunkedEncodingError("incomplete read")

    monkeypatch.setattr(requests, "get", broken)
    with pytest.raises(ParamsError, match="incomplete read"):
        downloads.cifar10_photos()
    assert len(calls) == 2


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(server: Server, cache: Path) -> None:
    server[downloads.CIFAR10_URL] = b"not the archive"
    with pytest.raises(
        ParamsError, match=r"data.source cifar10: .* is not the expected file \(sha256:c4a38c"
    ) as caught:
        downloads.cifar10_photos()
    assert "\n" not in str(caught.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_cache_that_cannot_be_written(server: Server, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(ParamsError, match="cannot write to .*; set JSCGC_CACHE"):
        downloads.kodak_photos()


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert downloads.cache_folder() == cache
    monkeypatch.delenv("JSCGC_CACHE")
    assert downloads.cache_folder().name == "jscgc"


def test_kodak_is_for_testing_only(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(downloads.KODAK_SHA256) == 24
    checksums = {}
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (4, 6, 3), np.uint8)
        save_png(pixels, tmp_path / "a.png")
        content = (tmp_path / "a.png").read_bytes()
        checksums[f"kodim{index:02d}"] = hashlib.sha256(content).hexdigest()
        server[f"{downloads.KODAK_URL}kodim{index:02d}.png"] = content
    monkeypatch.setattr(downloads, "KODAK_SHA256", checksums)
    photos = collect(DataParams(source="kodak"), 0).photos
    assert {photo.name for photo in photos if photo.split == "test"} == set(checksums)
    assert Counter(photo.split for photo in photos) == {"train": 7, "validation": 1, "test": 3}
    # Cached: the second time needs no server; a damaged file is noticed.
    server.clear()
    assert collect(DataParams(source="kodak"), 0).photos == photos
    photos[-1].path.write_bytes(b"damaged")
    with pytest.raises(ParamsError, match="cannot download"):
        downloads.kodak_photos()


@pytest.fixture
def cifar_archive(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    records = np.random.default_rng(0).integers(0, 256, (6, 4, 3073), np.uint8)
    records[..., 0] %= 10
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:

        def add(name: str, body: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))

        folder = tarfile.TarInfo("cifar-10-batches-bin")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        add("cifar-10-batches-bin/batches.meta.txt", b"airplane\n")
        add("../../escape.txt", b"no")
        for number in range(5):
            add(f"cifar-10-batches-bin/data_batch_{number + 1}.bin", records[number].tobytes())
        add("../cifar-10-batches-bin/test_batch.bin", records[5].tobytes())  # fmt: skip
    server[downloads.CIFAR10_URL] = content.getvalue()
    monkeypatch.setattr(downloads, "CIFAR10_HASH", "sha256:" + hashlib.sha256(content.getvalue()).hexdigest())
    yield records


def test_cifar10_batches_become_png_files(cifar_archive: np.ndarray, cache: Path, server: Server) -> None:
    photos = downloads.cifar10_photos()
    assert Counter(photo.split for photo in photos) == {"train": 16, "validation": 4, "test": 4}
    by_name = {photo.name: photo for photo in photos}
    label = downloads.CIFAR10_CLASSES[cifar_archive[5, 2, 0]]
    photo = by_name[f"test_batch_00002_{label}"]
    assert photo.split == "test"
    # Planes of red, green, blue, row by row.
    pixels = open_photo(photo.path)
    for y, x, channel in ((0, 0, 0), (3, 7, 1), (31, 30, 2)):
        assert pixels[y, x, channel] == cifar_archive[5, 2, 1 + channel * 1024 + y * 32 + x]
    assert all(cache in path.parents for path in cache.parent.rglob("*") if path.is_file())
    assert not list(cache.rglob("escape*"))
    server.clear()
    assert downloads.cifar10_photos() == photos


def zipped(names: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, body in names.items():
            archive.writestr(name, body)
    return content.getvalue()


def test_div2k_sets_validation_aside_and_leaves_no_folder(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def png(seed: int) -> bytes:
        save_png(np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8), tmp_path / "a.png")
        return (tmp_path / "a.png").read_bytes()

    train = {f"DIV2K_train_HR/{n:04d}.png": png(n) for n in range(1, 10)}
    train |= {"../../0010.png": png(10), "..\\..\\0011.png": png(11), "DIV2K_train_HR/": b"", "readme.txt": b"no"}
    archives = {
        "DIV2K_train_HR.zip": zipped(train),
        "DIV2K_valid_HR.zip": zipped({"/etc/0801.png": png(801), "DIV2K_valid_HR/0802.png": png(802)}),
    }
    server |= {downloads.DIV2K_URL + name: content for name, content in archives.items()}
    checksums = {name: "md5:" + hashlib.md5(content).hexdigest() for name, content in archives.items()}
    monkeypatch.setattr(downloads, "DIV2K_HASH", checksums)
    photos = collect(DataParams(source="div2k", validation_fraction=0.25), 0).photos
    assert Counter(photo.split for photo in photos) == {"train": 8, "validation": 3, "test": 2}
    assert {photo.name for photo in photos} == {f"{n:04d}" for n in range(1, 12)} | {"0801", "0802"}
    assert all(cache in photo.path.parents for photo in photos) and not list(tmp_path.glob("00*"))
    server.clear()
    assert collect(DataParams(source="div2k", validation_fraction=0.25), 0).photos == photos


def test_every_download_has_its_source_name() -> None:
    functions: dict[str, Callable[..., object]] = dict(downloads.DOWNLOADS)
    assert set(functions) == {"kodak", "cifar10", "div2k"}
