"""The nano VAE: shapes, its loss in closed form, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from jscgc.latent.nano_vae import NanoVae, ResidualBlock


def vae(channels: int = 4) -> NanoVae:
    torch.manual_seed(0)
    return NanoVae(channels, 8, 1)


@pytest.mark.parametrize("channels", [4, 8, 16])
@torch.no_grad()
def test_latents_are_an_eighth(channels):
    net, photos = vae(channels), torch.rand(2, 3, 24, 40)
    latents = net.encode(photos)
    assert latents.shape == (2, channels, 3, 5)
    assert net.decode(latents).shape == photos.shape


@torch.no_grad()
def test_a_pixel_depends_on_its_neighbourhood_only():
    net = vae()
    photo = torch.rand(1, 3, 256, 256)
    assert torch.allclose(net.encode(photo)[..., :8, :8], net.encode(photo[..., :192, :192])[..., :8, :8], atol=1e-6)


def test_a_residual_block_starts_as_the_identity():
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(ResidualBlock(8)(x), x)


def test_kl_and_errors_are_what_they_say():
    net, photos = vae(), torch.rand(2, 3, 16, 16)
    mean, logvar = net.posterior(photos)
    scalars = net.loss(photos, 0.5, torch.Generator().manual_seed(4))
    expected = kl_divergence(Normal(mean, torch.exp(logvar / 2)), Normal(0.0, 1.0)).mean()
    assert torch.allclose(scalars["kl"], expected, rtol=1e-5)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(4))
    # On [-1,1]: plain L1 + L2.
    error = 2 * net.decode(mean + torch.exp(logvar / 2) * noise) - 2 * photos
    assert torch.allclose(scalars["loss"], error.abs().mean() + error.square().mean() + 0.5 * expected, rtol=1e-5)
    assert scalars["psnr_db"].item() == pytest.approx(-10 * torch.log10(error.square().mean() / 4).item(), abs=1e-4)


def test_it_learns_one_image():
    net = vae()
    photo = (
        torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
        .repeat_interleave(8, 2)
        .repeat_interleave(8, 3)
    )
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for step in range(40):
        loss = net.loss(photo, 1e-3, torch.Generator().manual_seed(step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_the_perceptual_term_is_added_with_its_weight():
    net, photos = vae(), torch.rand(2, 3, 16, 16)
    plain = net.loss(photos, 1e-3, torch.Generator().manual_seed(0))
    seen = []

    def perceive(wanted, decoded):
        seen.append((wanted, decoded))
        return (wanted - decoded).abs().mean((1, 2, 3))

    with_it = net.loss(photos, 1e-3, torch.Generator().manual_seed(0), perceive, 0.5)
    assert torch.equal(seen[0][0], photos)
    assert with_it["perceived"].item() == pytest.approx(plain["l1"].item())
    assert with_it["loss"].item() == pytest.approx((plain["loss"] + 0.5 * plain["l1"]).item())


def test_scaled_latents_must_decode_to_the_scaled_photo():
    """With a decoder that scales and an encoder that averages, the term changes nothing; one that does not, it sees."""
    net, photos = vae(), torch.rand(2, 3, 32, 48)
    sizes = []
    net.decode = lambda latents: (
        sizes.append(latents.shape[-2:]) or torch.zeros(2, 3, *(8 * s for s in latents.shape[-2:]))
    )
    always = net.loss(photos, 0.0, torch.Generator().manual_seed(0), equivariance=1.0)
    never = net.loss(photos, 0.0, torch.Generator().manual_seed(0), equivariance=0.0)
    assert sizes == [(2, 3), (4, 6)]
    halved = photos.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    assert always["l1"].item() == pytest.approx(halved.abs().mean().item())
    assert never["l1"].item() == pytest.approx(photos.abs().mean().item())


def test_the_share_of_scaled_steps_is_the_setting():
    net, photos = vae(), torch.rand(1, 3, 16, 16)
    widths = []
    net.decode = lambda latents: (
        widths.append(latents.shape[-1]) or torch.zeros(1, 3, *(8 * s for s in latents.shape[-2:]))
    )
    for step in range(400):
        net.loss(photos, 0.0, torch.Generator().manual_seed(step), equivariance=0.2)
    assert widths.count(1) == pytest.approx(80, abs=4 * (400 * 0.2 * 0.8) ** 0.5)
