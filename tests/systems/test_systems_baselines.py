"""The competitors: what each is supposed to do, against closed forms and against the parts they are made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import Received, equalise
from jscgc.encoder.swin import SwinDecoder, SwinEncoder
from jscgc.flow.params import SampleParams
from jscgc.flow.path import interpolate
from jscgc.latent.autoencoder import LatentSpace
from jscgc.latent.pixels import PIXELS, PixelVae
from jscgc.method import METHODS
from jscgc.params import Params
from jscgc.systems import store
from jscgc.systems.base import Sampling
from jscgc.systems.diffcom import DiffComNet
from jscgc.systems.mambajscc import Codec
from jscgc.systems.store import Architecture, load

SNR_DB = 6.0
PIXEL = [method.name for method in METHODS if (own := method.network) and own.needs == ("photos",) and own.trained_by]


def latents(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(2))


def received_of(codec: Codec, x: Tensor, channel: str = "awgn", rate: int = 4, seed: int = 0) -> Received:
    snr_db = torch.full((len(x),), SNR_DB)
    rng = torch.Generator().manual_seed(seed)
    return equalise(get_channel(channel)(codec.symbols(x, snr_db, rate), snr_db, rng))


def sampling(seed: int = 0) -> Sampling:
    return Sampling(SampleParams(steps=1, guidance=1.0), torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def diffcom(models) -> DiffComNet:
    return load(models / "diffcom").net


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (32, 16)])
def test_pixels_are_their_own_latents(size):
    photo = torch.rand(2, 3, *size)
    space = LatentSpace(PixelVae(), PIXELS)
    there = space.encode(photo)
    assert there.shape[-2] % 16 == 0 == there.shape[-1] % 16 and there.min() >= -1 and there.max() <= 1
    assert torch.allclose(space.decode(there, *size), photo, atol=1e-6)


@pytest.mark.parametrize("kind", PIXEL)
def test_a_codec_on_pixels_learns(kind, params: Params):
    torch.manual_seed(0)
    codec = store.build(Architecture.of(kind, params), PIXELS)
    link = params.link.model_copy(update={"channels": ["awgn"], "snr_db": (20.0, 20.0), "rates": [4]})
    colour = torch.rand(4, 3, 1, 1, generator=torch.Generator().manual_seed(1)) * 2 - 1
    flat = colour.expand(4, 3, 32, 32)
    codec.start(flat + 0.1 * torch.randn(4, 3, 32, 32))
    optimiser = torch.optim.Adam(codec.parameters(), 5e-3)
    losses = []
    for step in range(60):
        optimiser.zero_grad()
        loss = codec.loss(flat, link, torch.Generator().manual_seed(step))["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    # Everything that can learn does: no layer is out of reach of the gradient.
    assert not [name for name, p in codec.named_parameters() if p.grad is None]


def test_swin_hears_the_snr_on_both_sides(params: Params, filled):
    torch.manual_seed(0)
    sizes = params.baselines["swinjscc"]
    encoder, decoder = filled(SwinEncoder(3, sizes, 4)), filled(SwinDecoder(3, sizes, 4))
    x, planes = torch.rand(2, 3, 32, 48), torch.rand(2, 12, 2, 3)
    low, high = torch.zeros(2), torch.full((2,), 10.0)
    assert encoder.planes(x, low).shape == (2, 8, 2, 3) and decoder(planes, low).shape == (2, 3, 32, 48)
    assert not torch.allclose(encoder.planes(x, low), encoder.planes(x, high), atol=1e-5)
    assert not torch.allclose(decoder(planes, low), decoder(planes, high), atol=1e-5)


def test_swin_sees_beyond_a_window(params: Params, filled):
    # Depth 2 in the last stage: a window and a shifted one, so that neighbours across a window's edge are heard.
    torch.manual_seed(0)
    encoder = filled(SwinEncoder(3, params.baselines["swinjscc"], 2))
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    encoder.planes(x, torch.zeros(1))[0, :, 1, 1].sum().backward()
    reached = x.grad[0].abs().sum(0)
    assert reached[:32, :32].any() and reached[32:48, 32:48].any()


@pytest.mark.parametrize("channel", ["awgn", "rayleigh_fast", "rayleigh_block"])
def test_the_misfit_is_chi_square_at_the_truth(channel, models, diffcom: DiffComNet):
    # -2 log p of N complex symbols has the mean 2 N where the beliefs are right.
    x = latents(200)
    received = received_of(diffcom.codec, x, channel)
    symbols = received.estimate[0].numel()
    misfit = diffcom.misfit(x, received)
    assert misfit.mean().item() == pytest.approx(2 * symbols, rel=0.03)
    assert diffcom.misfit(x.flip(0), received).mean() > 2 * misfit.mean()


def test_guidance_lowers_the_misfit_and_the_distance(diffcom: DiffComNet):
    received = received_of(diffcom.codec, latents(16), seed=1)
    reconstruction = diffcom.codec.reconstruct(received)
    plain = with_weights(diffcom, 0.0, 0.0).restore(received, sampling()).x0
    guided = with_weights(diffcom, 0.5, 0.0).restore(received, sampling()).x0
    assert diffcom.misfit(guided, received).mean() < diffcom.misfit(plain, received).mean()
    near = with_weights(diffcom, 0.0, 0.5).restore(received, sampling()).x0
    assert (near - reconstruction).square().mean() < (plain - reconstruction).square().mean()


def test_without_guidance_it_is_the_flow_from_the_noisy_reconstruction(diffcom: DiffComNet):
    net = with_weights(diffcom, 0.0, 0.0)
    received = received_of(net.codec, latents())
    samples = net.restore(received, sampling(4))
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    start = net.start
    with torch.no_grad():
        x = interpolate(net.codec.reconstruct(received), noise, torch.full((2,), start))
        for t in (start, start / 2):
            x = x - start / 2 * net.prior.backbone(x, torch.full((2,), t))
    assert torch.allclose(samples.x0, x, atol=1e-5) and samples.nfe == net.own_steps == 2


def test_diffcom_learns_nothing_and_leaves_no_gradient(diffcom: DiffComNet):
    with torch.no_grad():
        diffcom.restore(received_of(diffcom.codec, latents()), sampling())
    assert all(p.grad is None and not p.requires_grad for p in diffcom.parameters())


def test_told_to_ignore_the_symbols_it_is_the_prior(diffcom: DiffComNet):
    first, other = (received_of(diffcom.codec, latents(), seed=seed) for seed in (0, 1))
    ignored = [diffcom.restore(r, sampling(), conditioned=False).x0 for r in (first, other)]
    assert torch.equal(*ignored)


def with_weights(net: DiffComNet, likelihood: float, reconstruction: float) -> DiffComNet:
    return DiffComNet(net.codec, net.prior, net.own_steps, net.start, likelihood, reconstruction).eval()


def test_diffjscc_can_be_pulled_to_its_reconstruction(models):
    net = load(models / "diffjscc").net
    received = received_of(net.codec, latents(4))
    reconstruction = net.codec.reconstruct(received)

    def pulled(weight: float) -> Tensor:
        params = SampleParams(steps=3, guidance=1.0, reconstruction_guidance=weight)
        return net.restore(received, Sampling(params, torch.Generator().manual_seed(0))).x0

    distances = [(pulled(weight) - reconstruction).square().mean().item() for weight in (0.0, 0.3, 0.7, 1.0)]
    assert distances == sorted(distances, reverse=True) and distances[0] > 0.1
    assert distances[-1] == pytest.approx(0, abs=1e-9)
