"""Broken and hostile input, generated: it is read as what it is or refused in one line that names the file.

More than 1500 cases. Nothing else may be raised, no file may appear, none of their code may run, and memory and time
are bounded: a small file may not ask for gigabytes.
"""

from __future__ import annotations

import copy
import io
import json
import pickle
import resource
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML
from safetensors.torch import load_file, save

from jscgc.data.folders import find_photos
from jscgc.data.images import open_photo
from jscgc.data.prepared import read_manifest, split_files
from jscgc.evaluation.protocol import Protocol
from jscgc.latent.autoencoder import load_vae
from jscgc.params import load_params
from jscgc.report.reading import load_results
from jscgc.sweep.space import read_space
from jscgc.systems import store
from jscgc.training import checkpoint
from jscgc.training.latents import LatentCrops, read_statistics

ROOT = Path(__file__).parents[2]
ROOM = 3 << 30
"""Bytes of address space that reading may add."""


def hostile(cases: int) -> settings:
    """So many generated cases, of which none may take long."""
    slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=cases, suppress_health_check=slow, deadline=20_000)


class Canary:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@contextmanager
def bounded() -> Iterator[None]:
    """A MemoryError in place of a machine brought to its knees."""
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


def read(reader: Callable[[Path], Any], path: Path, folder: Path | None = None) -> Any:
    """What the reader gives, or None if it refuses in one line that names the file (or its folder); anything else fails."""
    folder = folder or path.parent
    before = {p: p.lstat().st_size for p in folder.rglob("*")}
    try:
        with bounded():
            return reader(path)
    except (ValueError, OSError) as error:
        said = str(error)
        assert "\n" not in said, said
        assert path.name in said or folder.name in said, said
        assert len(said) < 4000, f"{len(said)} characters: {said[:200]}"
        return None
    finally:
        assert {p: p.lstat().st_size for p in folder.rglob("*")} == before


def mangled(content: bytes) -> st.SearchStrategy[bytes]:
    """The content cut short, with bytes flipped, overwritten, repeated or inserted."""
    size = len(content)
    at = st.integers(0, size - 1)

    def flipped(places: list[tuple[int, int]]) -> bytes:
        changed = bytearray(content)
        for place, bit in places:
            changed[place] ^= 1 << bit
        return bytes(changed)

    def written(start: int, other: bytes, over: bool) -> bytes:
        return content[:start] + other + content[start + (len(other) if over else 0) :]

    header = st.tuples(st.integers(0, min(size, 120) - 1), st.integers(0, 7))  # where it hurts
    return st.one_of(
        at.map(lambda end: content[:end]),
        st.lists(st.tuples(at, st.integers(0, 7)), min_size=1, max_size=30).map(flipped),
        st.lists(header, min_size=1, max_size=4).map(flipped),
        st.builds(written, at, st.binary(min_size=1, max_size=40), st.booleans()),
        at.map(lambda start: content + content[start:]),
    )


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**30, -(10**9), 10**9, 0.5, -0.0, 1e308]),
    st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    st.sampled_from(
        ["", "x", "../../../etc/passwd", "/etc/passwd", "a\nb", "\0", "${jndi:ldap://x}", "nan", "awgn:k=v"]
    ),
    st.text(string.printable, max_size=12),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def paths(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places in nested mappings and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(found for key, value in items for found in paths(value, (*at, key)))]


def changed(content: Any, at: tuple[Any, ...], value: Any, how: str) -> Any:
    """The content with one place set, removed, renamed or joined by another key."""
    if not at:
        return value
    whole = copy.deepcopy(content)
    inner = whole
    for key in at[:-1]:
        inner = inner[key]
    if how == "set" or isinstance(inner, list):
        inner[at[-1]] = value
    elif how == "remove":
        del inner[at[-1]]
    elif how == "rename":
        inner[f"{at[-1]}_"] = inner.pop(at[-1])
    else:
        inner["stranger"] = value
    return whole


def edits(content: Any) -> st.SearchStrategy[Any]:
    how = st.sampled_from(["set", "set", "set", "remove", "rename", "add"])
    return st.builds(changed, st.just(content), st.sampled_from(paths(content)), VALUES, how)


def dumped(content: Any) -> str:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(content, stream)
    return stream.getvalue()


def image(format: str, **options: Any) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (24, 37, 3), dtype=np.uint8)
    stream = io.BytesIO()
    picture = Image.fromarray(values)
    if format == "GIF":
        picture = picture.quantize(16)
    picture.save(stream, format, **options)
    return stream.getvalue()


IMAGES = {
    "jpg": image("JPEG", exif=b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    "png": image("PNG"),
    "webp": image("WEBP"),
    "tiff": image("TIFF", compression="tiff_lzw"),
    "gif": image("GIF"),
    "bmp": image("BMP"),
}


@hostile(80)
@pytest.mark.parametrize("kind", IMAGES)
@given(data=st.data())
def test_mangled_images(tmp_path, kind, data):
    path = tmp_path / f"photo.{kind}"
    path.write_bytes(data.draw(mangled(IMAGES[kind])))
    pixels = read(open_photo, path)
    assert pixels is None or (pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3)


@hostile(40)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II*\0", b"GIF89a", b"%PDF-1.7"]),
)
def test_what_is_no_image(tmp_path, content, magic):
    path = tmp_path / "photo.jpg"
    path.write_bytes(magic + content)
    read(open_photo, path)


def test_a_folder_of_photographs_reaches_nothing_outside(tmp_path):
    """Links to elsewhere that are no images, devices, fifos and folders with an image's name."""
    import os

    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(IMAGES["png"])
    (folder / "passwd.png").symlink_to("/etc/passwd")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "fifo.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    for name, path in ((p.name, p) for p in find_photos([folder]) if p.name != "a.png"):
        assert read(open_photo, path) is None, name


PARAMS = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@hostile(250)
@given(edits(PARAMS))
def test_params_with_anything_anywhere(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(dumped(content))
    params = read(load_params, path)
    if params is not None:
        numbers = [params.sample.steps, params.codec.learning_rate, *params.evaluate.snr_db, *params.link.snr_db]
        assert np.isfinite(numbers).all()


@hostile(80)
@given(mangled((ROOT / "params.yaml").read_bytes()))
@example(
    b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (n, n, *[n - 1] * 8) for n in range(98, 110))
)
@example(b"!!python/object/apply:os.system ['touch pwned']")
@example(b"seed: !!python/name:os.system")
@example(b"[" * 5000)
@example(b"{a: " * 3000)
@example(b"? " * 3000)
@example(b"--- 1\n--- 2\n")
@example(b"<<: *x")
@example(b"seed: 1\nseed: 2\n")
@example(b"\xff\xfe\x00")
@example(b"- " * 4000)
@example(b"seed: 0x" + b"f" * 100_000)
@example(b"1" * 10_000 + b": 1")
def test_params_that_are_hardly_yaml(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    read(load_params, path)
    assert not (tmp_path / "pwned").exists() and not Path("pwned").exists()


SPACE = YAML(typ="safe", pure=True).load((ROOT / "pipeline/sweeps/jscgc.yaml").read_text(encoding="utf-8"))


@hostile(120)
@given(edits(SPACE))
def test_spaces_of_sweeps(tmp_path, content):
    path = tmp_path / "space.yaml"
    path.write_text(dumped(content))
    read(read_space, path)


@pytest.fixture(scope="module")
def model(models, tmp_path_factory) -> Path:
    """A folder of models of our own, to spoil."""
    import shutil

    folder = tmp_path_factory.mktemp("spoilt") / "models"
    shutil.copytree(models, folder)
    return folder


def test_unspoilt_all_is_read(model, latent_cache, tmp_path):
    """Else all that follows would pass with readers that refuse everything."""
    for kind in ("jscgc", "swinjscc", "mambajscc_psnr"):
        assert read(store.load, model / kind) is not None
    assert read(load_vae, model / "vae") is not None
    assert read(read_statistics, latent_cache) is not None and read(latents_of, latent_cache) is not None
    for name, content, reader in (
        ("params.yaml", dumped(PARAMS), load_params),
        ("space.yaml", dumped(SPACE), read_space),
        ("results.csv", RESULTS, load_results),
        ("protocol.json", json.dumps(PROTOCOL), Protocol.read),
    ):
        (tmp_path / name).write_text(content)
        assert read(reader, tmp_path / name) is not None, name
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert read(read_manifest, tmp_path) is not None


def spoilt(folder: Path, name: str, content: bytes) -> Callable[[], None]:
    """Put content into a file of a folder; what is returned puts the old one back."""
    path, before = folder / name, (folder / name).read_bytes()
    path.write_bytes(content)
    return lambda: path.write_bytes(before) and None


def described(model: Path, kind: str) -> Any:
    return json.loads((model / kind / "model.json").read_text())


@hostile(120)
@pytest.mark.parametrize("kind", ["jscgc", "vae", "swinjscc"])
@given(data=st.data())
def test_descriptions_of_models(model, kind, data):
    """Sizes that no memory holds, other types, parts that are missing: JSON may also hold NaN."""
    content = data.draw(edits(described(model, kind)))
    back = spoilt(model / kind, "model.json", json.dumps(content).encode())
    try:
        read(load_vae if kind == "vae" else store.load, model / kind)
    finally:
        back()


@hostile(60)
@given(data=st.data())
def test_descriptions_that_are_hardly_json(model, data):
    content = data.draw(
        mangled((model / "mambajscc_psnr/model.json").read_bytes())
        | st.just(b"[" * 100_000)
        | st.just(b'{"a":' * 50_000)
    )
    back = spoilt(model / "mambajscc_psnr", "model.json", content)
    try:
        read(store.load, model / "mambajscc_psnr")
    finally:
        back()


@hostile(120)
@given(data=st.data())
def test_mangled_weights(model, data):
    content = data.draw(mangled((model / "mambajscc_psnr/weights.safetensors").read_bytes()))
    back = spoilt(model / "mambajscc_psnr", "weights.safetensors", content)
    try:
        read(store.load, model / "mambajscc_psnr")
    finally:
        back()


def lies(weights: dict[str, torch.Tensor]) -> dict[str, bytes]:
    """Files that are safetensors by form or by name only."""
    name = next(n for n in sorted(weights) if weights[n].dim() > 1)
    first = weights[name]
    header = {name: {"dtype": "F32", "shape": list(first.shape), "data_offsets": [0, 4 * first.numel()]}}

    def raw(content: dict[str, Any], data: bytes = b"") -> bytes:
        text = json.dumps(content).encode()
        return len(text).to_bytes(8, "little") + text + data

    return {
        "missing name": save({k: v for k, v in weights.items() if k != name}),
        "another name": save({k + ("x" if k == name else ""): v for k, v in weights.items()}),
        "one too many": save({**weights, "extra": torch.zeros(3)}),
        "another shape": save({**weights, name: torch.zeros(*first.shape, 2)}),
        "transposed": save({**weights, name: first.flatten()}),
        "no tensors": save({}),
        "integers": save({k: v.to(torch.int64) for k, v in weights.items()}),
        "a header of 2^63 bytes": (2**63).to_bytes(8, "little") + b"{}",
        "a tensor of 2^50 elements": raw({name: {"dtype": "F32", "shape": [2**50], "data_offsets": [0, 2**52]}}),
        "offsets outside": raw(header, b""),
        "negative offsets": raw({name: {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}),
        "overlapping": raw({**header, "b": header[name]}, bytes(4 * first.numel())),
        "header no JSON": (5).to_bytes(8, "little") + b"hello",
        "header a list": (2).to_bytes(8, "little") + b"[]",
    }


LIES = [
    "missing name",
    "another name",
    "one too many",
    "another shape",
    "transposed",
    "no tensors",
    "integers",
    "a header of 2^63 bytes",
    "a tensor of 2^50 elements",
    "offsets outside",
    "negative offsets",
    "overlapping",
    "header no JSON",
    "header a list",
]


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", ["mambajscc_psnr", "vae", "jscgc"])
def test_weights_that_are_not_what_the_description_says(model, kind, lie):
    content = lies(load_file(model / kind / "weights.safetensors"))
    assert sorted(content) == sorted(LIES)
    back = spoilt(model / kind, "weights.safetensors", content[lie])
    try:
        assert read(load_vae if kind == "vae" else store.load, model / kind) is None
    finally:
        back()


def pickles(canary: Path) -> dict[str, bytes]:
    """Code in the forms in which it comes as weights."""
    zipped = io.BytesIO()
    torch.save({"weight": Canary(canary)}, zipped)
    old = io.BytesIO()
    torch.save({"weight": Canary(canary)}, old, _use_new_zipfile_serialization=False)
    array = io.BytesIO()
    np.save(array, np.array([Canary(canary)], dtype=object), allow_pickle=True)
    return {
        "pickle": pickle.dumps(Canary(canary)),
        "torch": zipped.getvalue(),
        "old torch": old.getvalue(),
        "npy": array.getvalue(),
    }


@pytest.mark.parametrize("form", ["pickle", "torch", "old torch", "npy"])
@pytest.mark.parametrize(
    "file", ["weights.safetensors", "model.json", "latents.safetensors", "statistics.json", "checkpoint", "photo"]
)
def test_no_code_is_run(model, latent_cache, tmp_path, caplog, form, file):
    canary = tmp_path / "pwned"
    content = pickles(canary)[form]
    if file in ("weights.safetensors", "model.json"):
        for kind, reader in (("mambajscc_psnr", store.load), ("vae", load_vae)):
            back = spoilt(model / kind, file, content)
            try:
                assert read(reader, model / kind) is None
            finally:
                back()
    elif file == "photo":
        (tmp_path / "photo.png").write_bytes(content)
        assert read(open_photo, tmp_path / "photo.png", tmp_path) is None
    elif file == "checkpoint":
        (tmp_path / "step-00000004.safetensors").write_bytes(content)
        net = torch.nn.Linear(2, 2)
        assert checkpoint.restore(tmp_path, net, {}, torch.optim.AdamW(net.parameters())) == 0
        assert "step-00000004.safetensors is damaged" in caplog.text
    else:
        folder = tmp_path / "latents"
        folder.mkdir()
        for name in ("latents.safetensors", "statistics.json"):
            (folder / name).write_bytes(content if name == file else (latent_cache / name).read_bytes())
        assert read(read_statistics if file == "statistics.json" else latents_of, folder) is None
    assert not canary.exists()


def latents_of(folder: Path) -> LatentCrops:
    return LatentCrops(folder, 0, torch.device("cpu"))


@hostile(60)
@given(data=st.data())
def test_caches_of_latents(latent_cache, tmp_path, data):
    for name in ("latents.safetensors", "statistics.json"):
        (tmp_path / name).write_bytes((latent_cache / name).read_bytes())
    if data.draw(st.booleans()):
        statistics = json.loads((latent_cache / "statistics.json").read_text())
        (tmp_path / "statistics.json").write_text(json.dumps(data.draw(edits(statistics))))
    else:
        (tmp_path / "latents.safetensors").write_bytes(
            data.draw(mangled((latent_cache / "latents.safetensors").read_bytes()))
        )
    found = read(read_statistics, tmp_path)
    if found is not None:
        assert np.isfinite([*found.mean, *found.std, found.factor]).all() and len(found.mean) == len(found.std)
    read(latents_of, tmp_path)


MANIFEST = {
    "source": "folder",
    "note": "",
    "photos": [
        {
            "name": "a",
            "split": "train",
            "scene": "a",
            "file": "train/a.png",
            "width": 37,
            "height": 24,
            "sha256": "0" * 64,
        },
        {
            "name": "b",
            "split": "test",
            "scene": "b",
            "file": "test/b.png",
            "width": 37,
            "height": 24,
            "sha256": "0" * 64,
        },
    ],
    "dataset_sha256": "0" * 64,
}
OUTSIDE = ["../secret.png", "/etc/passwd", "train/../../secret.png", "..\\secret.png", "C:\\secret.png", "train/.."]
OUTSIDE += ["", ".", "\0", "//etc/passwd", "train//../../secret.png", "..", "./../secret.png"]


@pytest.mark.parametrize("file", OUTSIDE)
def test_manifests_that_point_outside(tmp_path, file):
    (tmp_path / "secret.png").write_bytes(IMAGES["png"])
    folder = tmp_path / "photos"
    (folder / "train").mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(changed(MANIFEST, ("photos", 0, "file"), file, "set")))
    assert read(lambda at: split_files(at, "train"), folder) is None


@hostile(120)
@given(edits(MANIFEST))
def test_manifests(tmp_path, content):
    (tmp_path / "train").mkdir(exist_ok=True)
    (tmp_path / "train/a.png").write_bytes(IMAGES["png"])
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    read(read_manifest, tmp_path)
    for _, path in read(lambda at: split_files(at, "train"), tmp_path) or []:
        assert path.resolve().is_relative_to(tmp_path.resolve())


RESULTS = """method,channel,snr_db,cbr,steps,image,seed,metric,value
jscgc,awgn,5.0,0.0104,4,a,0,psnr,20.5
diffjscc,awgn,5.0,0.0104,4,a,0,psnr,20.1
"""


@hostile(100)
@given(mangled(RESULTS.encode()))
@example(b"")
@example(b"\n\n")
@example(b'"')
@example(RESULTS.encode("utf-16"))
@example(RESULTS.replace("20.5", "=cmd|' /C calc'!A0").encode())
@example(RESULTS.replace("5.0", "1e999").encode())
@example(b"," * 100_000)
def test_tables_of_results(tmp_path, content):
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    table = read(load_results, path)
    assert table is None or np.isfinite(table[["snr_db", "cbr"]].to_numpy()).all()


PROTOCOL = json.loads((ROOT / "reports/reference/kodak/results.protocol.json").read_text(encoding="utf-8"))


@hostile(120)
@given(data=st.data())
def test_protocols(tmp_path, data):
    content = data.draw(
        edits(
            json.loads((ROOT / "reports/reference/kodak/protocol.json").read_text())
            if (ROOT / "reports/reference/kodak/protocol.json").exists()
            else PROTOCOL
        )
    )
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps(content))
    read(Protocol.read, path)
