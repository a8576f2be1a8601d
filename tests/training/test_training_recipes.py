"""The stages' recipes on a tiny cache of latents: what each starts from, and what it leaves as it was."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from jscgc.files import sha256, write_json
from jscgc.systems import store
from jscgc.systems.store import Architecture
from jscgc.training import recipes


def ignore(step, metrics) -> None:
    pass


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    """A cache as extract_latents writes it."""
    folder = tmp_path_factory.mktemp("latents")
    values = torch.randn(12, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    save_file({"latents": values.half()}, folder / "latents.safetensors")
    write_json(
        folder / "statistics.json", {"mean": [0.0] * 4, "std": [1.0] * 4, "factor": 8, "vae_sha256": "of no VAE"}
    )
    return folder


@pytest.fixture(scope="module")
def trained(params, latents, tmp_path_factory):
    """Prior and codec, trained for a few steps and stored."""
    folder = tmp_path_factory.mktemp("trained")
    statistics = recipes.read_statistics(latents)
    flow = recipes.pretrain_flow(params, latents, folder / "run-flow", ignore)
    store.save(folder / "flow", Architecture.of("flow", params), statistics, flow)
    codec = recipes.train_codec(params, latents, folder / "run-codec", ignore)
    store.save(folder / "codec", Architecture.of("mambajscc_psnr", params), statistics, codec)
    return folder


def state(net, prefix=""):
    return {name: value for name, value in net.state_dict().items() if name.startswith(prefix)}


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def train_jscgc(params, latents, trained, folder, **changes):
    params = params.model_copy(update={"jscgc": params.jscgc.model_copy(update=changes)})
    return recipes.train_jscgc(params, latents, trained / "flow", trained / "codec", folder, ignore)


def test_jscgc_freezes_the_prior_that_it_was_given(params, latents, trained, tmp_path):
    net = train_jscgc(params, latents, trained, tmp_path)
    assert same(state(net.receiver.prior), load_file(trained / "flow" / "weights.safetensors"))
    assert not same(state(net.encoder), state(store.load(trained / "codec").net.encoder))
    assert any(head.weight.any() for head in net.receiver.adapter.heads)
    # Frozen weights are no part of its checkpoints.
    assert not any("prior" in name for name in load_file(sorted(tmp_path.glob("step-*"))[-1]))


def test_jscgc_trains_the_generator_where_it_is_told_to(params, latents, trained, tmp_path):
    net = train_jscgc(params, latents, trained, tmp_path, train_generator=True)
    assert not same(state(net.receiver.prior), load_file(trained / "flow" / "weights.safetensors"))


@pytest.mark.parametrize("start, expected", [("mambajscc_psnr", True), ("random", False)])
def test_jscgc_starts_from_the_encoder_it_is_told_to(params, latents, trained, tmp_path, monkeypatch, start, expected):
    monkeypatch.setattr(recipes, "train", lambda *a, **k: None)
    net = train_jscgc(params, latents, trained, tmp_path, encoder_init=start)
    assert same(state(net.encoder), state(store.load(trained / "codec").net.encoder)) is expected


def test_diffjscc_keeps_codec_and_prior_and_has_the_same_budget(params, latents, trained, tmp_path):
    net = recipes.train_diffjscc(params, latents, trained / "flow", trained / "codec", tmp_path, ignore)
    assert same(state(net.codec), load_file(trained / "codec" / "weights.safetensors"))
    assert same(state(net.receiver.prior), load_file(trained / "flow" / "weights.safetensors"))
    assert sorted(tmp_path.glob("step-*"))[-1].name == f"step-{params.jscgc.train.steps:08d}.safetensors"


def test_a_recipe_is_repeatable_and_the_seed_matters(params, latents, tmp_path):
    torch.manual_seed(1)
    first = recipes.train_codec(params, latents, tmp_path / "a", ignore)
    torch.manual_seed(2)
    again = recipes.train_codec(params, latents, tmp_path / "b", ignore)
    other = recipes.train_codec(params.model_copy(update={"seed": 4}), latents, tmp_path / "c", ignore)
    assert same(state(first), state(again))
    assert not same(state(first), state(other))


def test_a_killed_recipe_resumes_exactly(params, latents, trained, tmp_path):
    expected = train_jscgc(params, latents, trained, tmp_path / "whole")

    class Kill(BaseException):
        pass

    def stop(step, metrics):
        if step == 5:
            raise Kill

    arguments = (params, latents, trained / "flow", trained / "codec", tmp_path / "cut")
    with pytest.raises(Kill):
        recipes.train_jscgc(*arguments, stop)
    assert same(state(recipes.train_jscgc(*arguments, ignore)), state(expected))
    newest = [sorted((tmp_path / run).glob("step-*"))[-1] for run in ("whole", "cut")]
    assert sha256(newest[0]) == sha256(newest[1])


def test_batches_follow_from_seed_name_and_step(params, latents):
    crops = recipes.LatentCrops(latents, 3, torch.device("cpu"))
    batch = crops.batch(5, "jscgc", 7)
    assert batch.shape == (5, 4, 8, 8) and batch.dtype == torch.float32
    assert torch.equal(batch, recipes.LatentCrops(latents, 3, torch.device("cpu")).batch(5, "jscgc", 7))
    for other in (crops.batch(5, "jscgc", 8), crops.batch(5, "flow", 7)):
        assert not torch.equal(batch, other)
