"""The linear code: closed forms of a Gaussian source, unit power of every image, and nothing but symbols at the receiver."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jscgc.channel.channels import get_channel
from jscgc.channel.power import shared_power
from jscgc.channel.receiver import equalise
from jscgc.flow.params import SampleParams
from jscgc.systems.base import Link
from jscgc.systems.klt import BLOCK, HALF_RANGE, MIDDLE, POSITIONS, LinearCode, phase_of, scale_of
from jscgc.systems.latent import LatentSystem
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit

DIMENSIONS = 3 * BLOCK**2
RATE = 2
AXES = 2 * RATE * POSITIONS
VARIANCES = torch.tensor([40.0 * 0.6**i for i in range(DIMENSIONS)], dtype=torch.float64).clamp_min(1e-4)


def code_and_source(blocks: int, seed: int = 0) -> tuple[LinearCode, torch.Tensor]:
    """A code fitted to Gaussian blocks of that spectrum, and an image [1,3,H,W] of blocks x blocks of them."""
    rng = torch.Generator().manual_seed(seed)
    code = LinearCode(RATE)
    basis, _ = torch.linalg.qr(torch.randn(DIMENSIONS, 2 * AXES, generator=rng))
    with torch.no_grad():
        code.mean.fill_(0.3)
        code.synthesis.weight.copy_(basis.T[:AXES].reshape(code.synthesis.weight.shape))
        code.variances.copy_(VARIANCES[:AXES])
    components = torch.randn(blocks**2, 2 * AXES, generator=rng) * VARIANCES[: 2 * AXES].sqrt().float()
    pixels = (components @ basis.T).reshape(blocks, blocks, 3, BLOCK, BLOCK)
    image = pixels.permute(2, 0, 3, 1, 4).reshape(1, 3, blocks * BLOCK, blocks * BLOCK) + 0.3
    return code, image


def sent(code: LinearCode, image: torch.Tensor, snr_db: float, channel: str = "awgn", seed: int = 1) -> torch.Tensor:
    told = torch.tensor([snr_db])
    symbols = code.symbols(image, told, RATE)
    assert symbols.abs().square().mean().item() == pytest.approx(1, abs=1e-4)
    received = equalise(get_channel(channel)(symbols, told, torch.Generator().manual_seed(seed)))
    return code.reconstruct(received)


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 15.0])
def test_a_gaussian_source_has_the_distortion_of_the_closed_form(snr_db):
    errors = []
    for seed in range(5):
        code, image = code_and_source(20, seed)
        errors.append((sent(code, image, snr_db, seed=seed) - image).square().sum().item() / 20**2)
    powers = shared_power(VARIANCES[:AXES], AXES, snr_db)
    left = VARIANCES[:AXES] / (1 + 2 * powers * 10 ** (snr_db / 10))
    expected = (left.sum() + VARIANCES[AXES : 2 * AXES].sum()).item()
    # 2000 blocks; and one symbol in 64 tells the scale, for which 2% of the power is missing elsewhere.
    assert sum(errors) / 5 == pytest.approx(expected * 1.01, rel=0.04)


def test_over_fading_every_symbol_counts_by_its_own_gain():
    """Posterior variances l / (1 + 2 P |h|^2 SNR) in the mean over |h|^2."""
    code, image = code_and_source(20)
    error = (sent(code, image, 10.0, "rayleigh_fast") - image).square().sum().item() / 20**2
    powers = shared_power(VARIANCES[:AXES], AXES, 10.0)
    gains = -torch.rand(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).log()
    left = (VARIANCES[:AXES] / (1 + 2 * powers * gains * 10)).mean(0)
    expected = (left.sum() + VARIANCES[AXES : 2 * AXES].sum()).item()
    assert error == pytest.approx(expected, rel=0.1)


@given(scale=st.floats(0.2, 3.0))
def test_a_phase_tells_the_scale(scale):
    assert scale_of(phase_of(torch.tensor(scale))).item() == pytest.approx(scale, rel=1e-4)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.0])
def test_the_receiver_finds_out_how_much_an_image_was_scaled_by(factor):
    code, image = code_and_source(12)
    scaled = 0.3 + factor * (image - 0.3)
    errors = [(sent(code, one, 12.0) - one).square().mean().item() for one in (image, scaled)]
    assert errors[1] == pytest.approx(factor**2 * errors[0], rel=0.05)


def test_an_image_that_is_all_mean_arrives():
    """Its receiver takes noise for components of the smallest scale that can be told."""
    code, _ = code_and_source(1)
    flat = torch.full((1, 3, 8 * BLOCK, 8 * BLOCK), 0.3)
    error = (sent(code, flat, 10.0) - flat).square().sum().item() / 8**2
    powers = shared_power(VARIANCES[:AXES], AXES, 10.0)
    noise = 10**-1.0 / 2
    taken = (VARIANCES[:AXES] * powers * noise / (powers + noise) ** 2).sum().item()
    assert error == pytest.approx(math.exp(MIDDLE - HALF_RANGE) ** 2 * taken, rel=0.3)


def test_fitting_finds_the_components_and_their_variances():
    """Of white blocks smoothed alike along both axes, symmetric by themselves: the sample's own second moments, projected."""
    rng = torch.Generator().manual_seed(0)

    def batches():
        for _ in range(10):
            noise = torch.randn(40, 3, 2 * BLOCK, 2 * BLOCK, generator=rng)
            yield torch.nn.functional.avg_pool2d(noise, 9, 1, 4) + 0.1

    code = LinearCode(RATE)
    code.fit(batches())
    flat = code.synthesis.weight.flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(AXES), atol=1e-4)
    assert (code.variances.diff() <= 1e-6).all() and code.mean.mean().item() == pytest.approx(0.1, abs=0.01)
    rng = torch.Generator().manual_seed(5)
    blocks = torch.cat([(batch - code.mean.repeat(1, 2, 2)) for batch in batches()])
    projected = torch.nn.functional.conv2d(blocks, code.synthesis.weight, stride=BLOCK).square().mean((0, 2, 3))
    assert torch.allclose(projected, code.variances, rtol=0.25)
    assert projected.sum().item() == pytest.approx(code.variances.sum().item(), rel=0.05)


def test_sides_are_padded_to_whole_blocks_and_the_padding_is_paid_for(models):
    system = load_system("klt", models)
    assert isinstance(system, LatentSystem) and system.multiple == BLOCK
    photo = torch.rand(3, 40, 70, generator=torch.Generator().manual_seed(0))
    sample = SampleParams(steps=1, guidance=1.0)
    reception = transmit(system, photo, Link("awgn", 5.0, RATE), sample=sample, seed=0)
    assert reception.bandwidth.k == RATE * math.ceil(40 / 32) * math.ceil(70 / 32) * POSITIONS
    assert reception.photo.shape == photo.shape and reception.nfe == 0
