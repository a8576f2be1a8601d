"""The published block: its sizes, its formula by mamba-ssm's own functions, the SNR in its states, its windows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jscgc.encoder import mambajscc as module
from jscgc.encoder.encoder import MambaDecoder, MambaEncoder
from jscgc.encoder.kernels import mamba_ssm_module
from jscgc.encoder.mambajscc import MambaJsccBlock, csi_rest_scan
from jscgc.encoder.params import EncoderParams
from jscgc.encoder.selective import selective_reference
from jscgc.encoder.windows import Windows

WIDTHS, DEPTHS = (128, 192, 256, 320), (2, 2, 6, 2)
"""configs/vssm/vssm_tiny_*.yaml of the published code, all but the number of output channels."""


def block(window: int = 0, width: int = 8) -> MambaJsccBlock:
    torch.manual_seed(0)
    return MambaJsccBlock(width, state=4, window=window)


def test_the_published_sizes_have_the_published_number_of_parameters():
    """6.6 M; by the published classes' shapes 8 D^2 weights and what is small, block by block."""

    def published(d: int, state: int = 16) -> int:
        inner, rank, readings = 2 * d, math.ceil(d / 16), 2
        scan = readings * (inner * (rank + 2 * state) + rank * inner + inner + inner * state + inner)
        return 2 * (2 * d) + d * 2 * inner + 10 * inner + scan + 2 * inner + inner * d + 2 * (d * d + d)

    with torch.device("meta"):
        blocks = [(width, MambaJsccBlock(width, 16)) for width in WIDTHS]
    for width, net in blocks:
        assert sum(p.numel() for p in net.parameters()) == published(width)
    found = sum(
        depth * sum(p.numel() for p in net.parameters()) for depth, (_, net) in zip(DEPTHS, blocks, strict=True)
    )
    assert found == 6_636_032


def by_mamba_ssm(net: MambaJsccBlock, x: Tensor, snr_db: Tensor) -> Tensor:
    """The block once more, channels last and with mamba-ssm's reference, which makes softplus and bias itself.

    The initial state is written by a step before all others: it starts from nothing, so that one that writes the SNR into entry 0
    and is not looked at leaves exactly that.
    """
    scan = mamba_ssm_module("ops.selective_scan_interface").selective_scan_ref
    batch, _, height, width = x.shape
    channels_last = x.permute(0, 2, 3, 1)
    inner, gate = net.inner(net.norm.norm(channels_last)).chunk(2, -1)
    image = F.gelu(net.depthwise(inner.permute(0, 3, 1, 2)))
    rows = image.flatten(2)
    summed = torch.zeros_like(rows)
    for k, sequence in enumerate((rows, rows.flip(-1))):
        low, B, C = torch.split(
            torch.einsum("bdl,dc->bcl", sequence, net.select[k]), [net.rank, net.state, net.state], 1
        )
        dt = torch.einsum("brl,rd->bdl", low, net.dt[k])
        writes = F.pad(snr_db[:, None, None], (0, 0, 0, net.state - 1)).to(B)
        # softplus(dt + bias) = 1
        one = math.log(math.e - 1) - net.dt_bias[k][:, None].expand(batch, -1, -1)
        y = scan(
            torch.cat([torch.ones_like(sequence[..., :1]), sequence], -1),
            torch.cat([one, dt], -1),
            -net.log_decay[k].exp(),
            torch.cat([writes, B], -1)[:, None],
            torch.cat([torch.zeros_like(C[..., :1]), C], -1)[:, None],
            net.skip[k],
            delta_bias=net.dt_bias[k],
            delta_softplus=True,
        )[..., 1:]
        summed = summed + (y.flip(-1) if k else y)
    normed = net.out_norm(summed.mT).reshape(batch, height, width, -1)
    x = x + net.out(normed * F.gelu(gate)).permute(0, 3, 1, 2)
    after: Tensor = x + net.mlp(net.mlp_norm.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    return after


def test_the_block_equals_its_formula_by_mamba_ssm_s_functions_gradients_too():
    net, x = block(), torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(3))
    snr_db, weights = torch.tensor([10.0, -4.0]), torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(4))
    found, expected = net(x, snr_db), by_mamba_ssm(net, x, snr_db)
    assert torch.allclose(found, expected, atol=1e-5)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), list(net.parameters())) for y in (found, expected))
    for (name, _), a, b in zip(net.named_parameters(), ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max() and b.any(), name


def test_decays_and_step_sizes_start_as_mamba_s():
    net = block(width=32)
    assert torch.allclose(-net.log_decay.exp(), -torch.arange(1.0, 5.0).expand_as(net.log_decay))
    steps = F.softplus(net.dt_bias)
    assert steps.min() >= 0.999e-3 and steps.max() <= 1.001e-1 and steps.std() > 0.01


@pytest.mark.parametrize("length", [3, 5, 10, 23])
def test_the_snr_is_written_into_the_first_entry_again_and_again(length, monkeypatch: pytest.MonkeyPatch):
    """Against the recurrence, carried from piece to piece with its first entry overwritten."""
    monkeypatch.setattr(module, "RESIDUAL", 5)
    g = torch.Generator().manual_seed(length)
    u, dt = (torch.randn(2, length, 6, generator=g, dtype=torch.float64) for _ in range(2))
    dt, A = F.softplus(dt - 2), -torch.rand(6, 4, generator=g, dtype=torch.float64)
    B, C = (torch.randn(2, length, 2, 4, generator=g, dtype=torch.float64) for _ in range(2))
    D, snr = torch.randn(6, generator=g, dtype=torch.float64), torch.tensor([12.0, -3.0], dtype=torch.float64)
    state, outputs = torch.zeros(2, 6, 4, dtype=torch.float64), []
    for t in range(length):
        if t % 5 == 0:
            state[:, :, 0] = snr[:, None]
        at = slice(t, t + 1)
        outputs.append(selective_reference(u[:, at], dt[:, at], A, B[:, at], C[:, at], D, state))
        written = (dt[:, t] * u[:, t])[..., None] * B[:, t].repeat_interleave(3, 1)
        state = torch.exp(dt[:, t, :, None] * A) * state + written
    assert torch.allclose(csi_rest_scan(u, dt, A, B, C, D, snr), torch.cat(outputs, 1), rtol=1e-12, atol=1e-12)


def test_every_image_has_its_own_snr_and_no_weight_knows_of_it():
    x, net = torch.randn(1, 8, 4, 4).expand(2, -1, -1, -1), block()
    both = net(x, torch.tensor([0.0, 10.0]))
    assert torch.allclose(both[0], net(x[:1], torch.tensor([0.0]))[0], atol=1e-6)
    assert torch.allclose(both[1], net(x[:1], torch.tensor([10.0]))[0], atol=1e-6)
    difference = (both[0] - both[1]).norm(dim=0) / both[0].norm(dim=0)
    assert (difference > 1e-3).all(), "the SNR reaches every position"


@pytest.mark.parametrize("height, width", [(8, 12), (7, 9), (3, 30)])
def test_scans_stay_within_their_windows(height, width):
    net, snr_db = block(window=4), torch.tensor([7.0])
    image = torch.randn(1, 16, height, width, generator=torch.Generator().manual_seed(5))
    windows = Windows(height, width, 4)
    with torch.no_grad():
        whole = net._merged(image, snr_db)
        alone = torch.cat([net._scan(one[None], snr_db) for one in windows.cut(image)])
    assert torch.allclose(whole, windows.paste(alone), atol=1e-5)


def test_a_window_around_everything_is_none():
    x, snr_db = torch.randn(2, 8, 5, 7), torch.tensor([3.0, -2.0])
    assert torch.equal(block(7)(x, snr_db), block(0)(x, snr_db))
    assert not torch.allclose(block(3)(x, snr_db), block(0)(x, snr_db), atol=1e-4)


@pytest.mark.parametrize("window", [0, 4])
def test_without_windows_the_block_sees_the_whole_image(window):
    net, x = block(window), torch.randn(1, 8, 8, 8).requires_grad_()
    net(x, torch.ones(1))[0, :, 1, 1].sum().backward()
    seen = (x.grad[0].abs().sum(0) > 0).nonzero().amax(0).tolist()
    assert seen == ([7, 7] if not window else [4, 4])  # beyond a window only what the 3x3 convolution reads there


def test_encoder_and_decoder_of_this_block_learn_at_every_rate_and_in_mixed_precision():
    params = EncoderParams(
        block="mambajscc", widths=[8, 16], depths=[1, 2], downsample=[1, 2], state=4, head=4, window=64
    )
    torch.manual_seed(0)
    encoder, decoder = MambaEncoder(4, params, 6, factor=8), MambaDecoder(4, params, 6, factor=8)
    assert not any("heads" in name for name in encoder.state_dict())
    latents, snr_db = torch.randn(2, 4, 12, 20), torch.tensor([0.0, 10.0])
    symbols = encoder.nested(latents, snr_db, torch.tensor([2, 6]))
    planes = torch.cat([symbols.real, symbols.imag, torch.ones_like(symbols.real)], 1)
    decoder(planes, snr_db).square().mean().backward()
    for net in (encoder, decoder):
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())
    with torch.no_grad():
        exact = encoder(latents, snr_db, 3)
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(latents, snr_db, 3)
    assert 0 < (exact - rough).abs().mean() < 0.1
