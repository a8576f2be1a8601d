"""The linear start of encoder and decoder against the closed form of transform coding over AWGN."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise, features
from jscgc.encoder.encoder import MambaDecoder, MambaEncoder
from jscgc.encoder.klt import start_linear
from jscgc.encoder.params import EncoderParams

FLAT = EncoderParams(widths=[8], depths=[1], downsample=[1], state=4, head=4)
HALVING = EncoderParams(widths=[8], depths=[1], downsample=[2], state=4, head=4)


def linear_only(encoder: MambaEncoder, decoder: MambaDecoder) -> None:
    """Silence the networks beside the linear codes."""
    for layer in (encoder.to_symbols[0], decoder.to_latents):
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def source(count: int, side: int, variances: Tensor) -> Tensor:
    """White in space, the channels a rotation of independent Gaussians of these variances: [N,C,side,side]."""
    g = torch.Generator().manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(len(variances), len(variances), generator=g))
    x = torch.randn(count, len(variances), side, side, generator=g) * variances.sqrt()[:, None, None]
    return torch.einsum("dc,nchw->ndhw", rotation, x)


@pytest.mark.parametrize("rate", [1, 2, 3])
@pytest.mark.parametrize("snr_db", [0.0, 10.0])
@pytest.mark.parametrize("factor", [16, 32])
def test_a_prefix_is_the_best_linear_code_of_its_length_with_equal_powers(rate, snr_db, factor):
    """The first 2c of the components arrive with error lambda / (1 + SNR), the others not at all; c = rate spread^2."""
    variances = torch.tensor([4.0, 2.0, 1.0, 0.6, 0.3, 0.1] if factor == 16 else [4.0, 2.0] * 6 + [0.2] * 12)
    torch.manual_seed(0)
    encoder, decoder = (cls(len(variances), FLAT, 3, factor) for cls in (MambaEncoder, MambaDecoder))
    x = source(8, 48, variances)
    start_linear(encoder, decoder, x)
    linear_only(encoder, decoder)
    snr = torch.full((8,), snr_db)
    with torch.no_grad():
        symbols = encoder(x, snr, rate)
        received = equalise(get_channel("awgn")(symbols, snr, torch.Generator().manual_seed(1)))
        restored = decoder(features(received, 3), snr)
    sent = min(2 * rate * encoder.spread**2, len(variances))
    ordered = variances.sort(descending=True).values
    noise = 1 / (1 + 10 ** (snr_db / 10))
    expected = (noise * ordered[:sent].sum() + ordered[sent:].sum()) / len(variances)
    assert torch.mean((restored - x) ** 2).item() == pytest.approx(expected.item(), rel=0.02)


def test_more_symbols_than_components_repeat_them():
    torch.manual_seed(0)
    encoder, decoder = MambaEncoder(4, HALVING, 16, 8), MambaDecoder(4, HALVING, 16, 8)
    start_linear(encoder, decoder, torch.randn(50, 4, 8, 8))
    linear_only(encoder, decoder)
    with torch.no_grad():
        symbols = encoder(torch.randn(1, 4, 8, 8), torch.zeros(1), 16)
    assert torch.allclose(symbols[:, :8], symbols[:, 8:], atol=1e-5)
