"""The decoder against a discriminator: each learns from its own part of the loss, latents stay, detail comes."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from jscgc.bench.ceiling import _fine
from jscgc.config import TrainParams
from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare
from jscgc.files import sha256
from jscgc.latent.autoencoder import load_vae
from jscgc.latent.nano_vae import NanoVae
from jscgc.latent.params import SharpenParams
from jscgc.latent.sharpen import BoundedConv2d, PatchDiscriminator, Sharpening
from jscgc.params import load_params
from jscgc.systems.base import Link
from jscgc.systems.latent import LatentSystem
from jscgc.systems.links import arrived
from jscgc.systems.load import load_system, trained_systems
from jscgc.systems.transmit import transmit
from jscgc.training import vae as vae_module
from jscgc.training.vae import sharpen, train_vae
from pipeline.sharpen import renew


def photos(count: int = 2, side: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def draw(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


@pytest.fixture
def net() -> Sharpening:
    torch.manual_seed(0)
    return Sharpening(NanoVae(4, 8, 1), 8)


def test_each_learns_from_its_own_part(net: Sharpening):
    net.loss(photos(), draw(), 0.3)["loss"].backward()
    found = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    assert not any(name.startswith("vae.encoder") for name in found)
    assert {name for name, p in net.named_parameters() if p.requires_grad} == set(found)

    vae, critic = net.vae, net.discriminator
    with torch.no_grad():
        mean, logvar = vae.posterior(photos())
        latents = mean + torch.exp(logvar / 2) * torch.randn(mean.shape, generator=draw())
    net.zero_grad()
    decoded = vae.decode(latents)
    (2 * F.l1_loss(decoded, photos()) + 4 * F.mse_loss(decoded, photos()) - 0.3 * critic(decoded).mean()).backward()
    decoders = {name: p.grad.clone() for name, p in vae.decoder.named_parameters()}
    net.zero_grad()
    (F.relu(1 - critic(photos())).mean() + F.relu(1 + critic(decoded.detach())).mean()).backward()
    critics = {name: p.grad.clone() for name, p in critic.named_parameters()}
    for prefix, own in (("vae.decoder.", decoders), ("discriminator.", critics)):
        for name, gradient in own.items():
            torch.testing.assert_close(found[prefix + name], gradient, msg=prefix + name)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2])
def test_what_arrived_takes_the_place_of_the_vaes_own(net: Sharpening, count: int):
    arrived, seen = torch.randn(count, 4, 4, 4), []
    net.vae.decoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    net.loss(photos(), draw(), 0.3)
    net.loss(photos(), draw(), 0.3, received=arrived)
    assert seen[0].shape == seen[1].shape and torch.equal(seen[1][:count], arrived)
    mean, logvar = (part[count:] for part in net.vae.posterior(photos()))
    own = mean + torch.exp(logvar / 2) * torch.randn(mean.shape, generator=draw()) if count < 2 else mean
    torch.testing.assert_close(seen[1][count:], own)


def test_weights_are_bounded_as_torch_bounds_them():
    torch.manual_seed(0)
    own = BoundedConv2d(6, 8, 4, stride=2, padding=1)
    theirs = torch.nn.Conv2d(6, 8, 4, stride=2, padding=1)
    theirs.load_state_dict(own.state_dict())
    theirs = torch.nn.utils.parametrizations.spectral_norm(theirs.double(), n_power_iterations=200)
    own, x = own.double(), torch.randn(2, 6, 16, 16).double()
    torch.testing.assert_close(own(x), theirs(x))
    own(x).square().sum().backward()
    theirs(x).square().sum().backward()
    torch.testing.assert_close(own.weight.grad, theirs.parametrizations.weight.original.grad)


def test_a_place_is_judged_by_the_pixels_around_it():
    torch.manual_seed(0)
    critic = PatchDiscriminator(8)
    x = photos(1, 64).requires_grad_()
    judged = critic(x)
    assert judged.shape == (1, 1, 16, 16)
    (gradient,) = torch.autograd.grad(judged[0, 0, 8, 8], x)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert rows.max() - rows.min() + 1 == 28


def sharpened(weight: float, steps: int = 150) -> float:
    """Fine energy over the truth's, of decoded photographs of grain that no latent can tell."""
    torch.manual_seed(0)
    net = Sharpening(NanoVae(4, 16, 1), 16)
    critic = {"params": net.discriminator.parameters(), "lr": 8e-3}
    optimiser = torch.optim.Adam([{"params": net.vae.decoder.parameters()}, critic], 2e-3)
    for step in range(steps):
        optimiser.zero_grad()
        net.loss(0.3 + 0.4 * photos(4, 32, step), draw(step), weight)["loss"].backward()
        optimiser.step()
    shown = 0.3 + 0.4 * photos(8, 32, 1000)
    with torch.no_grad():
        return (_fine(net.vae.decode(net.vae.encode(shown))).sum() / _fine(shown).sum()).item()


def test_detail_that_was_lost_comes_back():
    blurred, sharp = sharpened(1e-9), sharpened(1.0)
    print(f"{blurred:.3f} without, {sharp:.3f} with the discriminator")
    assert blurred < 0.05 and 0.3 < sharp < 3


@pytest.fixture
def sharpening(params, tmp_path):
    """Parameters that sharpen for a few steps, and photographs."""
    prepare(DataParams(source="builtin", max_photos=1), 0, tmp_path / "photos")
    training = TrainParams(steps=4, batch_size=2, learning_rate=0.01, checkpoint_every=2, log_every=1, ema_decay=0.0)
    own = SharpenParams(adversarial_weight=0.1, width=8, train=training)
    return params.model_copy(update={"vae": params.vae.model_copy(update={"sharpen": own})}), tmp_path / "photos"


def test_the_recipe_moves_the_decoder_alone(sharpening, models: Path, tmp_path: Path):
    params, place = sharpening
    logged: dict[int, dict[str, float]] = {}
    before = load_vae(models / "vae")
    assert isinstance(before, NanoVae)
    after = sharpen(
        params, place, copy.deepcopy(before), None, tmp_path / "run", lambda s, m: logged.update({s: dict(m)})
    )
    assert same(before.encoder, after.encoder) and not same(before.decoder, after.decoder)
    assert list(logged) == [1, 2, 3, 4] and {"adversarial", "discriminator", "perceived"} <= set(logged[1])
    with pytest.raises(ValueError, match=r"vae\.sharpen is not set"):
        sharpen(
            load_params(Path(__file__).parents[2] / "params.yaml"),
            place,
            before,
            None,
            tmp_path / "no",
            lambda s, m: None,
        )


def test_receivers_take_turns(sharpening, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    params, place = sharpening
    own = params.vae.sharpen.model_copy(update={"receivers": ["diffjscc", "mambajscc_psnr"], "received_share": 0.5})
    params = params.model_copy(update={"vae": params.vae.model_copy(update={"sharpen": own})})
    asked: list[tuple[str, int]] = []

    def watched(system, photos, *others):
        latents = arrived(system, photos, *others)
        assert latents.shape == system.space.vae.encode(photos).shape
        asked.append((system.name, len(photos)))
        return latents

    monkeypatch.setattr(vae_module, "arrived", watched)
    vae = load_vae(models / "vae")
    assert isinstance(vae, NanoVae)
    sharpen(params, place, vae, models, tmp_path / "run", lambda s, m: None)
    assert asked == [("diffjscc", 1), ("mambajscc_psnr", 1)] * 2
    with pytest.raises(ValueError, match="receivers are trained after the VAE"):
        train_vae(params.model_copy(update={"init": "scratch"}), place, tmp_path / "no", lambda s, m: None)


def test_latents_arrive_as_transmit_decodes_them():
    """Without noise to speak of, one photograph: the same but for the draws."""
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    link = params.link.model_copy(update={"channels": ["awgn"], "snr_db": (60.0, 60.0), "rates": [60]})
    system = load_system("mambajscc_psnr")
    assert isinstance(system, LatentSystem)
    x = photos(1, 64)
    found = system.space.vae.decode(arrived(system, x, link, params.sample, draw()))
    sent = transmit(system, x[0], Link("awgn", 60.0, 60), sample=params.sample, seed=0)
    torch.testing.assert_close(found[0].clamp(0, 1), sent.photo, atol=0.02, rtol=0)


def test_a_new_vae_is_trained_and_then_sharpened(sharpening, tmp_path: Path):
    params, place = sharpening
    params = params.model_copy(update={"vae": params.vae.model_copy(update={"perceptual_weight": 0.0})})
    steps: list[int] = []
    vae = train_vae(params, place, tmp_path / "run", lambda step, m: steps.append(step))
    assert steps == [*range(1, params.vae.train.steps + 1), *(params.vae.train.steps + i for i in range(1, 5))]
    plain = params.model_copy(update={"vae": params.vae.model_copy(update={"sharpen": None})})
    other = train_vae(plain, place, tmp_path / "plain", lambda step, m: None)
    assert same(vae.encoder, other.encoder) and not same(vae.decoder, other.decoder)


@torch.no_grad()
def test_models_go_on_with_the_new_decoder(models: Path, tmp_path: Path):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    vae = load_vae(folder / "vae")
    assert isinstance(vae, NanoVae)
    for p in vae.decoder.parameters():
        p.mul_(1.1)
    renew(folder, copy.deepcopy(vae))
    assert {v.dtype for v in load_file(folder / "vae/weights.safetensors").values()} == {torch.float32}
    x, snr = photos(1, 64), torch.tensor([5.0])
    learned = 0
    for name in trained_systems(models):
        old, new = load_system(name, models), load_system(name, folder)
        if isinstance(old, LatentSystem) and isinstance(new, LatentSystem):
            assert torch.equal(old.encode(x, snr, 4), new.encode(x, snr, 4)), name
            learned += isinstance(new.space.vae, NanoVae)
    assert learned >= 5
    found = load_system("jscgc", folder)
    assert isinstance(found, LatentSystem)
    torch.testing.assert_close(found.space.vae.decode(vae.encode(x)), vae.decode(vae.encode(x)))
    renew(folder, vae.half())
    assert {v.dtype for v in load_file(folder / "vae/weights.safetensors").values()} == {torch.float32}
    shutil.rmtree(folder / "vae")
    before = sha256(folder)
    with pytest.raises(OSError, match="vae"):
        renew(folder, vae)
    assert not list(tmp_path.glob(".models*")) and sha256(folder) == before
