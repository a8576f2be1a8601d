"""Trained systems on disk: what comes back is what was saved, and damage is one line."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest
import torch

from jscgc.flow.params import SampleParams
from jscgc.latent.autoencoder import save_vae
from jscgc.latent.nano_vae import NanoVae
from jscgc.systems import store
from jscgc.systems.base import Link
from jscgc.systems.load import load_folder, load_system, trained_systems
from jscgc.systems.store import Architecture, load
from jscgc.systems.transmit import transmit

KINDS = ["flow", "jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc"]


def one_line(error: BaseException) -> None:
    assert str(error) and "\n" not in str(error) and len(str(error)) < 1000


@pytest.fixture
def copy(models, tmp_path):
    """A copy of a trained JSCGC to damage."""
    shutil.copytree(models, tmp_path / "models")
    return tmp_path / "models"


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_description_round_trip(models, params, tmp_path, kind):
    first = load(models / kind)
    assert first.architecture == Architecture.of(kind, params)
    assert not first.net.training
    store.save(tmp_path / kind, first.architecture, first.latents, first.net)
    second = load(tmp_path / kind)
    assert second.latents == first.latents
    for name, value in first.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name
    assert sorted(p.name for p in (tmp_path / kind).iterdir()) == ["model.json", "weights.safetensors"]


@pytest.mark.parametrize("method", KINDS[1:])
def test_the_same_photo_comes_out_of_a_saved_system(copy, method):
    photo = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    before, link = load_system(method, copy), Link("rayleigh_block", 8.0, 2)
    store.save(copy / method, load(copy / method).architecture, load(copy / method).latents, before.codec)
    options = {"sample": SampleParams(steps=2, guidance=1.0), "seed": 4}
    expected = transmit(before, photo, link, **options).photo
    assert torch.equal(transmit(load_system(method, copy), photo, link, **options).photo, expected)


def test_saving_over_a_trained_system_replaces_it_whole(copy, params):
    trained = load(copy / "jscgc")
    (copy / "jscgc" / "stale").write_text("from before")
    store.save(copy / "jscgc", trained.architecture, trained.latents, trained.net)
    assert not (copy / "jscgc" / "stale").exists()
    assert not list(copy.glob(".*"))


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_one_line(copy, keep):
    weights = copy / "jscgc" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a readable safetensors file") as caught:
        load(copy / "jscgc")
    one_line(caught.value)


def test_missing_weights_are_one_line(copy):
    (copy / "jscgc" / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"weights\.safetensors") as caught:
        load(copy / "jscgc")
    one_line(caught.value)


class Bomb:
    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_under_the_name_of_safetensors_is_refused_unopened(copy, writer):
    weights = copy / "jscgc" / "weights.safetensors"
    if writer == "pickle":
        weights.write_bytes(pickle.dumps(Bomb()))
    else:
        torch.save({"weight": Bomb()}, weights)
    with pytest.raises(ValueError, match="not a readable safetensors file") as caught:
        load(copy / "jscgc")
    one_line(caught.value)
    assert not Bomb.exploded


def test_weights_of_another_model_are_one_line(copy):
    shutil.copy(copy / "flow" / "weights.safetensors", copy / "jscgc" / "weights.safetensors")
    with pytest.raises(ValueError, match="weights do not fit the model described beside them") as caught:
        load(copy / "jscgc")
    one_line(caught.value)


def test_weights_of_another_shape_are_one_line(copy):
    path = copy / "jscgc" / "model.json"
    content = json.loads(path.read_text())
    content["architecture"]["max_rate"] = 8
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="weights do not fit") as caught:
        load(copy / "jscgc")
    one_line(caught.value)


def test_rates_without_planes_are_one_line(copy):
    path = copy / "jscgc" / "model.json"
    content = json.loads(path.read_text())
    content["architecture"]["rates"] = [2, 8]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not a model description") as caught:
        load(copy / "jscgc")
    one_line(caught.value)


@pytest.mark.parametrize("damage", ["{", "[]", "{}", "null", '{"architecture": {}, "latents": {}}', "\xff"])
def test_a_damaged_description_is_one_line(copy, damage):
    (copy / "jscgc" / "model.json").write_text(damage, encoding="latin-1")
    with pytest.raises(ValueError, match=r"model\.json") as caught:
        load(copy / "jscgc")
    one_line(caught.value)


@pytest.mark.parametrize(
    "key, value", [("kind", "gan"), ("rates", "many"), ("rates", []), ("network", None), ("surplus", 1)]
)
def test_a_wrong_entry_of_the_description_is_one_line(copy, key, value):
    path = copy / "jscgc" / "model.json"
    content = json.loads(path.read_text())
    content["architecture"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"model\.json") as caught:
        load(copy / "jscgc")
    one_line(caught.value)


def test_a_missing_model_says_how_to_train_one(tmp_path):
    with pytest.raises(ValueError, match="no trained model here; train with `dvc repro`") as caught:
        load(tmp_path / "jscgc")
    one_line(caught.value)


def test_a_system_without_its_vae_says_so(copy):
    shutil.rmtree(copy / "vae")
    with pytest.raises(ValueError, match="no trained VAE here"):
        load_system("jscgc", copy)


def test_a_system_with_another_vae_is_refused(copy, params):
    shutil.rmtree(copy / "vae")
    torch.manual_seed(99)
    save_vae(copy / "vae", params.vae, NanoVae(4, params.vae.width, params.vae.depth))
    with pytest.raises(ValueError, match="not the one that the model was trained on") as caught:
        load_system("jscgc", copy)
    one_line(caught.value)


def test_an_unknown_method_suggests_the_nearest(models):
    with pytest.raises(ValueError, match=r"unknown method 'mambajscc': did you mean mambajscc_gan\? available: jscgc"):
        load_system("mambajscc", models)
    with pytest.raises(ValueError, match="unknown method 'flow'"):  # a part, not a system
        load_system("flow", models)


def test_trained_systems_are_those_that_lie_there(copy):
    latent = ["jscgc", "jscgc_fast", "jscgc_one_step", "mambajscc_psnr", "mambajscc_feature", "mambajscc_gan"]
    latent += ["diffjscc", "diffcom"]
    pixels = ["mambajscc_psnr_pixels", "mambajscc_feature_pixels", "deepjscc", "swinjscc", "klt"]
    assert trained_systems(copy) == latent + pixels
    shutil.rmtree(copy / "mambajscc_psnr")
    assert trained_systems(copy) == [name for name in latent + pixels if name != "mambajscc_psnr"]
    assert trained_systems(copy / "nowhere") == []


def test_what_only_one_competitor_needs_is_not_imported_for_the_others():
    import subprocess
    import sys

    code = "import sys, jscgc.systems.store; print({'torchvision', 'scipy.stats', 'sionna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("within", [True, False], ids=["within", "beside"])
def test_what_a_model_needs_lies_beside_it_or_within_it(copy, params, within):
    """A folder that is taken elsewhere brings its VAE and what it shares."""
    diffjscc = load(copy / "diffjscc")
    diffjscc.net.codec.load_state_dict(load(copy / "mambajscc_psnr").net.state_dict())
    store.save(copy / "diffjscc", diffjscc.architecture, diffjscc.latents, diffjscc.net, {"codec": "mambajscc_psnr"})
    photo, link = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)), Link("awgn", 8.0, 2)
    options = {"sample": SampleParams(steps=2, guidance=1.0), "seed": 4}
    expected = transmit(load_system("diffjscc", copy), photo, link, **options).photo
    for need in ("vae", "mambajscc_psnr"):
        if within:
            shutil.move(copy / need, copy / "diffjscc" / need)
    assert torch.equal(transmit(load_folder(copy / "diffjscc"), photo, link, **options).photo, expected)
    if not within:
        shutil.rmtree(copy / "mambajscc_psnr")
        with pytest.raises(ValueError, match="is missing") as error:
            load_folder(copy / "diffjscc")
        one_line(error.value)
