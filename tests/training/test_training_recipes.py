"""The stages' recipes on a tiny cache of latents: what each starts from, and what it leaves as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from jscgc import stages
from jscgc.channel.receiver import Received
from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare
from jscgc.files import SHIPPED, sha256
from jscgc.latent.autoencoder import load_vae, save_vae
from jscgc.latent.pixels import PIXELS
from jscgc.method import METHODS, network
from jscgc.methods.diffjscc import DiffJsccParams
from jscgc.methods.mambajscc_perceptual import GanParams
from jscgc.params import load_params
from jscgc.seeding import stream
from jscgc.systems import store
from jscgc.systems.base import Sampling
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.load import load_system
from jscgc.systems.params import FinetuneParams
from jscgc.systems.store import Architecture
from jscgc.training import latents as latents_module
from jscgc.training import make, start
from jscgc.training.latents import LatentCrops, extract_latents, read_statistics

PIXEL = [method.name for method in METHODS if method.network and method.network.needs == ("photos",)]
"""The codecs on pixels that are trained from random weights."""


def ignore(step, metrics) -> None:
    pass


@pytest.fixture(scope="module")
def latents(latent_cache):
    return latent_cache


@pytest.fixture(scope="module")
def trained(params, latents, tmp_path_factory):
    """The latents, and prior and codec trained on them for a few steps and stored: what recipes read, by name."""
    folder = tmp_path_factory.mktemp("trained")
    inputs = {"latents": latents}
    for name in ("flow", "mambajscc_psnr"):
        make.make(name, params, inputs, folder / f"run-{name}", ignore, folder / name)
    return inputs | {name: folder / name for name in ("flow", "mambajscc_psnr")}


def state(net, prefix=""):
    return {name: value for name, value in net.state_dict().items() if name.startswith(prefix)}


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def nano():
    """The committed params.yaml, whose init is shipped."""
    committed = load_params(Path(__file__).parents[2] / "params.yaml")
    assert committed.init == "shipped"
    return committed.model_copy(update={"latents": committed.latents.model_copy(update={"crops": 3, "crop": 32})})


def test_shipped_vae_and_prior_are_passed_through_with_their_statistics(nano, tmp_path):
    data = DataParams(source="builtin", max_photos=1)
    prepare(data, 0, tmp_path / "photos")
    vae = make.train("vae", nano, {"photos": tmp_path / "photos"}, tmp_path / "run", ignore)
    assert same(state(vae), state(load_vae(SHIPPED / "vae")))
    save_vae(tmp_path / "vae", nano.vae, vae)
    statistics = extract_latents(nano, tmp_path / "photos", tmp_path / "vae", tmp_path / "latents")
    known = store.load(SHIPPED / "flow")
    assert (statistics.mean, statistics.std) == (pytest.approx(known.latents.mean), pytest.approx(known.latents.std))
    assert statistics.vae_sha256 == sha256(tmp_path / "vae")
    inputs = {"latents": tmp_path / "latents"}
    prior = make.train("flow", nano, inputs, tmp_path / "run", ignore)
    assert same(state(prior), state(known.net))
    make.save("flow", nano, inputs, prior, tmp_path / "flow")
    said = store.describe(tmp_path / "flow")
    assert said.architecture.network == known.architecture.network
    assert said.trained == known.trained and said.trained["generator.train"], "how the shipped one was trained"
    assert said.trained["generator.train"]["steps"] != nano.generator.train.steps
    afresh = nano.model_copy(update={"init": "scratch"})
    make.save("flow", afresh, inputs, prior, tmp_path / "afresh")
    said = store.describe(tmp_path / "afresh")
    assert said.architecture == Architecture.of("flow", afresh)
    assert said.trained == stages.stage("flow").values(afresh)
    assert said.trained["generator"]["train"]["steps"] == nano.generator.train.steps


@pytest.mark.parametrize(
    ("section", "key", "value", "make"),
    [("vae", "width", 48, start.shipped_vae), ("generator", "widths", [32, 32], start.shipped_prior)],
)
def test_what_ships_has_the_sizes_that_the_parameters_state(nano, section, key, value, make):
    make(nano)
    changed = getattr(nano, section).model_copy(update={key: value})
    with pytest.raises(
        ValueError, match=rf"comes with the package has {key} .* set {section}\.{key}: .* init: scratch"
    ):
        make(nano.model_copy(update={section: changed}))


@pytest.fixture(scope="module")
def finetune(nano, tmp_path_factory):
    """Parameters that train the shipped models on, by steps too small to move them; latents and folders as stages leave
    them."""
    place = tmp_path_factory.mktemp("finetune")
    own = nano.jscgc
    training = own.train.model_copy(update={"steps": 2, "batch_size": 2, "learning_rate": 1e-9, "ema_decay": 0.0})
    update = {"tuning": "full", "condition_dropout": 0.1, "train": training}
    params = nano.model_copy(
        update={
            "init": "finetune",
            "codec": nano.codec.model_copy(update=dict(training)),
            "jscgc": own.model_copy(update=update),
            "baselines": nano.baselines | {"diffjscc": DiffJsccParams()},
        }
    )
    prepare(DataParams(source="builtin", max_photos=1), 0, place / "photos")
    inputs = {"photos": place / "photos"}
    for name in ("vae", "latents", "mambajscc_psnr", "flow"):
        make.make(name, params, inputs, place / "run", ignore, place / name)
        inputs[name] = place / name
    return params, inputs


@pytest.mark.parametrize("kind", ["jscgc", "diffjscc"])
def test_finetuning_goes_on_from_the_shipped_models(finetune, tmp_path, kind):
    params, inputs = finetune
    net = make.train(kind, params, inputs, tmp_path / "run", ignore)
    shipped = state(store.load(SHIPPED / kind).net)
    moved = state(net)
    assert moved.keys() == shipped.keys()
    for name, value in shipped.items():
        assert torch.allclose(moved[name], value, rtol=0, atol=1e-6), name
    assert not same(moved, shipped), "nothing was trained"
    codec, known = (state(store.load(folder).net) for folder in (inputs["mambajscc_psnr"], SHIPPED / "mambajscc_psnr"))
    assert all(torch.allclose(codec[name], value, rtol=0, atol=1e-6) for name, value in known.items())
    assert not same(codec, known), "the codec was not trained"
    if kind == "diffjscc":
        assert same({name.removeprefix("codec."): v for name, v in moved.items() if name.startswith("codec.")}, codec)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"encoder": {"widths": [128, 128, 128, 64]}},
            r"init finetune: the encoder .* has widths \[128, 128, 128, 128\]",
        ),
        ({"link": {"rates": [2, 8]}}, r"init finetune: the link .* set link\.rates: \[1, 2, 4, 8, 16, 32, 60\]"),
        ({"jscgc": {"tuning": "lora"}}, "another generator, adapter or kind of tuning"),
    ],
)
def test_finetuning_another_network_is_refused(finetune, tmp_path, changes, said):
    params, inputs = finetune
    for section, values in changes.items():
        params = params.model_copy(update={section: getattr(params, section).model_copy(update=values)})
    with pytest.raises(ValueError, match=said):
        make.train("jscgc", params, inputs, tmp_path, ignore)


def train_jscgc(params, trained, folder, log=ignore, **changes):
    params = params.model_copy(update={"jscgc": params.jscgc.model_copy(update=changes)})
    return make.train("jscgc", params, trained, folder, log)


@pytest.mark.parametrize("kind", ["jscgc", "diffjscc"])
def test_a_codec_for_more_rates_starts_a_system_for_fewer(params, trained, tmp_path, kind):
    fewer = params.model_copy(update={"link": params.link.model_copy(update={"rates": [2]})})
    net = make.train(kind, fewer, trained, tmp_path, ignore)
    encoder = net.encoder if kind == "jscgc" else net.codec.encoder
    assert encoder.max_rate == 2


def test_jscgc_freezes_the_prior_that_it_was_given(params, latents, trained, tmp_path):
    net = train_jscgc(params, trained, tmp_path)
    assert same(state(net.receiver.prior), load_file(trained["flow"] / "weights.safetensors"))
    assert not same(state(net.encoder), state(store.load(trained["mambajscc_psnr"]).net.encoder))
    assert any(head.weight.any() for head in net.receiver.adapter.heads)
    # Frozen weights are no part of its checkpoints.
    assert not any("prior" in name for name in load_file(sorted(tmp_path.glob("step-*"))[-1]))


def test_jscgc_trains_the_generator_where_it_is_told_to(params, latents, trained, tmp_path):
    net = train_jscgc(params, trained, tmp_path, tuning="full")
    assert not same(state(net.receiver.prior), load_file(trained["flow"] / "weights.safetensors"))


@pytest.mark.parametrize("start, expected", [("mambajscc_psnr", True), ("random", False)])
def test_jscgc_starts_from_the_encoder_it_is_told_to(params, latents, trained, tmp_path, monkeypatch, start, expected):
    monkeypatch.setattr(latents_module, "train", lambda *a, **k: None)
    net = train_jscgc(params, trained, tmp_path, encoder_init=start)
    assert same(state(net.encoder), state(store.load(trained["mambajscc_psnr"]).net.encoder)) is expected


def test_without_its_own_decoder_the_refiner_starts_at_random_and_the_encoder_from_the_codec(
    params, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(latents_module, "train", lambda *a, **k: None)
    adapter = params.jscgc.adapter.model_copy(update={"refiner_decoder": False, "reading": False})
    net = train_jscgc(params, trained, tmp_path, adapter=adapter)
    assert net.refiner is None
    assert same(state(net.encoder), state(store.load(trained["mambajscc_psnr"]).net.encoder))


def test_the_paper_s_codec_and_jscgc_train_and_come_back(params, latents, trained, tmp_path):
    """The published block, no linear branch, no linear reading, no decoder in the Refiner."""
    published = params.encoder.model_copy(update={"block": "mambajscc", "linear": False})
    params = params.model_copy(update={"encoder": published})
    codec = make.train("mambajscc_psnr", params, {"latents": latents}, tmp_path / "codec-run", ignore)
    make.save("mambajscc_psnr", params, {"latents": latents}, codec, tmp_path / "mambajscc_psnr")
    adapter = params.jscgc.adapter.model_copy(update={"refiner_decoder": False, "reading": False})
    params = params.model_copy(update={"jscgc": params.jscgc.model_copy(update={"adapter": adapter})})
    inputs = {**trained, "mambajscc_psnr": tmp_path / "mambajscc_psnr"}
    net = make.train("jscgc", params, inputs, tmp_path / "run", ignore)
    make.save("jscgc", params, inputs, net, tmp_path / "jscgc")
    again = store.load(tmp_path / "jscgc")
    assert same(state(again.net), state(net))
    shape = again.architecture.network.model_dump()
    encoder, adapter = shape["encoder"], shape["adapter"]
    assert (encoder["block"], encoder["linear"]) == ("mambajscc", False)
    assert (adapter["reading"], adapter["refiner_decoder"]) == (False, False)


def test_the_student_of_few_steps_learns_and_leaves_the_transmitter_alone(params, latents, trained, tmp_path):
    teacher = train_jscgc(params, trained, tmp_path / "run", tuning="full")
    changed = params.model_copy(update={"jscgc": params.jscgc.model_copy(update={"tuning": "full"})})
    make.save("jscgc", changed, trained, teacher, tmp_path / "jscgc")
    inputs = {"latents": latents, "jscgc": tmp_path / "jscgc"}
    student = make.train("jscgc_fast", changed, inputs, tmp_path / "run-fast", ignore)
    assert same(state(store.load(tmp_path / "jscgc").net), state(teacher))
    before, after = state(teacher), state(student.net)
    learnt = {name for name in after if not torch.equal(after[name], before[name])}
    assert learnt and all(name.startswith("receiver.") for name in learnt)
    assert student.own_steps == params.few_step.steps == 3


def test_diffjscc_keeps_codec_and_prior_and_has_the_same_budget(params, latents, trained, tmp_path):
    net = make.train("diffjscc", params, trained, tmp_path, ignore)
    assert same(state(net.codec), load_file(trained["mambajscc_psnr"] / "weights.safetensors"))
    assert same(state(net.receiver.prior), load_file(trained["flow"] / "weights.safetensors"))
    assert sorted(tmp_path.glob("step-*"))[-1].name == f"step-{params.jscgc.train.steps:08d}.safetensors"


def train_codec(params, latents, folder, log=ignore):
    return make.train("mambajscc_psnr", params, {"latents": latents}, folder, log)


def test_a_recipe_is_repeatable_and_the_seed_matters(params, latents, tmp_path):
    torch.manual_seed(1)
    first = train_codec(params, latents, tmp_path / "a")
    torch.manual_seed(2)
    again = train_codec(params, latents, tmp_path / "b")
    other = train_codec(params.model_copy(update={"seed": 4}), latents, tmp_path / "c")
    assert same(state(first), state(again))
    assert not same(state(first), state(other))


def test_the_codec_learns_by_the_loss_that_is_asked_for(params, latents, tmp_path):
    logged: dict[str, set[str]] = {"squared_error": set(), "decibels": set()}
    found = {}
    for loss, keys in logged.items():
        own = params.model_copy(update={"codec": params.codec.model_copy(update={"loss": loss})})
        found[loss] = train_codec(own, latents, tmp_path / loss, lambda step, m, keys=keys: keys.update(m))
    assert "error" not in logged["squared_error"] and "error" in logged["decibels"]
    assert not same(*map(state, found.values()))


def test_a_killed_recipe_resumes_exactly(params, latents, trained, tmp_path):
    expected = train_jscgc(params, trained, tmp_path / "whole")

    class Kill(BaseException):
        pass

    def stop(step, metrics):
        if step == 5:
            raise Kill

    with pytest.raises(Kill):
        train_jscgc(params, trained, tmp_path / "cut", stop)
    assert same(state(train_jscgc(params, trained, tmp_path / "cut")), state(expected))
    newest = [sorted((tmp_path / run).glob("step-*"))[-1] for run in ("whole", "cut")]
    assert sha256(newest[0]) == sha256(newest[1])


def test_batches_follow_from_seed_name_and_step(params, latents):
    crops = LatentCrops(latents, 3, torch.device("cpu"))
    batch = crops.batch(5, "jscgc", 7)
    assert batch.shape == (5, 4, 8, 8) and batch.dtype == torch.float32
    assert torch.equal(batch, LatentCrops(latents, 3, torch.device("cpu")).batch(5, "jscgc", 7))
    for other in (crops.batch(5, "jscgc", 8), crops.batch(5, "flow", 7)):
        assert not torch.equal(batch, other)


def test_lora_starts_at_the_prior_and_comes_back_from_disk(params, latents, trained, tmp_path):
    net = train_jscgc(params, trained, tmp_path / "run", tuning="lora", lora_rank=2)
    changed = params.model_copy(update={"jscgc": params.jscgc.model_copy(update={"tuning": "lora", "lora_rank": 2})})
    base = {name.replace(".base_layer", ""): v for name, v in state(net.receiver.prior).items() if "lora_" not in name}
    assert same(base, load_file(trained["flow"] / "weights.safetensors"))
    assert any("lora_B" in name and value.any() for name, value in state(net).items())
    # Only what learns is in its checkpoints.
    checkpoint = load_file(sorted((tmp_path / "run").glob("step-*"))[-1])
    assert any("lora_" in name for name in checkpoint) and not any("base_layer" in name for name in checkpoint)
    make.save("jscgc", changed, trained, net, tmp_path / "jscgc")
    assert same(state(store.load(tmp_path / "jscgc").net), state(net))


def test_bfloat16_computes_in_it_and_keeps_weights_in_float32(params, latents, tmp_path):
    full = train_codec(params, latents, tmp_path / "full")
    half = train_codec(params.model_copy(update={"precision": "bfloat16"}), latents, tmp_path / "half")
    assert all(value.dtype == torch.float32 for value in state(half).values())
    assert not same(state(half), state(full))
    for name, value in state(half).items():
        assert torch.allclose(value, state(full)[name], atol=0.02), name


@pytest.fixture(scope="module")
def phased(params):
    """Joint training over one good link, then models of two others."""
    good = params.link.model_copy(update={"channels": ["awgn"], "snr_db": (10.0, 10.0), "rates": [4]})
    weak = good.model_copy(update={"snr_db": (0.0, 0.0), "rates": [2]})
    train = params.jscgc.train.model_copy(update={"steps": 2, "learning_rate": 0.01})
    links = {"weak": weak, "faded": weak.model_copy(update={"channels": ["rayleigh_fast"]})}
    joint = params.jscgc.model_copy(update={"link": good})
    return params.model_copy(update={"jscgc": joint, "finetune": FinetuneParams(links=links, train=train)})


@pytest.fixture(scope="module")
def joint(phased, trained, tmp_path_factory):
    """The joint models, by name, among what fine-tuning reads."""
    folder = tmp_path_factory.mktemp("joint")
    for name in ("jscgc", "diffjscc"):
        make.make(name, phased, trained, folder / f"run-{name}", ignore, folder / name)
    return {"latents": trained["latents"], **{name: folder / name for name in ("jscgc", "diffjscc")}}


@pytest.mark.parametrize(("kind", "net"), [("jscgc", JscgcNet), ("diffjscc", DiffJsccNet)])
def test_each_phase_is_over_its_own_link_and_as_long_as_it_says(
    phased, trained, joint, tmp_path, monkeypatch, kind, net
):
    """JSCGC and DiffJSCC alike: an equal budget of the target's link."""
    seen = []
    loss = net.loss

    def spy(self, x, link, *arguments):
        seen.append(link)
        return loss(self, x, link, *arguments)

    monkeypatch.setattr(net, "loss", spy)
    make.train(kind, phased, trained, tmp_path / "joint", ignore)
    assert seen == [phased.jscgc.link] * phased.jscgc.train.steps
    seen.clear()
    make.train(f"{kind}-weak", phased, {name: joint[name] for name in ("latents", kind)}, tmp_path / "weak", ignore)
    assert seen == [phased.finetune.links["weak"]] * 2


@pytest.mark.parametrize("kind", ["jscgc", "diffjscc", "mambajscc_psnr"])
def test_fine_tuning_goes_on_from_the_joint_model_with_draws_of_its_own(phased, trained, joint, tmp_path, kind):
    inputs = {"latents": trained["latents"], kind: (trained | joint)[kind]}
    before = store.load(inputs[kind]).net
    changed = phased.finetune.model_copy(update={"methods": [kind]})
    still = changed.model_copy(update={"train": changed.train.model_copy(update={"learning_rate": 1e-30})})
    net = make.train(f"{kind}-weak", phased.model_copy(update={"finetune": still}), inputs, tmp_path / "still", ignore)
    assert same(state(net), state(before)), "nothing is started anew"
    logs = {name: [] for name in ("weak", "faded")}
    for name, rows in logs.items():
        place = tmp_path / name
        params = phased.model_copy(update={"finetune": changed})
        result = f"{kind}-{name}"
        make.make(result, params, inputs, place / "run", lambda step, row, rows=rows: rows.append(row), place / result)
        said = store.describe(place / result).architecture
        assert (said.kind, said.rates, said.max_rate, said.link) == (kind, [2], 4, phased.finetune.links[name])
        tuned = store.load(place / result).net
        assert not same(state(tuned), state(before))
        if kind == "diffjscc":
            assert same(state(tuned, "codec."), state(before, "codec.")), "its codec is frozen in every phase"
    assert logs["weak"] != logs["faded"]
    assert store.describe(inputs[kind]).architecture.link is None
    seeds = {phased.finetuning(f"{kind}-{name}").seed for name in logs}
    assert len(seeds | {phased.seed}) == 3


def test_a_fine_tuning_that_was_stopped_ends_bit_for_bit_as_if_it_had_not(phased, joint, tmp_path):
    inputs = {name: joint[name] for name in ("latents", "jscgc")}
    whole = make.train("jscgc-weak", phased, inputs, tmp_path / "whole", ignore)
    make.train("jscgc-weak", phased, inputs, tmp_path / "parts", ignore, until=1)
    again = make.train("jscgc-weak", phased, inputs, tmp_path / "parts", ignore)
    assert same(state(whole), state(again))


def test_a_joint_model_has_the_planes_of_all_links_and_unit_power(phased, latents):
    statistics = read_statistics(latents)
    for kind, rates in (("jscgc", [4]), ("mambajscc_psnr", [2, 4]), ("diffjscc", [4])):
        architecture = Architecture.of(kind, phased)
        assert architecture.rates == rates and architecture.max_rate == 4
        net = store.build(architecture, statistics)
        encoder = net.codec.encoder if kind == "diffjscc" else net.encoder
        symbols = encoder.nested(torch.randn(2, 4, 8, 8), torch.zeros(2), torch.tensor([4, 2]))
        power = symbols.abs().square().sum((1, 2, 3)) / (16 * torch.tensor([4, 2]))
        assert torch.allclose(power, torch.ones(2), atol=1e-4)


def test_what_starts_from_the_codec_learns_at_its_own_rate(params, latents, trained, tmp_path):
    codec = state(store.load(trained["mambajscc_psnr"]).net.encoder)
    moved = []
    for codec_rate in (1.0, 0.01):
        net = train_jscgc(params, trained, tmp_path / f"{codec_rate}", codec_rate=codec_rate)
        moved.append(sum((v - codec[name]).abs().sum().item() for name, v in state(net.encoder).items()))
    assert 0 < moved[1] < 0.1 * moved[0]


def test_a_pretrained_generator_is_passed_through_and_stays_where_it_is(params, latents, tmp_path):
    """The paper's way with a tiny Z-Image: frozen prior, trained encoder and adapter, files without the prior's weights."""
    from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel

    torch.manual_seed(0)
    published = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=1,
        n_kv_heads=1,
        cap_feat_dim=8,
        axes_dims=[8, 12, 12],
    )
    published.save_pretrained(tmp_path / "z")
    generator = params.generator.model_copy(
        update={"backbone": "zimage", "source": "pretrained", "pretrained_path": str(tmp_path / "z")}
    )
    params = params.model_copy(update={"generator": generator})
    statistics = read_statistics(latents)
    flow = make.train("flow", params, {"latents": latents}, tmp_path / "none", ignore)
    flow.backbone.caption.features = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    store.save(tmp_path / "flow", Architecture.of("flow", params), statistics, flow)
    assert set(load_file(tmp_path / "flow" / "weights.safetensors")) == {"backbone.caption.features"}
    codec = train_codec(params, latents, tmp_path / "run-codec")
    store.save(tmp_path / "codec", Architecture.of("mambajscc_psnr", params), statistics, codec)
    inputs = {"latents": latents, "flow": tmp_path / "flow", "mambajscc_psnr": tmp_path / "codec"}
    for tuning in ("frozen", "lora", "full"):
        changed = params.model_copy(
            update={"jscgc": params.jscgc.model_copy(update={"tuning": tuning, "lora_rank": 2})}
        )
        net = make.train("jscgc", changed, inputs, tmp_path / f"run-{tuning}", ignore)
        assert torch.equal(net.receiver.prior.backbone.caption.features, flow.backbone.caption.features)
        prior = {
            n.replace(".base_layer", ""): v
            for n, v in state(net.receiver.prior.backbone.net).items()
            if "lora_" not in n
        }
        assert same(prior, published.state_dict()) is (tuning != "full")
        store.save(tmp_path / tuning, Architecture.of("jscgc", changed), statistics, net)
        stored = load_file(tmp_path / tuning / "weights.safetensors")
        assert any("backbone.net." in name and "lora_" not in name for name in stored) is (tuning == "full")
        assert same(state(store.load(tmp_path / tuning).net), state(net))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two training photographs as prepare leaves them."""
    root = tmp_path_factory.mktemp("source")
    sampled = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        pixels = np.kron(sampled.integers(0, 255, (8, 10, 3)), np.ones((12, 12, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{name}.png")
    out = tmp_path_factory.mktemp("photos") / "photos"
    prepare(DataParams(source="folder", train=[str(root)], validation_fraction=0.25, test_fraction=0.25), 0, out)
    return out


@pytest.mark.parametrize("kind", PIXEL)
def test_codecs_on_pixels_are_trained_and_stored(kind, params, photos, tmp_path):
    net = make.train(kind, params, {"photos": photos}, tmp_path / "run", ignore)
    again = make.train(kind, params, {"photos": photos}, tmp_path / "again", ignore)
    assert same(state(net), state(again))
    make.save(kind, params, {"photos": photos}, net, tmp_path / kind)
    assert store.describe(tmp_path / kind).latents == PIXELS
    system = load_system(kind, tmp_path)  # no VAE lies there, and none is needed
    assert system.encode(torch.rand(1, 3, 20, 30), torch.zeros(1), 4).shape == (1, 4, 2, 2)
    assert same(state(system.codec), state(net))


def test_a_codec_on_pixels_takes_the_steps_that_are_its_own(params, photos, tmp_path):
    own = params.baselines["deepjscc"]
    longer = own.model_copy(update={"train": own.train.model_copy(update={"steps": 9})})
    changed = params.model_copy(update={"baselines": params.baselines | {"deepjscc": longer}})
    for kind, expected in (("deepjscc", 9), ("swinjscc", params.baselines["swinjscc"].train.steps)):
        steps: list[int] = []
        inputs, folder = {"photos": photos}, tmp_path / kind
        make.train(kind, changed, inputs, folder, lambda step, metrics, to=steps: to.append(step))
        assert steps[-1] == expected


def with_lpips(params):
    """The same for LPIPS."""
    own = {f"mambajscc_lpips{where}": params.baselines[f"mambajscc_feature{where}"] for where in ("", "_pixels")}
    return params.model_copy(update={"baselines": params.baselines | own})


@pytest.mark.parametrize("distance", ["feature", "lpips"])
@pytest.mark.parametrize("start", ["", "_pixels"])
def test_perceptual_codecs_go_on_from_those_for_least_squared_error(distance, start, params, photos, models, tmp_path):
    kind, params = f"mambajscc_{distance}{start}", with_lpips(params)
    before = state(store.load(models / f"mambajscc_psnr{start}").net)
    vae = state(load_vae(models / "vae"))
    losses = []
    inputs = {need: photos if need == "photos" else models / need for need in network(kind).needs}
    net = make.train(kind, params, inputs, tmp_path, lambda step, metrics: losses.append(metrics))
    assert {name for name in before if not torch.equal(before[name], net.state_dict()[name])} > {
        "encoder.linear.1.weight"
    }
    assert same(state(load_vae(models / "vae")), vae)
    assert all(0 < m["perceived"] < 16 and m["loss"] >= m["perceived"] for m in losses)
    assert losses[-1]["loss"] == pytest.approx(
        losses[-1]["perceived"] + params.baselines[kind].distortion * losses[-1]["squared"], rel=1e-5
    )


def test_the_gan_s_codec_learns_from_a_discriminator_that_learns_and_is_left_behind(params, photos, models, tmp_path):
    kind, losses = "mambajscc_gan", []
    inputs = {need: photos if need == "photos" else models / need for need in network(kind).needs}
    net = make.train(kind, params, inputs, tmp_path, lambda step, metrics: losses.append(metrics))
    start = store.load(models / "mambajscc_psnr").net
    assert net.state_dict().keys() == start.state_dict().keys()
    assert not same(state(net), state(start))
    own = params.own(kind, GanParams)
    for metrics in losses:
        parts = metrics["perceived"] + own.distortion * metrics["squared"] + own.adversarial * metrics["adversarial"]
        assert metrics["loss"] == pytest.approx(parts + metrics["discriminator"], rel=1e-5)
    assert losses[-1]["discriminator"] != losses[0]["discriminator"]


def test_one_step_is_the_teacher_s_estimate_at_the_start_of_its_sampling(params, models, tmp_path):
    """x_1 - nu(x_1, 1): Euler's one step, and the same whatever the sampler's generator draws."""
    inputs = {need: models / need for need in network("jscgc_one_step").needs}
    net = make.train("jscgc_one_step", params, inputs, tmp_path, ignore)
    teacher = store.load(models / "jscgc").net
    assert same(state(net.net), state(teacher))
    symbols = teacher.symbols(torch.randn(2, 4, 8, 8), torch.full((2,), 5.0), 2)
    received = Received(symbols, torch.full(symbols.shape, 0.8), torch.full((2,), 5.0))
    first, again = (
        net.restore(received, Sampling(params.sample, torch.Generator().manual_seed(seed))).x0 for seed in (0, 1)
    )
    noise = torch.randn(first.shape, generator=stream(0, "one step"))
    field = teacher.receiver.conditional(teacher.condition(received), received)
    assert torch.equal(first, again)
    assert torch.allclose(first, noise - field(noise, torch.ones(2)), atol=1e-5)


def test_without_lpips_weights_its_codec_says_what_is_missing(params, photos, models, tmp_path, monkeypatch):
    monkeypatch.setenv("JSCGC_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"'lpips_vgg' is not available: .*VGG-16.*`jscgc weights fetch vgg16`"):
        inputs = {need: photos if need == "photos" else models / need for need in network("mambajscc_lpips").needs}
        make.train("mambajscc_lpips", params, inputs, tmp_path, ignore)


def test_diffcom_is_composed_of_what_was_trained(params, trained, tmp_path):
    net = make.train("diffcom", params, trained, tmp_path, ignore)
    assert same(state(net.prior), load_file(trained["flow"] / "weights.safetensors"))
    assert same(state(net.codec), load_file(trained["mambajscc_psnr"] / "weights.safetensors"))


def test_diffcom_s_prior_is_the_plain_one_whatever_jscgc_tunes(params, trained, tmp_path):
    lora = params.model_copy(update={"jscgc": params.jscgc.model_copy(update={"tuning": "lora"})})
    net = make.train("diffcom", lora, trained, tmp_path, ignore)
    assert same(state(net.prior), load_file(trained["flow"] / "weights.safetensors"))


def test_diffjscc_takes_its_own_number_of_steps(params, trained, tmp_path):
    changed = params.model_copy(update={"baselines": params.baselines | {"diffjscc": DiffJsccParams(steps=4)}})
    steps = []
    make.train("diffjscc", changed, trained, tmp_path, lambda step, metrics: steps.append(step))
    assert max(steps) == 4 != params.jscgc.train.steps
