"""Latents to symbols and back: sizes, power, order of the symbols."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jscgc.encoder.cnn import CnnDecoder, CnnEncoder
from jscgc.encoder.encoder import MambaDecoder, MambaEncoder, latent_to_grid
from jscgc.encoder.params import EncoderParams
from jscgc.encoder.symbols import leading_planes

CHANNELS, MAX_RATE = 4, 6
HALVING = EncoderParams(widths=[8, 16], depths=[1, 1], downsample=[1, 2], state=4, head=4)
FLAT = EncoderParams(widths=[8, 16], depths=[1, 1], downsample=[1, 1], state=4, head=4)
FOURFOLD = EncoderParams(widths=[8, 16], depths=[1, 1], downsample=[2, 2], state=4, head=4)
EVERY_VAE = [(4, FOURFOLD), (8, HALVING), (16, FLAT), (32, FLAT)]


@pytest.fixture(scope="module")
def encoder() -> MambaEncoder:
    torch.manual_seed(0)
    return MambaEncoder(CHANNELS, HALVING, MAX_RATE, factor=8).eval()


@settings(max_examples=12)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), rate=st.integers(1, MAX_RATE))
def test_unit_power_per_image_for_any_even_latent(encoder, rows, columns, rate):
    scales = torch.tensor([1.0, 30.0])[:, None, None, None]
    with torch.no_grad():
        symbols = encoder(scales * torch.randn(2, CHANNELS, 2 * rows, 2 * columns), torch.tensor([0.0, 10.0]), rate)
    assert symbols.shape == (2, rate, rows, columns) and symbols.dtype == torch.complex64
    assert torch.allclose(symbols.abs().square().mean((1, 2, 3)), torch.ones(2), atol=1e-4)


@pytest.mark.parametrize("rate", range(1, MAX_RATE))
def test_a_low_rate_sends_a_prefix_of_the_symbols(encoder, rate):
    latents, snr_db = torch.randn(2, CHANNELS, 6, 8), torch.tensor([0.0, 7.0])
    with torch.no_grad():
        full, prefix = encoder(latents, snr_db, MAX_RATE)[:, :rate], encoder(latents, snr_db, rate)
    ratio = (prefix / full).flatten(1)
    # One real, positive number per image: the power that the dropped symbols leave to these.
    assert torch.allclose(ratio.imag, torch.zeros_like(ratio.imag), atol=1e-4)
    assert torch.allclose(ratio.real, ratio.real[:, :1].expand_as(ratio.real), rtol=1e-4)
    assert (ratio.real > 0).all()


@pytest.mark.parametrize("rates", [[1, 4, 6], [6, 6, 2]])
def test_nested_rates_are_what_every_image_would_send_alone(encoder, rates):
    latents, snr_db = torch.randn(3, CHANNELS, 4, 6), torch.tensor([0.0, 7.0, -5.0])
    with torch.no_grad():
        together = encoder.nested(latents, snr_db, torch.tensor(rates))
        for i, rate in enumerate(rates):
            alone = encoder(latents[i : i + 1], snr_db[i : i + 1], rate)[0]
            assert torch.allclose(together[i, :rate], alone, atol=1e-5)
            assert (together[i, rate:] == 0).all()


def test_it_reads_pixels_too():
    """The paper's form: four stages from pixels to 1/16."""
    paper = EncoderParams(widths=[8, 8, 16, 16], depths=[1, 1, 2, 1], downsample=[2, 2, 2, 2], state=4, head=8)
    net = MambaEncoder(3, paper, 60, factor=1)
    photos = torch.rand(2, 3, 32, 48)
    for rate in (1, 2, 4, 8, 16, 32, 60):
        symbols = net(photos, torch.tensor([0.0, 20.0]), rate)
        assert symbols.shape == (2, rate, 2, 3)
    symbols.abs().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_the_cnn_is_an_encoder_of_the_same_kind():
    for channels, down in ((4, 2), (3, 16)):
        net, back = CnnEncoder(channels, 8, MAX_RATE, down), CnnDecoder(channels, 8, MAX_RATE, down)
        x = torch.randn(2, channels, 2 * down, 3 * down)
        symbols = net(x, torch.zeros(2), 4)
        assert symbols.shape == (2, 4, 2, 3)
        assert torch.allclose(symbols.abs().square().mean((1, 2, 3)), torch.ones(2), atol=1e-4)
        assert back(torch.randn(2, 3 * MAX_RATE, 2, 3), torch.zeros(2)).shape == x.shape
    with pytest.raises(ValueError, match="power of two"):
        CnnEncoder(4, 8, MAX_RATE, 3)


def test_batch_mates_have_no_say(encoder):
    latents, snr_db = torch.randn(3, CHANNELS, 6, 4), torch.tensor([0.0, 5.0, 10.0])
    with torch.no_grad():
        together = encoder(latents, snr_db, 4)
        alone = torch.cat([encoder(latents[i : i + 1], snr_db[i : i + 1], 4) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_transmitter_uses_the_snr(encoder):
    latents = torch.randn(1, CHANNELS, 4, 4)
    with torch.no_grad():
        low, high = (encoder(latents, torch.tensor([snr_db]), 4) for snr_db in (0.0, 15.0))
    assert (low - high).abs().max().item() > 1e-3


@pytest.mark.parametrize("rate", [0, -1, MAX_RATE + 1])
def test_a_rate_out_of_range_is_an_error(encoder, rate):
    with pytest.raises(ValueError, match=rf"rate must be in 1\.\.{MAX_RATE}.*got {rate}"):
        encoder(torch.randn(1, CHANNELS, 4, 4), torch.zeros(1), rate)


@pytest.mark.parametrize("factor, params", [(8, FLAT), (8, FOURFOLD), (16, HALVING), (32, HALVING), (4, HALVING)])
def test_stages_that_do_not_lead_to_the_grid_are_an_error(factor, params):
    with pytest.raises(ValueError, match=r"encoder\.downsample must multiply to"):
        MambaEncoder(CHANNELS, params, MAX_RATE, factor)


@pytest.mark.parametrize("factor, expected", [(4, (4, 1)), (8, (2, 1)), (16, (1, 1)), (32, (1, 2)), (64, (1, 4))])
def test_latent_to_grid(factor, expected):
    assert latent_to_grid(factor) == expected


@pytest.mark.parametrize("factor", [3, 12, 24])
def test_a_vae_off_the_grid_is_an_error(factor):
    with pytest.raises(ValueError, match=f"{factor}x"):
        latent_to_grid(factor)


@pytest.mark.parametrize("factor, params", EVERY_VAE)
def test_every_vae_gets_symbols_on_the_same_grid_and_latents_back(factor, params):
    torch.manual_seed(0)
    encoder = MambaEncoder(CHANNELS, params, MAX_RATE, factor)
    decoder = MambaDecoder(CHANNELS, params, MAX_RATE, factor)
    latents, snr_db = torch.randn(1, CHANNELS, 192 // factor, 320 // factor), torch.tensor([5.0])
    with torch.no_grad():
        assert encoder(latents, snr_db, 3).shape == (1, 3, 12, 20)
        assert decoder(torch.randn(1, 3 * MAX_RATE, 12, 20), snr_db).shape == latents.shape


def test_the_decoder_uses_symbols_and_snr():
    torch.manual_seed(0)
    decoder = MambaDecoder(CHANNELS, HALVING, MAX_RATE, factor=8)
    planes = torch.randn(1, 3 * MAX_RATE, 3, 4)
    with torch.no_grad():
        first = decoder(planes, torch.tensor([5.0]))
        assert not torch.allclose(first, decoder(-planes, torch.tensor([5.0])), atol=1e-3)
        assert not torch.allclose(first, decoder(planes, torch.tensor([-5.0])), atol=1e-3)


@pytest.mark.parametrize(("factor", "downsample"), [(8, [1, 2]), (32, [1, 1])])
def test_the_leading_planes_of_a_codec_are_a_codec(filled, factor, downsample):
    """As one network for all rates, sent at a low one: also where a latent position carries four of the grid."""
    params = EncoderParams(widths=[8, 16], depths=[1, 1], downsample=downsample, state=4, head=4)
    torch.manual_seed(0)
    wide = filled(MambaEncoder(4, params, 12, factor)), filled(MambaDecoder(4, params, 12, factor))
    narrow = MambaEncoder(4, params, 3, factor), MambaDecoder(4, params, 3, factor)
    spread = wide[0].spread
    for large, small in zip(wide, narrow, strict=True):
        small.load_state_dict(leading_planes(large.state_dict(), small.state_dict(), 12, 3, spread))
    latents, snr_db = torch.randn(2, 4, 8, 8), torch.tensor([0.0, 10.0])
    symbols = narrow[0](latents, snr_db, 3)
    assert torch.allclose(symbols, wide[0](latents, snr_db, 3), atol=1e-6)
    received = torch.randn(2, 3, 3, *symbols.shape[-2:])
    padded = torch.cat([received, torch.zeros(2, 3, 9, *symbols.shape[-2:])], dim=2)
    found = narrow[1](received.flatten(1, 2), snr_db)
    assert torch.allclose(found, wide[1](padded.flatten(1, 2), snr_db), atol=1e-5)


@pytest.mark.parametrize(("factor", "params"), EVERY_VAE)
@torch.no_grad()
def test_without_the_linear_branch_the_network_is_alone_and_otherwise_the_same(factor, params):
    """Equal draws, and what is missing is exactly what the branch adds."""
    bare = params.model_copy(update={"linear": False})
    sides = {4: (16, 16), 8: (8, 16), 16: (4, 8), 32: (4, 8)}[factor]
    grid = (sides[0] * factor // 16, sides[1] * factor // 16)
    snr_db = torch.tensor([5.0])
    for kind, x in (
        (MambaEncoder, torch.randn(1, CHANNELS, *sides)),
        (MambaDecoder, torch.randn(1, 3 * MAX_RATE, *grid)),
    ):
        nets = []
        for one in (params, bare):
            torch.manual_seed(0)
            nets.append(kind(CHANNELS, one, MAX_RATE, factor))
        both, alone = nets
        assert both.state_dict().keys() - alone.state_dict().keys() == {"linear.1.weight"}
        found = [net.planes(x, snr_db) if kind is MambaEncoder else net(x, snr_db) for net in nets]
        assert both.linear(x).any() and torch.allclose(found[0], found[1] + both.linear(x), atol=1e-5)


def test_planes_that_are_not_there_are_an_error():
    with pytest.raises(ValueError, match="weights for 8 complex symbols per position can't start a network for 60"):
        leading_planes({}, {}, 8, 60, 1)


@pytest.mark.parametrize(("factor", "params"), EVERY_VAE)
def test_a_window_covers_the_same_pixels_at_every_stage(factor, params):
    params = params.model_copy(update={"window": 64})
    for net in (MambaEncoder(CHANNELS, params, MAX_RATE, factor), MambaDecoder(CHANNELS, params, MAX_RATE, factor)):
        positions = [stage.blocks[0].window for stage in net.stages]
        assert (
            positions
            == {
                4: [8, 4] if isinstance(net, MambaEncoder) else [4, 8],
                8: [8, 4] if isinstance(net, MambaEncoder) else [4, 8],
                16: [4, 4],
                32: [2, 2],
            }[factor]
        )
