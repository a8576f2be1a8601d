"""The cache of latents: in shards the same latents as in one file, resumed after a kill, read without being loaded."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare
from jscgc.files import sha256
from jscgc.latent import cache
from jscgc.latent.autoencoder import LatentStatistics
from jscgc.params import Params
from jscgc.training import latents as module
from jscgc.training.latents import LatentCrops, extract_latents, read_statistics

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "photos"
    prepare(DataParams(source="builtin", test_max_side=64, train_side=80), 0, out)
    return out


def sized(params: Params, crops: int = 150, **more: object) -> Params:
    """init scratch: statistics are those of the latents."""
    changed = params.latents.model_copy(update={"crops": crops, "crop": 32, **more})
    return params.model_copy(update={"latents": changed, "init": "scratch"})


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 crops of 4 x 4 x 4 latents."""
    monkeypatch.setattr(cache, "SHARD_BYTES", 2 * 64 * 64 + 100)


def whole(folder: Path) -> torch.Tensor:
    return torch.cat([*cache.cached(folder).values()])


@pytest.mark.parametrize("normalise", [True, False])
def test_shards_hold_the_latents_of_one_file(
    params: Params, photos: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalise: bool
) -> None:
    changed = sized(params, normalise=normalise)
    one = extract_latents(changed, photos, models / "vae", tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["latents.safetensors", "statistics.json"]
    with safe_open(tmp_path / "one" / "latents.safetensors", framework="pt") as file:
        assert file.metadata() is None and list(file.keys()) == ["latents"]
    monkeypatch.setattr(cache, "SHARD_BYTES", 2 * 64 * 64 + 100)
    many = extract_latents(changed, photos, models / "vae", tmp_path / "many")
    assert {name: len(shard) for name, shard in cache.cached(tmp_path / "many").items()} == {
        "latents-00000.safetensors": 64,
        "latents-00001.safetensors": 64,
        "latents-00002.safetensors": 22,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many", "one"], "nothing is left of the work"
    assert many.mean == pytest.approx(one.mean, abs=1e-6) and many.std == pytest.approx(one.std, rel=1e-5)
    assert (set(many.mean), set(many.std)) == ({0.0}, {1.0}) or normalise
    first, second = whole(tmp_path / "one"), whole(tmp_path / "many")
    assert first.dtype == second.dtype == torch.float16
    torch.testing.assert_close(first, second, rtol=2e-3 if normalise else 0, atol=1e-4 if normalise else 0)
    if normalise:
        assert first.float().mean((0, 2, 3)).abs().max() < 1e-3
    assert read_statistics(tmp_path / "many") == many


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.usefixtures("small_shards")
def test_an_interrupted_extraction_goes_on_and_gives_the_same_bytes(
    params: Params, photos: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, normalise: bool,
) -> None:  # fmt: skip
    changed, vae = sized(params, 200, normalise=normalise), models / "vae"
    extract_latents(changed, photos, vae, tmp_path / "plain", tmp_path / "unused")
    encode, drawn = module._Encoder.__call__, []

    def interrupted(self: module._Encoder, numbers: range) -> torch.Tensor:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(numbers)
        return encode(self, numbers)

    work, out = tmp_path / "work", tmp_path / "out"
    monkeypatch.setattr(module._Encoder, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_latents(changed, photos, vae, out, work)
    assert not out.exists() and len(list(work.glob("*.safetensors"))) == 2
    damaged = work / "latents-00001.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    drawn.clear()
    monkeypatch.setattr(module._Encoder, "__call__", lambda self, n: drawn.append(n) or encode(self, n))
    with caplog.at_level(logging.INFO):
        extract_latents(changed, photos, vae, out, work)
    assert drawn == [range(64, 128), range(128, 192), range(192, 200)], "the first is finished, the second damaged"
    assert "latents-00001.safetensors: the shard is damaged; it is made again" in caplog.text
    assert "latents 129 to 192 of 200 are done" in caplog.text
    assert sha256(out) == sha256(tmp_path / "plain")


@pytest.mark.usefixtures("small_shards")
def test_no_more_than_a_shard_is_encoded_at_once(
    params: Params, photos: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    monkeypatch.setattr(
        module._Encoder, "__call__", lambda self, n: held.append(len(n)) or torch.zeros(len(n), 4, 4, 4)
    )
    extract_latents(sized(params, 1000), photos, models / "vae", tmp_path / "out")
    assert max(held) == 64 and sum(held) == 1000


def test_known_statistics_are_kept_in_shards(
    params: Params, photos: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """init shipped: of the prior that comes with the package, so that one file and shards agree to the bit."""
    known = LatentStatistics([0.5] * 4, [2.0] * 4, 8, "")
    monkeypatch.setattr(module, "shipped_statistics", lambda: known)
    shipped = sized(params).model_copy(update={"init": "shipped"})
    extract_latents(shipped, photos, models / "vae", tmp_path / "one")
    monkeypatch.setattr(cache, "SHARD_BYTES", 2 * 64 * 64)
    statistics = extract_latents(shipped, photos, models / "vae", tmp_path / "many")
    assert statistics.mean == known.mean and statistics.std == known.std
    assert torch.equal(whole(tmp_path / "one"), whole(tmp_path / "many"))


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same 21 crops in one file and in shards of 8, 8 and 5."""
    folder = tmp_path_factory.mktemp("caches")
    values = torch.randn(21, 4, 3, 2, generator=torch.Generator().manual_seed(0)).half()
    one, many = folder / "one", folder / "many"
    for place in (one, many):
        place.mkdir()
    save_file({"latents": values}, one / "latents.safetensors")
    sizes = (8, 8, 5)
    for number, part in enumerate(values.split(sizes)):
        save_file({"latents": part.contiguous()}, many / cache.shard_name(number))
    index = [{"file": cache.shard_name(number), "crops": size} for number, size in enumerate(sizes)]
    (many / "shards.json").write_text(json.dumps({"shards": index}))
    return one, many


def test_batches_of_shards_are_those_of_one_file(caches: tuple[Path, Path]) -> None:
    one, many = (LatentCrops(folder, 3, CPU) for folder in caches)
    for draw in range(5):
        assert torch.equal(one.batch(9, "flow", draw), many.batch(9, "flow", draw))
    places = many.chosen(50, "flow", 0)
    plain = [int(place.split("[")[1][:-1]) for place in one.chosen(50, "flow", 0)]
    expected = [f"latents-{number // 8:05d}.safetensors[{number % 8}]" for number in plain]
    assert places == expected
    assert torch.equal(one.first(12), many.first(12)) and len(many.first(100)) == 21
    held_out = many.split(7)
    assert torch.equal(one.split(7), held_out) and len(many.first(100)) == 14
    assert torch.equal(one.batch(30, "flow", 1), many.batch(30, "flow", 1))
    with pytest.raises(ValueError, match="14 crops are too few"):
        many.split(14)


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    numbers=st.lists(st.integers(0, 34), max_size=20),
    offset=st.floats(-100, 100),
)
def test_rows_and_moments_are_those_of_the_whole(sizes: list[int], numbers: list[int], offset: float) -> None:
    values = torch.randn(sum(sizes), 3, 2, 2, generator=torch.Generator().manual_seed(1)) + offset
    shards = list(values.split(sizes))
    index = torch.tensor([number % len(values) for number in numbers], dtype=torch.long)
    assert torch.equal(cache.rows(shards, index), values[index])
    mean, std = cache.moments(shards)
    exact = values.double()
    torch.testing.assert_close(mean, exact.mean((0, 2, 3)).float())
    torch.testing.assert_close(std, exact.std((0, 2, 3)).float())


def test_a_cache_is_mapped_not_loaded(tmp_path: Path) -> None:
    """Memory of its own grows by the batch, not by the 40 MB of the cache."""
    save_file({"latents": torch.ones(20_000, 4, 16, 16).half()}, tmp_path / "latents.safetensors")

    def own() -> int:
        text = Path("/proc/self/status").read_text()
        return int(text.split("RssAnon:")[1].split()[0]) * 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's memory")
    before = own()
    crops = LatentCrops(tmp_path, 0, CPU)
    assert crops.batch(8, "flow", 0).sum() == 8 * 4 * 16 * 16
    assert own() - before < 10_000_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "latents-00001.safetensors").unlink(), r"latents-00001\.safetensors: no readable"),
        (lambda folder: (folder / "latents-00001.safetensors").write_bytes(b"x"), r"latents-00001.*no readable"),
        (lambda folder: (folder / "shards.json").write_text("{}"), r"shards\.json: not the index"),
        (lambda folder: (folder / "shards.json").write_text("{"), r"shards\.json: not valid JSON"),
        (
            lambda folder: (folder / "shards.json").write_text('{"shards": [{"file": "../a", "crops": 1}]}'),
            "not the index",
        ),
        (
            lambda folder: save_file(
                {"latents": torch.zeros(7, 4, 3, 2)}, folder / "latents-00001.safetensors"
            ),
            r"latents-00001.*latents \(7, 4, 3, 2\) instead of \(8, 4, 3, 2\); run `dvc repro extract_latents`",
        ),
    ],
)  # fmt: skip
def test_a_damaged_cache_is_one_line(caches: tuple[Path, Path], tmp_path: Path, change, said: str) -> None:
    import shutil

    shutil.copytree(caches[1], tmp_path / "cache")
    change(tmp_path / "cache")
    with pytest.raises(ValueError, match=said) as error:
        LatentCrops(tmp_path / "cache", 0, CPU)
    assert len(str(error.value).splitlines()) == 1


def test_a_shard_of_the_papers_latents_has_8192_crops() -> None:
    assert cache.per_shard(2 * 16 * 32 * 32) == 8192
    assert cache.per_shard(1 << 40) == 32
