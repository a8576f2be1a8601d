"""The declarations of the methods: each says what the rest of the system reads, consistently, and without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jscgc import metrics, stages
from jscgc.config import Section, TrainParams
from jscgc.files import SHIPPED
from jscgc.latent.autoencoder import LatentStatistics
from jscgc.latent.pixels import PIXELS
from jscgc.method import GROUPS, METHODS, PARTS, Method, Network, network, own_sections, trainable
from jscgc.params import Params
from jscgc.registry import PLUGINS

EVERY = list(METHODS)
NETWORKS = sorted(trainable())
RESULTS = ("photos", "vae", "latents")
LATENTS = LatentStatistics([0.0] * 4, [1.0] * 4, 8, "of no VAE")


@pytest.mark.parametrize(
    "name", ["original", "ALL", "vae", "side_by_side", "jscgc_mean", "mine_sample_2", "jscgc_reference"]
)
def test_a_method_takes_no_name_of_ours(name: str) -> None:
    with pytest.raises(ValueError, match=f"no method can be called {name}"):
        replace(EVERY[0], name=name)


def test_the_methods_and_their_order() -> None:
    """As `--methods`, `info` and the reports list them."""
    assert METHODS.names == (
        "jscgc",
        "jscgc_fast",
        "jscgc_one_step",
        "mambajscc_psnr",
        "mambajscc_feature",
        "mambajscc_lpips",
        "mambajscc_gan",
        "diffjscc",
        "diffcom",
        "mambajscc_psnr_pixels",
        "mambajscc_feature_pixels",
        "mambajscc_lpips_pixels",
        "mambajscc_gan_pixels",
        "deepjscc",
        "swinjscc",
        "klt",
        "hevc_capacity",
        "hevc_ldpc",
        "avif_capacity",
        "avif_ldpc",
        "jp2k_capacity",
        "jp2k_ldpc",
        "jpeg_capacity",
        "jpeg_ldpc",
        "hevc_capacity:tuned=lpips",
        "hevc_ldpc:tuned=lpips",
    )
    assert PARTS.names == ("flow",) and not set(PARTS.names) & set(METHODS.names)


def test_names_and_labels_are_unique() -> None:
    assert all(re.fullmatch(r"[a-z0-9_]+(:[a-z]+=[a-z]+)?", method.name) for method in EVERY)
    assert len({method.label for method in EVERY}) == len(EVERY) and all(method.label for method in EVERY)


def test_no_two_look_alike_even_without_colour() -> None:
    looks = {method.name: method.look for method in EVERY}
    assert all(look is not None for look in looks.values())
    assert len({look.marker for look in looks.values() if look}) == len(EVERY)
    assert all(re.fullmatch("#[0-9a-f]{6}", look.hue) for look in looks.values() if look)


@pytest.mark.parametrize("method", EVERY, ids=METHODS.names)
def test_a_method_is_trained_or_made_as_it_is(method: Method) -> None:
    assert (method.network is None) != (method.system is None)
    assert method.group in GROUPS and (method.group == "separation") == (method.system is not None)
    assert (method.group == "pixel_codec") == bool(method.network and method.network.pixels)
    assert method.samples == (method.group == "generative")
    known = {metrics.info(name).network for name in metrics.names()}
    assert set(method.losses) <= known
    if method.system is not None:
        assert method.system().name == method.name and bool(method.losses) == (":tuned=" in method.name)
    with pytest.raises(ValueError, match=f"method {method.name}: give either network .* or system"):
        replace(method, network=None, system=None)


def test_what_is_both_trained_and_made_as_it_is_is_refused() -> None:
    with pytest.raises(ValueError, match="method jscgc: give either network"):
        replace(METHODS["jscgc"], system=METHODS["hevc_ldpc"].system)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_network_needs_can_be_made_before_it(name: str) -> None:
    own = network(name)
    assert set(own.needs) <= {*RESULTS, *trainable()} and name not in own.needs
    before = stages.before(name)  # ends only without a cycle
    assert before[0] == "photos" and name not in before
    for place, result in enumerate(before):
        assert set(stages.stage(result).needs) <= set(before[:place])
    assert set(own.metrics) <= set(metrics.names())
    assert set(own.shared.values()) <= set(own.needs) and (own.ships or not own.shared)
    assert "\n" not in own.about and own.about


@pytest.mark.parametrize("name", NETWORKS)
def test_its_keys_are_keys_of_params_yaml(name: str, params: Params) -> None:
    own = network(name)
    if own.settings is not None:
        assert own.section == f"baselines.{name}" and own_sections()[name] is own.settings
        defaults = {need: {} for need in (name, *own.needs) if need in own_sections()}
        params = Params.model_validate(params.model_dump(mode="json") | {"baselines": defaults})
    assert name in params.trained and isinstance(params.at(own.section), Section)
    for key in own.keys:
        section, _, last = key.rpartition(".")
        assert hasattr(params.at(section) if section else params, last) or last in params.at(section), key
    training = own.training(params)
    assert (training is None) == (not own.trained_by)
    assert training is None or isinstance(training, TrainParams)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_it_describes_is_what_it_builds(name: str, params: Params) -> None:
    """By the shape's own type, which a description in JSON comes back as."""
    own = network(name)
    shape = own.describe(params)
    assert type(shape) is own.shape and own.shape.model_validate(shape.model_dump(mode="json")) == shape
    with torch.device("meta"):
        net = own.build(shape, PIXELS if own.pixels else LATENTS, 4)
    assert isinstance(net, torch.nn.Module) and net.state_dict()


def test_what_ships_is_there_and_nothing_else() -> None:
    ships = {name for name, own in trainable().items() if own.ships}
    assert {path.parent.name for path in SHIPPED.glob("*/model.json")} == {"vae", *ships}
    assert {name for name, own in trainable().items() if own.starts_from_shipped} <= ships


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"unknown method 'difjscc': did you mean diffjscc\? available: jscgc, "
    ) as error:
        METHODS["difjscc"]
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"unknown method 'mamba'"):
        network("mamba")
    with pytest.raises(ValueError, match="hevc_ldpc has no network: nothing of it is trained"):
        network("hevc_ldpc")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module, used in this process, that declares a method of a name that is taken."""
    module = tmp_path / "another_jscgc.py"
    module.write_text(
        "from jscgc.method import Method\n"
        "METHOD = Method(name='jscgc', label='Mine', group='separation', system=lambda: None)\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(PLUGINS, str(module))
    METHODS.forget()
    yield
    sys.modules.pop("another_jscgc", None)
    monkeypatch.delenv(PLUGINS)
    METHODS.forget()


@pytest.mark.usefixtures("plugin")
def test_a_name_that_is_taken_is_one_line_that_names_both_modules() -> None:
    expected = "duplicate method 'jscgc': declared by jscgc.methods.jscgc and by another_jscgc"
    with pytest.raises(ValueError, match=expected) as error:
        METHODS.names  # noqa: B018
    assert "\n" not in str(error.value)


def test_reading_the_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from jscgc.method import METHODS, trainable\n"
        "import jscgc.params, jscgc.stages\n"
        "assert len(METHODS.names) > 10 and trainable()\n"
        "heavy = {'torch', 'diffusers', 'pandas', 'scipy', 'sionna', 'torchvision', 'PIL', 'ray', 'mlflow', 'dvc'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_of_its_own_length_is_that_of_its_section_otherwise(params: Params) -> None:
    own: Network = network("diffjscc")
    settings = own_sections()["diffjscc"]
    longer = params.model_copy(
        update={"baselines": params.baselines | {"diffjscc": settings.model_validate({"steps": 9})}}
    )
    assert own.training(params) == params.jscgc.train
    assert own.training(longer) == params.jscgc.train.model_copy(update={"steps": 9})
