"""Photographs from the internet: Kodak, CIFAR-10 and DIV2K, checked against known checksums, cached.

The cache is the folder named by JSCGC_CACHE, else the user's cache folder. Without internet every source fails
within seconds and one line says what to do.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from jscgc.config import ParamsError
from jscgc.data.builtin import builtin_photos
from jscgc.data.photo import Photo, Split
from jscgc.files import atomic

CONNECT_SECONDS = 3.05
"""Per address of the server; a connection is tried once, so an offline machine waits for seconds."""
READ_SECONDS = 15.0

KODAK_URL = "https://r0k.us/graphics/kodak/kodak/"
KODAK_SHA256 = {
    "kodim01": "a56e27cbf5f843c048b6af1d6e090760e9c92fadba88b7dee0205918a37523bd",
    "kodim02": "4f4b74a79237e311d72cad958237b5f7088d8bce1c82305ebefe1a70e3022dfd",
    "kodim03": "e25ca1ff2f0c0cb5fdfd5f9b0a0bb21ac4c3de3c84a67f35b09a85d3306249db",
    "kodim04": "e3b946107c5d3441c022f678d0c3caf1e224d81b1604ba840a4f88e562de61aa",
    "kodim05": "10349e963c5c813d327852f82c1795fa4148d69fedffc4c589bee458e3ac3d53",
    "kodim06": "363510303b715d4cbc384e1ce227e466b613a09e1b71ae985882bf8e7fbd9b18",
    "kodim07": "b77d3f006f42414bb242222e0482e750c0fb9e5ee8d4bed2f6f11c5605fe54a4",
    "kodim08": "ba23983c76b4832ee0e8af0592664756841a16779acd69f792e268fb6d13d6e7",
    "kodim09": "6a4361c2fc194feb4edaa9f9a4a0620fb9943e460ac7fdf037fb0f6dd6607a7d",
    "kodim10": "9dfb70f5867c29ff9ed6313683f19b3d867849e40fbc0c4c54a4a89df341cf23",
    "kodim11": "7936814b58b5387fce2e4e2488b4ec830dadd95fa9520f358ddb30990b50f2b6",
    "kodim12": "d78c37c2f04f23761ed2367dd77e2db584ddd4c3950833fecf89f199a8126980",
    "kodim13": "bc34a3ce58dea09dce1704c997171602de90cb34d0c8503a988b77f473d39b08",
    "kodim14": "55a94550ff18f3246c4074fd32b77b0c74447c26b6ad274d564d999c0450ba6e",
    "kodim15": "7538cbb80cb9103606c48b806eae57d56c885c7f90b9b3be70a41160f9cbb683",
    "kodim16": "a89c7268ccd4718ba424a99fc4643c572cf692ca6eae887185ceb4e9f11d2e54",
    "kodim17": "37afcc89fbdcb76d9518e04b2fc011027e2f4cd14b3b2f83cefd721641a47c5b",
    "kodim18": "1a9258c365988961d87a0598725b609139c303ad48a5aad6c503c3b1a87849aa",
    "kodim19": "b7450b264b1b0a411390d8931b112c27905a992520fc90569dc4b920aa32bbdc",
    "kodim20": "3b46c71e3b92a563820ba32936be8330c586c41f938efd94be938386aae4328a",
    "kodim21": "ac958597c82073f6bb65129c68f72b651db5b9efd82e11547d07350214bc268b",
    "kodim22": "1cee58eb1f2d9c7ebb254d208a03c783ce6cf2c4d8c2cf45e235dd23b4ce1b29",
    "kodim23": "e3111a2fd4da24af15d6459ef9eacfe54106b38e27b4a21821b75c3f5d2d5baf",
    "kodim24": "1071c68372cc5a01435c2c225a5cf7d4bb803846ec08bb6b3d6721b156d7cb96",
}
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_HASH = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIV2K_URL = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
DIV2K_HASH = {
    "DIV2K_train_HR.zip": "md5:bdc2d9338d4e574fe81bf7d158758658",
    "DIV2K_valid_HR.zip": "md5:9fcdda83005c5e5997799b69f955ff88",
}


def cache_folder() -> Path:
    """JSCGC_CACHE, else the user's cache folder of this project."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("JSCGC_CACHE", "")
    return Path(chosen).expanduser() if chosen else user_cache_path("jscgc")


def kodak_photos() -> list[Photo]:
    """The 24 photographs of the Kodak suite, all for testing.

    Kodak is never trained on: train and validation are the built-in photographs' (their test photographs unused).

    Raises:
        ParamsError: no internet, or a file differs from its checksum.
    """
    licence = "Eastman Kodak Company, released for unrestricted use"
    kodak = [
        Photo(name, _fetch("kodak", f"{KODAK_URL}{name}.png", f"sha256:{checksum}"), name, "test",
              f"{KODAK_URL}{name}.png", licence)
        for name, checksum in KODAK_SHA256.items()
    ]  # fmt: skip
    return [photo for photo in builtin_photos() if photo.split != "test"] + kodak


def cifar10_photos() -> list[Photo]:
    """The 60000 CIFAR-10 images: the test batch is test, the last training batch validation.

    Raises:
        ParamsError: no internet, or the archive differs from its checksum.
    """
    folder = cache_folder() / "cifar10" / "png"
    if not folder.is_dir():
        archive = _fetch("cifar10", CIFAR10_URL, CIFAR10_HASH)
        with atomic(folder) as temporary, tarfile.open(archive) as tar:
            for member in tar:
                # Batches are read as streams and the names on disk are ours: nothing in the archive chooses a path.
                batch = PurePosixPath(member.name).name
                stream = tar.extractfile(member) if batch.startswith(("data_batch_", "test_batch")) else None
                if stream is not None:
                    _write_cifar_batch(stream.read(), temporary, batch.removesuffix(".bin"))
    splits: dict[str, Split] = {"data_batch_5": "validation", "test_batch": "test"}
    return [
        Photo(path.stem, path, "", splits.get(path.parent.name, "train"), f"{CIFAR10_URL}: {path.parent.name}/{path.stem}",
              "no licence stated by the authors (Krizhevsky, 2009)")
        for path in sorted(folder.glob("*/*.png"))
    ]  # fmt: skip


def _write_cifar_batch(content: bytes, folder: Path, batch: str) -> None:
    """One batch: records of a label byte and 3 x 32 x 32 bytes (red, green, blue planes)."""
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    (folder / batch).mkdir(parents=True)
    for index, record in enumerate(records):
        pixels = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
        name = f"{batch.removeprefix('data_')}_{index:05d}_{CIFAR10_CLASSES[record[0]]}.png"
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / batch / name)


def div2k_photos() -> list[Photo]:
    """DIV2K's high-resolution photographs: 800 to train (validation is set aside from them), 100 to test.

    Raises:
        ParamsError: no internet, or an archive differs from its checksum.
    """
    licence = "academic research purpose only; the copyright belongs to the original owners of the images"
    splits: dict[str, Split] = {"DIV2K_train_HR.zip": "train", "DIV2K_valid_HR.zip": "test"}
    photos = []
    for archive, split in splits.items():
        folder = cache_folder() / "div2k" / split
        if not folder.is_dir():
            with atomic(folder) as temporary:
                _unzip_pngs(_fetch("div2k", DIV2K_URL + archive, DIV2K_HASH[archive]), temporary)
        photos += [
            Photo(path.stem, path, "", split, f"{DIV2K_URL}{archive}: {path.name}", licence)
            for path in sorted(folder.glob("*.png"))
        ]
    return photos


def _unzip_pngs(archive: Path, folder: Path) -> None:
    """All PNG files of an archive, flat: only the last part of a name is used, so none leaves the folder."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(archive) as content:
        for member in content.infolist():
            name = PurePosixPath(member.filename.replace("\\", "/")).name
            if not member.is_dir() and name.lower().endswith(".png"):
                with content.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)


DOWNLOADS: dict[str, Callable[[], list[Photo]]] = {
    "kodak": kodak_photos,
    "cifar10": cifar10_photos,
    "div2k": div2k_photos,
}
"""data.source -> the function that fetches it."""


def _fetch(source: str, url: str, known_hash: str, attempts: int = 2) -> Path:
    """The cached file of a URL, downloaded and checked if it is not there or not intact."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    folder = cache_folder() / source
    remedy = "set data.source: folder and name folders of photographs, or data.source: builtin"
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    try:
        return Path(pooch.retrieve(url, known_hash, fname=url.rsplit("/", 1)[1], path=folder, downloader=downloader))
    except requests.exceptions.RequestException as error:
        # A connection that broke midway is worth a second attempt; no network or no such page is not.
        if isinstance(error, requests.exceptions.ChunkedEncodingError) and attempts > 1:
            return _fetch(source, url, known_hash, attempts - 1)
        raise ParamsError(f"data.source {source}: cannot download {url} ({_line(error)}); {remedy}") from None
    except ValueError:
        raise ParamsError(f"data.source {source}: {url} is not the expected file ({known_hash}); {remedy}") from None
    except OSError as error:
        raise ParamsError(f"data.source {source}: cannot write to {folder} ({_line(error)}); set JSCGC_CACHE") from None


def _line(error: Exception) -> str:
    """The kind of an error and the end of its message, which is where requests puts the cause."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 120 else '...' + text[-117:]}"
