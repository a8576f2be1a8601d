"""Training in bfloat16: how far from float32 a step is, that it resumes bit for bit, and that it follows whoever started it."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from jscgc import precision, stages
from jscgc.config import TrainParams
from jscgc.files import read_json
from jscgc.latent.autoencoder import LatentStatistics
from jscgc.latent.nano_vae import NanoVae
from jscgc.latent.pixels import PIXELS
from jscgc.latent.sharpen import Sharpening
from jscgc.method import network
from jscgc.precision import computing
from jscgc.seeding import stream
from jscgc.systems import store
from jscgc.systems.store import Architecture
from jscgc.training import checkpoint, make
from jscgc.training.loop import train

LOSS, GRADIENT = 5e-3, 4e-2
"""Relative distance of bfloat16's loss and gradient (its whole vector) from float32's; measured 1.4e-3 and 2.1e-2 at most."""
LATENTS = LatentStatistics([0.0] * 4, [1.0] * 4, 8, "")
CODEC = "mambajscc_psnr"


def ignore(step, metrics) -> None:
    pass


@pytest.fixture(autouse=True)
def undecided():
    precision._decided.cache_clear()
    yield
    precision._decided.cache_clear()


@pytest.fixture
def amx(monkeypatch):
    """A processor on which bfloat16 pays."""
    monkeypatch.setattr(precision, "_gains", lambda: {"convolution": 22.0, "matrix product": 26.0})


@pytest.fixture
def unasked(monkeypatch):
    """Nobody may measure."""

    def fail() -> None:
        raise AssertionError("measured by one who should follow")

    monkeypatch.setattr(precision, "_gains", fail)


def objective(kind: str, params, filled) -> tuple[nn.Module, Callable[[], Tensor]]:
    """A network that acts, and its loss on a fixed batch and draw."""
    torch.manual_seed(0)

    def rng() -> torch.Generator:
        return torch.Generator().manual_seed(1)

    photos, latents = torch.rand(4, 3, 32, 32, generator=rng()), torch.randn(4, 4, 8, 8, generator=rng())
    net: object
    if kind in ("vae", "sharpen"):
        vae = filled(NanoVae(4, 8, 1))
        net = vae if kind == "vae" else filled(Sharpening(vae, 8))
        return net, lambda: net.loss(
            photos, rng=rng(), **({"kl_weight": 1e-3} if kind == "vae" else {"adversarial_weight": 0.1})
        )["loss"]
    pixels = network(kind).pixels
    net = filled(store.build(Architecture.of(kind, params), PIXELS if pixels else LATENTS))
    if kind == "flow":
        return net, lambda: net.loss(latents, params.objective, rng())["loss"]
    if kind in ("jscgc", "diffjscc"):
        return net, lambda: net.loss(latents, params.link, params.jscgc, params.objective, rng())["loss"]
    if kind == "jscgc_fast":
        teacher = filled(store.build(Architecture.of("jscgc", params), LATENTS)).requires_grad_(False)
        return net, lambda: net.loss(teacher, latents, params.link, params.few_step, rng())["loss"]
    return net, lambda: net.loss(2 * photos - 1 if pixels else latents, params.link, rng())["loss"]


@pytest.mark.parametrize(
    "kind",
    [
        "vae",
        "sharpen",
        "flow",
        CODEC,
        "jscgc",
        "diffjscc",
        "jscgc_fast",
        "mambajscc_psnr_pixels",
        "deepjscc",
        "swinjscc",
    ],
)
def test_loss_and_gradient_are_those_of_float32_within_the_stated_bound(params, filled, kind):
    net, loss = objective(kind, params, filled)
    net.to(memory_format=torch.channels_last)
    found: dict[str, tuple[float, dict[str, Tensor]]] = {}
    for mode in ("float32", "bfloat16"):
        net.zero_grad()
        with computing(mode, "cpu"):
            value = loss()
        assert value.dtype == torch.float32
        value.backward()
        found[mode] = value.item(), {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    (exact, gradient), (near, approximate) = found["float32"], found["bfloat16"]
    # Autocast keeps cast weights: one that was first cast where nothing is differentiated would get no gradient any more.
    assert gradient.keys() == approximate.keys() and all(g.dtype == torch.float32 for g in approximate.values())
    assert near != exact
    assert near == pytest.approx(exact, rel=LOSS)
    flat, other = (torch.cat([g.flatten() for g in grads.values()]) for grads in (gradient, approximate))
    assert (other - flat).norm() <= GRADIENT * flat.norm()


def make_codec(params, latents, folder, until=None):
    return make.train(CODEC, params, {"latents": latents}, folder, ignore, until)


def test_a_resumed_training_in_bfloat16_is_bit_for_bit_the_uninterrupted_one(params, latent_cache, tmp_path):
    half = params.model_copy(update={"precision": "bfloat16"})
    whole = make_codec(half, latent_cache, tmp_path / "whole").state_dict()
    make_codec(half, latent_cache, tmp_path / "cut", until=3)
    resumed = make_codec(half, latent_cache, tmp_path / "cut").state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    full = make_codec(params.model_copy(update={"precision": "float32"}), latent_cache, tmp_path / "full").state_dict()
    assert not all(torch.equal(full[name], value) for name, value in whole.items())


def test_what_was_decided_at_the_start_is_followed_recorded_and_in_the_key(
    params, latent_cache, tmp_path, amx, monkeypatch
):
    """Whoever trains, on whatever processor: here on one that would choose float32."""
    undecided = params.model_copy(update={"precision": "auto"})
    settled = undecided.settled()
    assert settled.precision == "bfloat16" and settled.settled() is settled
    precision._decided.cache_clear()
    monkeypatch.setattr(precision, "_gains", lambda: {"convolution": 0.01})
    assert undecided.settled().precision == "float32"
    inputs = {"latents": latent_cache}
    made = {}
    for name, told in (("follows", settled), ("named", params.model_copy(update={"precision": "bfloat16"}))):
        make.make(CODEC, told, inputs, tmp_path / f"run-{name}", ignore, tmp_path / name / CODEC)
        made[name] = (tmp_path / name / CODEC / "weights.safetensors").read_bytes()
    assert made["follows"] == made["named"]
    assert read_json(tmp_path / "follows" / CODEC / "model.json")["trained"]["precision"] == "bfloat16"
    keys = {told.precision: stages.checkpoint_key(CODEC, told, inputs) for told in (settled, undecided.settled())}
    assert keys["bfloat16"] != keys["float32"]


def test_a_settled_training_asks_no_processor(params, latent_cache, tmp_path, unasked):
    make_codec(params.model_copy(update={"precision": "bfloat16"}), latent_cache, tmp_path)


def test_moments_come_back_in_the_layout_of_their_weights(tmp_path):
    def optimised() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
        return net, torch.optim.AdamW(net.parameters())

    net, optimiser = optimised()
    net(torch.randn(1, 4, 8, 8)).square().mean().backward()
    optimiser.step()
    checkpoint.save(tmp_path, 1, net, {}, optimiser)
    again, other = optimised()
    assert checkpoint.restore(tmp_path, again, {}, other) == 1
    for key in ("exp_avg", "exp_avg_sq"):
        kept, restored = optimiser.state[net.weight][key], other.state[again.weight][key]
        assert restored.is_contiguous(memory_format=torch.channels_last) and torch.equal(kept, restored)
        assert restored.dtype == torch.float32


@pytest.mark.slow
def test_a_short_training_ends_within_the_interval_of_float32_over_seeds(params, tmp_path):
    """The codec at tiny size, 200 steps on smooth latents; the interval is a mean's of three seeds, 95%."""
    mixed = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    coarse = torch.randn(64, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    data = torch.einsum("ij,bjhw->bihw", mixed, nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear"))
    data /= data.std()
    steps = TrainParams(steps=200, batch_size=4, learning_rate=3e-3, ema_decay=0.9, checkpoint_every=1000)

    def final(seed: int, mode: precision.Precision) -> float:
        torch.manual_seed(seed)
        codec = store.build(Architecture.of(CODEC, params), LATENTS)

        def loss(draw: int) -> dict[str, Tensor]:
            rng = stream(seed, "short", draw)
            return codec.loss(data[torch.randint(len(data), (4,), generator=rng)], params.link, rng)

        train(codec, loss, steps, tmp_path / f"{mode}-{seed}", ignore, "short", precision=mode)
        with torch.no_grad():
            return float(codec.loss(data, params.link, torch.Generator().manual_seed(9))["loss"])

    usual = [final(seed, "float32") for seed in range(3)]
    half = [final(seed, "bfloat16") for seed in range(3)]
    interval = 4.30 * statistics.stdev(usual) / 3**0.5  # Student's t of two degrees of freedom
    assert interval < 0.2 * statistics.mean(usual)  # else it would say nothing
    assert statistics.mean(half) == pytest.approx(statistics.mean(usual), abs=interval)
    for one, other in zip(usual, half, strict=True):
        assert other == pytest.approx(one, rel=5e-3)
