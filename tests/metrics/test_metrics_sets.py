"""FID and KID: closed forms, independent formulas, clean-fid's own pipeline; and the patches they are fed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cleanfid.fid import fid_from_feats, get_files_features
from cleanfid.fid import kernel_distance as cleanfids_kernel_distance
from cleanfid.resize import build_resizer
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import Tensor, nn

from jscgc.metrics import Jackknifed, SetMetric, set_metric
from jscgc.metrics.distances import Frechet, Kernel, recomputed
from jscgc.metrics.images import as_bytes
from jscgc.metrics.networks import inception
from jscgc.metrics.networks.inception import InceptionFeatures
from jscgc.metrics.patches import patches
from jscgc.metrics.registry import METRICS
from jscgc.metrics.weights import INCEPTION


def gaussians(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def frechet_distance(reference: np.ndarray, received: np.ndarray) -> float:
    return Frechet([reference])([received]).whole


def kernel_distance(reference: np.ndarray, received: np.ndarray) -> float:
    return Kernel([reference])([received]).whole


def by_svd(x: np.ndarray, y: np.ndarray) -> float:
    a, b = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (x, y))
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * cross)


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    d, n = 5, 100_000
    s1, s2, shift = np.linspace(1, 2, d), np.linspace(3, 1, d), np.linspace(-1, 1, d)
    value = frechet_distance(gaussians(n, d, 0) * s1, gaussians(n, d, 1) * s2 + shift)
    assert value == pytest.approx((shift**2).sum() + ((s1 - s2) ** 2).sum(), rel=0.02)


@pytest.mark.parametrize("n", [300, 41, 40, 12])
def test_frechet_distance_by_three_ways(n: int, capsys: pytest.CaptureFixture[str]) -> None:
    mix = gaussians(40, 40, 2)
    x, y = gaussians(n, 40, 0) @ mix, 1.2 * gaussians(n + 7, 40, 1) @ mix + 0.3
    value = frechet_distance(x, y)
    assert capsys.readouterr() == ("", "")
    assert value == pytest.approx(by_svd(x, y), rel=1e-3)
    with pytest.warns(DeprecationWarning):  # clean-fid's call of sqrtm; ours is silent
        assert value == pytest.approx(float(fid_from_feats(x, y)), rel=1e-3)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


@pytest.mark.filterwarnings("error")
def test_degenerate_sets() -> None:
    flat = np.ones((5, 3))
    assert frechet_distance(flat, flat + 2) == pytest.approx(12)
    assert frechet_distance(np.ones((2, 40)), np.zeros((2, 40))) == pytest.approx(40)
    with pytest.raises(ValueError, match="at least two patches"):
        frechet_distance(flat[:1], flat)
    with pytest.raises(ValueError, match="same D"):
        kernel_distance(flat, np.ones((5, 4)))


def test_kernel_distance_is_unbiased_and_leaves_numpys_state_alone() -> None:
    same = [kernel_distance(gaussians(80, 8, 2 * i), gaussians(80, 8, 2 * i + 1)) for i in range(30)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    x, y = gaussians(80, 8, 0), gaussians(60, 8, 1) + 0.5
    assert kernel_distance(x, y) > 10 * np.std(same)
    first = kernel_distance(x, y)
    np.random.rand(3)
    assert kernel_distance(x, y) == first
    state = np.random.get_state()
    expected = np.random.rand(3)
    np.random.set_state(state)
    kernel_distance(x, y)
    assert np.array_equal(np.random.rand(3), expected)


def test_kernel_distance_in_closed_form() -> None:
    x, y = gaussians(30, 4, 0), gaussians(30, 4, 1)

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 4 + 1) ** 3

    within = sum((k(f, f).sum() - np.trace(k(f, f))) / (30 * 29) for f in (x, y))
    assert kernel_distance(x, y) == pytest.approx(within - 2 * k(x, y).mean(), rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(1, 12), st.integers(0, 99))
def test_leaving_photographs_out_is_computing_anew(sizes: list[int], width: int, seed: int) -> None:
    """By clean-fid itself the kernel distance, by the singular values the Fréchet distance; sides of one size, as in a table."""
    sizes[0] += 2
    rng = np.random.default_rng(seed)
    reference = [rng.normal(size=(size, width)) + 2 * rng.normal(size=width) for size in sizes]
    received = [part + 0.3 * rng.normal(size=part.shape) + 0.2 for part in reference]

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        state = np.random.get_state()
        try:
            return float(cleanfids_kernel_distance(x, y, num_subsets=1, max_subset_size=4000))
        finally:
            np.random.set_state(state)

    left = [sum(sizes) - size for size in sizes]
    size = max(float(np.square(part).sum(1).max(initial=0.0)) for part in (*reference, *received))
    for statistic, distance, bound in ((Kernel, kernel, (1 + size / width) ** 3), (Frechet, by_svd, 1 + size)):
        found, expected = (against(received) for against in (statistic(reference), recomputed(distance, reference)))
        assert np.isnan(found.without).tolist() == [rest < 2 for rest in left]
        values = [(of.whole, *of.without) for of in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-9 * bound if statistic is Kernel else 1e-7 * bound)


def test_sets_of_two_sizes_are_compared_whole() -> None:
    """Where clean-fid draws from the larger one; its mean over many draws is this value."""
    x, y = gaussians(40, 3, 0), gaussians(55, 3, 1) + 0.5
    state = np.random.get_state()
    np.random.seed(0)
    drawn = [float(cleanfids_kernel_distance(x, y, num_subsets=100, max_subset_size=30)) for _ in range(30)]
    np.random.set_state(state)
    assert kernel_distance(x, y) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(30))
    assert np.std(drawn) > 0


@pytest.mark.parametrize("rows", [1, 7, 256])
def test_the_kernel_is_summed_in_parts(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = gaussians(30, 4, 0), gaussians(30, 4, 1)
    expected = kernel_distance(x, y)
    monkeypatch.setattr("jscgc.metrics.distances._ROWS", rows)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_set_metrics_tell_what_they_are_without_each_photograph(photographs: list[Tensor]) -> None:
    for name in ("fid_efficientnet_lite2", "kid_efficientnet_lite2"):
        metric = set_metric(name)
        assert isinstance(metric, Jackknifed)
        sent, got = (
            [metric.features(patches([x], 64)) for x in (*side, side[0].flip(2))]
            for side in (photographs, [p**2 for p in photographs])
        )
        found, expected = metric.against(sent)(got), recomputed(metric.distance, sent)(got)
        np.testing.assert_allclose([found.whole, *found.without], [expected.whole, *expected.without], rtol=1e-6)
        assert len(set(found.without)) == 3


@pytest.fixture(scope="module")
def photographs(pictures: SimpleNamespace) -> list[Tensor]:
    return [pictures.to_tensor(f())[0, :, :300, :400] for f in (data.chelsea, data.coffee)]


@pytest.mark.parametrize(("network", "channels"), [("lite0", 40), ("lite2", 48)])
@pytest.mark.parametrize("kind", ["fid", "kid"])
def test_set_metrics_order_degradations(
    kind: str, network: str, channels: int, photographs: list[Tensor], pictures: SimpleNamespace
) -> None:
    metric = set_metric(f"{kind}_efficientnet_{network}")
    reference = metric.features(patches(photographs, 64))
    assert reference.shape == (88, channels) and reference.dtype == np.float64
    assert np.array_equal(metric.features(patches(photographs, 64)), reference)
    values = [metric.distance(reference, reference)]
    for sigma in (1.0, 2.0, 4.0):
        spoilt = [pictures.blur(image[None], sigma)[0] for image in photographs]
        values.append(metric.distance(reference, metric.features(patches(spoilt, 64))))
    assert values == sorted(values) and len(set(values)) == 4
    assert abs(values[0]) < 0.02
    grainy = [pictures.noise(image[None], 0.1)[0] for image in photographs]
    assert metric.distance(reference, metric.features(patches(grainy, 64))) > values[1]


@pytest.mark.parametrize("network", ["lite0", "lite2"])
def test_features_do_not_depend_on_the_batch(network: str, photographs: list[Tensor]) -> None:
    metric = set_metric(f"fid_efficientnet_{network}")
    cut = patches(photographs, 64)
    np.testing.assert_allclose(metric.features(cut[35:37]), metric.features(cut)[35:37], atol=1e-5)


class Tiny(nn.Module):
    """Stands in for Inception in its interface: 0..255 at 299x299 -> [B,D]."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (299, 299)
        return x.unfold(2, 13, 13).unfold(3, 13, 13).mean(dim=(4, 5)).flatten(1)


def test_inception_features_are_clean_fids_of_saved_patches(
    photographs: list[Tensor], tmp_path: Path, pictures: SimpleNamespace
) -> None:
    cut = patches(photographs, 128)[:18]
    files = [str(tmp_path / f"{i:02}.png") for i in range(len(cut))]
    for file, patch in zip(files, cut, strict=True):
        pictures.to_image(patch[None]).save(file)
    expected = get_files_features(files, Tiny(), num_workers=0, device=torch.device("cpu"), verbose=False)
    np.testing.assert_allclose(InceptionFeatures(network=Tiny())(cut), expected, rtol=1e-6)


class Scripted(nn.Module):
    """The published TorchScript file's interface: `layers`, normalised pixels -> 2048 features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d((32, 64)), nn.Conv2d(3, 1, 1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:`torch.jit:FutureWarning")
def test_inception_is_loaded_from_the_weights_folder(
    photographs: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSCGC_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("jscgc.metrics.weights.sha256", lambda path: INCEPTION.digest)
    with torch.random.fork_rng():
        network = Scripted()
    torch.jit.script(network).save(str(tmp_path / INCEPTION.file))
    inception.shared.cache_clear()
    try:
        cut = patches(photographs, 256)
        fid, kid = set_metric("fid_inception"), set_metric("kid_inception")
        features = fid.features(cut)
        assert features.shape == (len(cut), 2048) and np.array_equal(kid.features(cut), features)
        resized = np.stack([build_resizer("clean")(x) for x in as_bytes(cut).permute(0, 2, 3, 1).numpy()])
        with torch.no_grad():
            expected = network.layers((torch.from_numpy(resized).permute(0, 3, 1, 2) - 128) / 128)
        np.testing.assert_allclose(features, expected.numpy(), rtol=1e-4, atol=1e-5)
    finally:
        inception.shared.cache_clear()


def test_fid_and_kid_look_through_one_network_once(photographs: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    class Watched(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return super().forward(x)

    one = InceptionFeatures(network=Watched())
    monkeypatch.setattr("jscgc.metrics.networks.inception.shared", lambda device: one)
    cut = patches(photographs, 128)
    fid, kid = (METRICS[name].make("cpu") for name in ("fid_inception", "kid_inception"))
    assert isinstance(fid, SetMetric) and isinstance(kid, SetMetric)
    features = [metric.features(cut) for metric in (fid, kid)]
    assert sum(calls) == len(cut) and np.array_equal(*features)
    features[0][:] = 0  # a caller's own copy
    assert not np.array_equal(fid.features(cut), features[0]) and sum(calls) == len(cut)


def test_patches_of_kodak_are_the_literatures_192() -> None:
    landscape, portrait = torch.zeros(3, 512, 768), torch.zeros(3, 768, 512)
    assert 12 * len(patches([landscape, portrait], 256)) == 192


@pytest.mark.parametrize(
    ("height", "width"), [(512, 768), (768, 512), (256, 256), (511, 640), (384, 384), (1365, 2048)]
)
def test_the_256_protocol_in_closed_form(height: int, width: int) -> None:
    """Tiles from (0, 0) and from (128, 128), by the coordinates that the pixels carry."""
    rows, columns = torch.arange(float(height)), torch.arange(float(width))
    image = torch.stack(
        [rows[:, None].expand(height, width), columns.expand(height, width), torch.zeros(height, width)]
    )
    corners = [tuple(map(int, cut[:2, 0, 0])) for cut in patches([image], 256)]
    expected = [
        (top, left)
        for start in (0, 128)
        for top in range(start, height - 255, 256)
        for left in range(start, width - 255, 256)
    ]
    assert corners == expected
    shifted = max(0, (height - 128) // 256) * max(0, (width - 128) // 256)
    assert len(corners) == (height // 256) * (width // 256) + shifted


def test_patches_are_where_they_should_be() -> None:
    image = torch.arange(3 * 20 * 27.0).reshape(3, 20, 27)
    cut = patches([image], 8)
    assert cut.shape == (2 * 3 + 2 * 2, 3, 8, 8)
    for index, (top, left) in enumerate(
        [(0, 0), (0, 8), (0, 16), (8, 0), (8, 8), (8, 16), (4, 4), (4, 12), (12, 4), (12, 12)]
    ):
        assert torch.equal(cut[index], image[:, top : top + 8, left : left + 8])


def test_patches_of_mixed_and_small_images() -> None:
    sizes = [(8, 8), (16, 8), (3, 5), (1, 1), (12, 12)]
    images = [torch.rand(3, h, w) for h, w in sizes]
    assert len(patches(images, 8)) == 1 + 2 + 1 + 1 + 2
    small = patches([images[2]], 8)[0].numpy()
    assert np.array_equal(small, np.pad(images[2].numpy(), ((0, 0), (0, 5), (0, 3)), mode="reflect"))
    assert torch.equal(patches(torch.stack([images[0]] * 2), 8)[1], images[0])


def test_patches_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="must be even"):
        patches([torch.zeros(3, 9, 9)], 7)
    with pytest.raises(ValueError, match="no images"):
        patches([], 8)
