"""Metrics on random networks of their class: every one runs offline, looks at the pictures, and can be taken for no metric."""

from __future__ import annotations

import socket
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from jscgc.evaluation.judges import judging, preferred, ranking
from jscgc.evaluation.params import GridParams
from jscgc.metrics import create, info, pair_metric, registry, set_metric
from jscgc.report.reading import is_standin, metric_label, order_metrics

RANDOM = [name for name in registry.METRICS.names if name.endswith("_random")]
PAIRS = [name for name in RANDOM if info(name).scope == "pair"]
SETS = [name for name in RANDOM if info(name).scope == "set"]
PAPER = ["psnr", "lpips_alex", "dists", "clip_score", "dino_score", "dreamsim", "fid_inception"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:(The parameter 'pretrained'|Arguments other than a weight enum):UserWarning"
)


def noise(images: Tensor, sigma: float) -> Tensor:
    return (images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a metric reached for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_the_further_apart_the_more_noise_there_is(name: str, chelsea: Tensor) -> None:
    state = torch.get_rng_state()
    metric, again = pair_metric(name), pair_metric(name)
    assert torch.equal(torch.get_rng_state(), state)
    best = float(metric(chelsea, chelsea)[0])
    assert best == pytest.approx(info(name).maximum if info(name).direction == "higher" else 0.0, abs=1e-5)
    worse = [float(metric(chelsea, noise(chelsea, sigma))[0]) for sigma in (0.02, 0.1, 0.3)]
    assert all(info(name).better(a, b) for a, b in pairwise([best, *worse]))
    assert worse[1] == float(again(chelsea, noise(chelsea, 0.1))[0])
    assert metric.info == info(name)


@pytest.mark.parametrize("name", SETS)
def test_sets_are_the_further_apart_the_more_noise_there_is(name: str, chelsea: Tensor) -> None:
    metric = set_metric(name)
    patches = torch.cat([chelsea[..., i : i + 64, j : j + 64] for i in (0, 64, 128) for j in (0, 64, 128)])
    sent = metric.features(patches)
    worse = [metric.distance(sent, metric.features(noise(patches, sigma))) for sigma in (0.0, 0.1, 0.3)]
    assert all(a < b for a, b in pairwise(worse))


def test_the_class_is_the_metric_s_and_the_weights_are_not(chelsea: Tensor) -> None:
    """LPIPS through the library's heads on our random trunk is not LPIPS."""
    real, drawn = pair_metric("lpips_alex"), pair_metric("lpips_alex_random")
    spoilt = noise(chelsea, 0.1)
    assert abs(float(real(chelsea, spoilt)[0]) - float(drawn(chelsea, spoilt)[0])) > 0.05


def test_nobody_can_take_them_for_the_metric() -> None:
    for name in RANDOM:
        of = name.removesuffix("_random")
        assert registry.randomly(of) == name
        assert info(name).label == f"{info(of).label}, random network" == metric_label(name) and is_standin(name)
        assert not info(name).judge and info(name).network == "random" != info(of).network
        assert not any(file.url for file in registry.weights(name))
    assert not preferred(RANDOM, "perception", "semantics", "realism", "pixels")
    assert ranking(["psnr", *RANDOM]) == "psnr"
    found = judging(["psnr", *RANDOM], ["jscgc", "mambajscc_psnr"])
    assert found.judges == ("psnr",) and not found.refused and not found.used
    assert order_metrics([*RANDOM, "psnr"]) == ["psnr", *RANDOM]


def test_parameters_take_the_metrics_by_their_own_names() -> None:
    grid = {"channels": ["awgn"], "snr_db": [5.0], "rates": [2], "seeds": 1, "patch": 64, "metrics": PAPER}
    random = GridParams.model_validate(grid | {"metric_weights": "random", "headline_metrics": ["lpips_vgg", "flip"]})
    assert random.scored(PAPER) == ["psnr", *(f"{name}_random" for name in PAPER[1:])]
    random.check_metrics()
    real = GridParams.model_validate(grid)
    assert real.scored(PAPER) == PAPER
    with pytest.raises(ValueError, match=r"evaluate\.metrics: .*clip_score lacks .*fid_inception lacks ") as error:
        real.check_metrics()
    assert "\n" not in str(error.value) and "`jscgc weights fetch clip_convnext_large dinov2_vitl14" in str(error.value)
    with pytest.raises(ValueError, match="did you mean psnr"):
        create("psnrr")
