"""Who may judge: no metric whose network was in a loss of what is shown; by our declarations and a stranger's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jscgc.evaluation.judges import CHOOSING, HEADLINE, LOSS_NETWORKS, judging, preferred, ranking
from jscgc.method import DECODER_LOSSES, METHODS, Method
from jscgc.metrics import available, info, names, registry
from jscgc.registry import add_plugin

EVERY = list(METHODS)
OURS = METHODS.names
LITE0 = [name for name in names() if name.endswith("_lite0")]


def test_no_judge_looks_through_a_network_that_losses_may_use() -> None:
    judges = [name for name in names() if info(name).judge]
    assert {info(name).network for name in judges} & LOSS_NETWORKS == set()
    assert set(HEADLINE) <= set(judges)
    known = {info(name).network for name in names()}
    assert known >= LOSS_NETWORKS and DECODER_LOSSES <= LOSS_NETWORKS


def test_the_headline_is_every_judge_that_needs_no_download_beyond_the_index() -> None:
    """In the order of its axes: how it looks, what is recognised, the set, and the pixels."""
    without = [name for name in names() if all(not file.url for file in registry.weights(name))]
    assert sorted(HEADLINE) == sorted(name for name in without if info(name).judge)
    missing = {name: reason for name in HEADLINE if (reason := available()[name]) is not None}
    assert not missing, "run `make install`"
    asked = [info(name).axis for name in HEADLINE]
    assert list(dict.fromkeys(asked)) == ["perception", "semantics", "realism", "pixels"]
    assert len(set(HEADLINE)) == len(HEADLINE)


def test_nothing_is_chosen_by_a_judges_network() -> None:
    networks = {name: info(name).network for name in CHOOSING}
    assert {network for network in networks.values() if network} <= LOSS_NETWORKS
    assert {info(name).network for name in HEADLINE} & set(networks.values()) == {None}
    assert [name for name, network in networks.items() if network is None] == ["psnr"]
    assert all(available()[name] is None for name in CHOOSING)


@pytest.mark.parametrize("method", EVERY, ids=OURS)
def test_losses_of_ours_use_what_they_may(method: Method) -> None:
    assert method.loss_networks <= LOSS_NETWORKS
    assert set(method.losses) <= method.loss_networks


@pytest.mark.parametrize("method", EVERY, ids=OURS)
def test_what_is_seen_through_the_vaes_decoder_has_its_losses(method: Method) -> None:
    if method.network is not None and not method.network.pixels:
        assert method.loss_networks == {*method.losses, *DECODER_LOSSES} >= {"efficientnet_lite0"}
    else:
        assert method.loss_networks == set(method.losses)
    if method.group in ("generative", "latent_codec"):
        assert method.loss_networks >= DECODER_LOSSES
    if method.group == "separation":
        assert method.loss_networks == ({"vgg16"} if ":tuned=lpips" in method.name else set())
    if method.name in ("deepjscc", "swinjscc", "klt", "mambajscc_psnr_pixels"):
        assert method.loss_networks == frozenset()


def test_lpips_codecs_are_trained_by_vgg16_and_feature_codecs_by_lite0() -> None:
    assert METHODS["mambajscc_lpips"].loss_networks == {"vgg16", "efficientnet_lite0"}
    assert METHODS["mambajscc_lpips_pixels"].loss_networks == {"vgg16"}
    assert METHODS["mambajscc_feature_pixels"].loss_networks == {"efficientnet_lite0"}
    for name in ("mambajscc_lpips", "mambajscc_lpips_pixels"):
        network = METHODS[name].network
        assert network is not None and network.metrics == ("lpips_vgg",)


@pytest.mark.parametrize("method", EVERY, ids=OURS)
def test_a_metric_that_a_recipe_uses_is_declared_as_a_loss(method: Method) -> None:
    used = {info(name).network for name in (method.network.metrics if method.network else ())}
    assert used <= method.loss_networks and (not used or used == set(method.losses))


def test_of_our_methods_every_judge_may_judge() -> None:
    found = judging(names(), OURS)
    assert found.refused == {}
    assert found.judges == tuple(name for name in names() if info(name).judge) and set(HEADLINE) <= set(found.judges)
    by_lite0 = tuple(name for name in OURS if METHODS[name].loss_networks >= DECODER_LOSSES)
    assert all(found.used[name] == by_lite0 for name in LITE0)
    by_vgg16 = tuple(name for name in OURS if "_lpips" in name or "_gan" in name or ":tuned=lpips" in name)
    assert found.used["lpips_vgg"] == found.used["dists"] == by_vgg16 and len(by_vgg16) == 6
    assert set(found.used) == {*LITE0, "lpips_vgg", "dists"}


def test_only_what_was_measured_and_is_shown_is_told_of() -> None:
    found = judging(["dists", "psnr", "of nobody", "lpips_alex"], ["hevc_ldpc", "deepjscc", "of nobody", "deepjscc"])
    assert found.judges == ("psnr", "lpips_alex") and found.refused == {}  # the order of tables
    assert found.used == {"dists": ()}  # VGG-16 is for losses, of none that is shown
    assert judging(["dists"], ["mambajscc_lpips_pixels"]).used == {"dists": ("mambajscc_lpips_pixels",)}
    assert judging([], OURS).judges == () and judging(names(), []).judges == judging(names(), OURS).judges


def test_preferred_are_judges_and_of_those_what_is_no_stand_in() -> None:
    for axis in ("pixels", "perception", "semantics", "realism"):
        found = [info(name) for name in preferred(names(), axis)]
        assert {metric.name for metric in found} == {name for name in names() if info(name).axis == axis}
        assert found == sorted(found, key=lambda metric: (not metric.judge, metric.stand_in))
    assert preferred(["psnr", "of nobody", "lpips_alex"], "perception") == ["lpips_alex"]
    assert preferred(["psnr", "lpips_alex"], "pixels", "perception") == ["psnr", "lpips_alex"]


def test_pictures_are_ranked_by_how_they_look_else_by_pixels() -> None:
    ordered = ["lpips_alex", "feature_distance_efficientnet_lite2", "feature_distance_efficientnet_lite0", "psnr"]
    for place, name in enumerate(ordered):
        assert ranking(["cbr_exact", *reversed(ordered[place:])]) == name
    assert ranking(["cbr_exact", "fid_inception", "clip_score"]) is None


PLUGIN = """
from jscgc.method import Method
METHODS = (
    Method(name="theirs", label="Theirs", group="separation", system=lambda: None, losses=("alexnet",)),
    Method(name="also_theirs", label="Another", group="separation", system=lambda: None, losses=("alexnet", "inception")),
)
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Methods of others, registered until the test ends, whose losses used judges' networks."""
    monkeypatch.setenv("JSCGC_PLUGINS", "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "their_method.py"
    path.write_text(PLUGIN, encoding="utf-8")
    add_plugin(str(path))
    yield
    sys.modules.pop(path.stem, None)
    monkeypatch.undo()
    METHODS.forget()


@pytest.mark.usefixtures("theirs")
def test_a_judge_whose_network_trained_a_method_shown_is_refused_and_named() -> None:
    alone = judging(names(), [*OURS, "theirs"])
    assert alone.refused == {"lpips_alex": ("theirs",)}
    assert "lpips_alex" not in alone.judges and {*HEADLINE} - {"lpips_alex"} <= set(alone.judges)
    both = judging(names(), ["also_theirs", "jscgc", "theirs"])
    assert both.refused["lpips_alex"] == ("also_theirs", "theirs")
    assert both.refused["fid_inception"] == both.refused["kid_inception"] == ("also_theirs",)
    assert set(both.refused) == {"lpips_alex", "fid_inception", "kid_inception"}
    assert judging(names(), OURS).refused == {}  # of what is not shown nothing is said
    assert judging(["psnr"], ["theirs"]).refused == {}  # nor of what was not measured


def test_without_the_plugin_nothing_of_it_is_left() -> None:
    assert METHODS.names == OURS
