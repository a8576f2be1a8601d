"""What learns and what stays frozen: the gradient runs generator -> channel -> encoder, and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.generator.lora import set_trained
from jscgc.latent.autoencoder import LatentStatistics
from jscgc.params import Params
from jscgc.systems import store
from jscgc.systems.base import Sampling
from jscgc.systems.diffjscc import DiffJsccNet
from jscgc.systems.jscgc import JscgcNet
from jscgc.systems.links import DrawnLink, draw_link
from jscgc.systems.mambajscc import Codec
from jscgc.systems.store import Architecture

STATISTICS = LatentStatistics([0.0] * 4, [1.0] * 4, 8, "")
CHANNELS = ["awgn", "rayleigh_block", "rayleigh_fast"]


def latents(batch: int = 3) -> Tensor:
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(2))


def link(params: Params, channel: str):
    return params.link.model_copy(update={"channels": [channel]})


def network(kind: str, params: Params, filled) -> nn.Module:
    torch.manual_seed(0)
    net = filled(store.build(Architecture.of(kind, params), STATISTICS))
    if kind != "mambajscc_psnr":
        set_trained(net.receiver.prior, params.jscgc.generator_learns)
    return net


def joint_loss(net: nn.Module, params: Params, link=None, seed: int | torch.Generator = 0, **changes) -> Tensor:
    own = params.jscgc.model_copy(update=changes)
    rng = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    return net.loss(latents(), link or params.link, own, params.objective, rng)["loss"]


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def unchanged(module: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def steps(net: nn.Module, loss, count: int = 2) -> None:
    optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], 1e-2, weight_decay=0.1)
    for step in range(count):
        optimiser.zero_grad()
        loss(torch.Generator().manual_seed(step))["loss"].backward()
        optimiser.step()


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_joint_gradient_reaches_the_encoder_through_the_channel(params, filled, channel):
    net = network("jscgc", params, filled)
    joint_loss(net, params, link(params, channel), condition_dropout=0.0, perception_weight=0.0).backward()
    silent = [n for n, p in net.encoder.named_parameters() if p.grad is None or not p.grad.any()]
    # The SNR's residual state acts on nothing yet (see test_encoder_mamba); every weight does.
    assert not silent
    assert all(p.grad is None for p in net.receiver.prior.parameters())


def papers(params: Params) -> Params:
    """None of our additions to adapter, Refiner and encoder."""
    adapter = params.jscgc.adapter.model_copy(update={"reading": False, "refiner_decoder": False})
    encoder = params.encoder.model_copy(update={"linear": False})
    return params.model_copy(update={"encoder": encoder, "jscgc": params.jscgc.model_copy(update={"adapter": adapter})})


@pytest.mark.parametrize("kind", ["jscgc", "diffjscc"])
def test_the_paper_s_network_has_none_of_our_parts_and_all_of_it_learns(params, filled, kind):
    """The Refiner is then a view of the symbols as wide as they are: it keeps everything that arrived."""
    params = papers(params)
    net = network(kind, params, filled)
    assert not any("linear." in name or "reading." in name or name.startswith("refiner.") for name in net.state_dict())
    if kind == "jscgc":
        weight = net.own[1].weight[:, :, 0, 0]
        assert torch.linalg.matrix_rank(weight) == weight.shape[1] == 3 * net.encoder.max_rate
    joint_loss(net, params, condition_dropout=0.0, perception_weight=0.0).backward()
    learning = {name: p for name, p in net.named_parameters() if p.requires_grad}
    assert any(name.startswith("own." if kind == "jscgc" else "receiver.adapter.") for name in learning)
    assert not [name for name, p in learning.items() if p.grad is None or not p.grad.any()]


def test_the_channel_is_in_the_gradient(params, filled):
    """In a deep fade of all images nothing comes back: the gradient at -60 dB is far smaller than at 10 dB."""
    norms = []
    for snr_db in (-60.0, 10.0):
        net = network("jscgc", params, filled)
        fixed = params.link.model_copy(update={"channels": ["awgn"], "snr_db": (snr_db, snr_db)})
        joint_loss(net, params, fixed, condition_dropout=0.0, perception_weight=0.0).backward()
        norms.append(sum(p.grad.square().sum().item() for p in net.encoder.parameters()))
    assert norms[0] < 1e-2 * norms[1]


def test_dropping_every_condition_takes_the_encoder_out_of_the_gradient(params, filled):
    net = network("jscgc", params, filled)
    joint_loss(net, params, condition_dropout=0.999999, perception_weight=1.0).backward()
    assert not any(p.grad.any() for p in net.encoder.parameters())


def test_the_loss_cannot_see_past_the_channel(params, filled):
    """Symbols replaced by others: the loss changes; symbols equal: latents enter only as the target."""
    net = network("jscgc", params, filled)
    losses = []
    for replace in (lambda y: y, lambda y: y.flip(0), lambda y: y.clone()):
        original = net.encoder.nested
        net.encoder.nested = lambda a, b, c, f=replace, o=original: f(o(a, b, c))
        with torch.no_grad():
            losses.append(joint_loss(net, params, condition_dropout=0.0, perception_weight=0.0).item())
        del net.encoder.nested
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize("tuning", ["frozen", "adapter_only", "lora", "receiver", "full"])
def test_the_generator_is_frozen_bit_for_bit_or_learns(params, filled, tuning):
    params = params.model_copy(update={"jscgc": params.jscgc.model_copy(update={"tuning": tuning, "lora_rank": 2})})
    net = network("jscgc", params, filled)
    prior, encoder, adapter = (snapshot(m) for m in (net.receiver.prior, net.encoder, net.receiver.adapter))
    steps(net, lambda g: {"loss": joint_loss(net, params, seed=g)})
    found = net.receiver.prior.state_dict()
    learnt = {name for name, value in found.items() if not torch.equal(value, prior[name])}
    updates = {name for name in found if "lora_" in name}
    assert bool(updates) is (tuning == "lora")
    assert (
        learnt
        == {"frozen": set(), "adapter_only": set(), "lora": updates, "receiver": set(found), "full": set(found)}[tuning]
    )
    assert not unchanged(net.encoder, encoder)
    assert not unchanged(net.receiver.adapter, adapter)


def test_diffjscc_leaves_its_codec_alone(params, filled):
    net = network("diffjscc", params, filled)
    codec, prior, adapter = (snapshot(m) for m in (net.codec, net.receiver.prior, net.receiver.adapter))
    steps(net, lambda g: {"loss": joint_loss(net, params, seed=g)})
    assert all(p.grad is None and not p.requires_grad for p in net.codec.parameters())
    assert unchanged(net.codec, codec)
    assert unchanged(net.receiver.prior, prior)
    assert not unchanged(net.receiver.adapter, adapter)


def test_diffjscc_sends_what_its_codec_sends_and_conditions_on_its_latents(params, filled):
    net = network("diffjscc", params, filled)
    x, snr_db = latents(), torch.full((3,), 5.0)
    with torch.no_grad():
        symbols = net.symbols(x, snr_db, 2)
        assert torch.equal(symbols, net.codec.encoder(x, snr_db, 2))
        received = draw_link(link(params, "awgn"), 3, torch.Generator(), x.device).send(symbols, torch.Generator())
        condition = net.condition(received)
    assert torch.equal(condition[:, :4], net.codec.reconstruct(received))
    # Half of the model's four symbols were sent; the rest counts as lost.
    expected = 0.5 * received.reliability.mean((1, 2, 3))
    assert torch.allclose(condition[:, 4].mean((1, 2)), expected, atol=1e-5)


def test_the_codec_learns_to_reconstruct(params, filled):
    net = network("mambajscc_psnr", params, filled)
    x = latents()

    def loss(rng: torch.Generator) -> dict[str, Tensor]:
        return net.loss(x, link(params, "awgn"), rng)

    first = sum(loss(torch.Generator().manual_seed(s))["loss"].item() for s in range(5))
    steps(net, loss, 25)
    assert sum(loss(torch.Generator().manual_seed(s))["loss"].item() for s in range(5)) < 0.9 * first


def test_kinds_are_the_classes_they_say(params):
    for kind, cls in (("jscgc", JscgcNet), ("diffjscc", DiffJsccNet), ("mambajscc_psnr", Codec)):
        assert type(store.build(Architecture.of(kind, params), STATISTICS)) is cls


def test_links_are_drawn_uniformly_over_everything_that_is_named(params):
    g = torch.Generator().manual_seed(0)
    links = [draw_link(params.link, 4, g, torch.device("cpu")) for _ in range(600)]
    for channel in CHANNELS:
        assert sum(drawn.channel == channel for drawn in links) == pytest.approx(200, abs=50)
    rates = torch.cat([drawn.rates for drawn in links])
    assert (rates == 2).float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert set(rates.tolist()) == {2, 4}
    snr_db = torch.cat([drawn.snr_db for drawn in links])
    assert snr_db.min() >= 0 and snr_db.max() <= 15
    assert snr_db.mean().item() == pytest.approx(7.5, abs=0.3)
    assert all(len(set(drawn.snr_db.tolist())) == 4 for drawn in links[:5])  # one per image


@pytest.mark.parametrize("backbone, factor", [("sana", 32), ("zimage", 8), ("zimage", 16)])
@pytest.mark.parametrize("kind", ["jscgc", "diffjscc"])
def test_every_generator_goes_through_the_same_training_and_sampling(params, filled, kind, backbone, factor):
    generator = params.generator.model_copy(update={"backbone": backbone, "widths": [32], "depth": 2})
    down = {32: [1, 1], 16: [1, 1], 8: [1, 2]}[factor]
    changed = params.model_copy(
        update={"generator": generator, "encoder": params.encoder.model_copy(update={"downsample": down})}
    )
    net = filled(store.build(Architecture.of(kind, changed), LatentStatistics([0.0] * 4, [1.0] * 4, factor, "")))
    set_trained(net.receiver.prior, everything=False)
    prior = snapshot(net.receiver.prior)
    x = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    steps(net, lambda g: net.loss(x, params.link, params.jscgc, params.objective, g))
    assert unchanged(net.receiver.prior, prior)
    assert all(p.grad is not None for p in net.receiver.adapter.parameters())
    if kind == "jscgc":
        assert all(p.grad is not None and p.grad.any() for p in net.encoder.parameters())
    with torch.no_grad():
        symbols = net.symbols(x, torch.zeros(2), 4)
        assert symbols.shape == (2, 4, 4 * factor // 16, 6 * factor // 16)
        received = equalise(get_channel("awgn")(symbols, torch.zeros(2), torch.Generator().manual_seed(1)))
        sampling = Sampling(params.sample, torch.Generator().manual_seed(2))
        samples = net.restore(received, sampling)
        assert samples.x0.shape == x.shape and torch.isfinite(samples.x0).all() and samples.nfe == 4
        found = net.information(x, received, received, 3, torch.Generator().manual_seed(3))
    assert found.nats.shape == (2,) and (found.nats > 0).all()


def test_what_a_link_permits_is_the_rate_distortion_function():
    """Shannon: D = 2^(-2R). 8 symbols at 0 dB carry 8 bits, half a bit for each of 16 dimensions: D = 1/2."""
    drawn = DrawnLink("awgn", torch.tensor([0.0, 10 * math.log10(3)]), torch.tensor([8, 4]))
    assert drawn.attainable(16.0).tolist() == pytest.approx([0.5, 0.5])
    assert drawn.attainable(32.0).tolist() == pytest.approx([2**-0.5] * 2)


def test_decibels_count_alike_on_every_link(params, filled):
    codec = network("mambajscc_psnr", params, filled)
    assert isinstance(codec, Codec)
    one = params.link.model_copy(update={"channels": ["awgn"], "snr_db": (0.0, 0.0), "rates": [4]})
    # 4 bits for the 4 x 2 x 2 latents under a symbol position: D = 2^(-2 4 / 16).
    plain = codec.loss(latents(), one, torch.Generator().manual_seed(5))["loss"]
    weighted = codec.loss_in_decibels(latents(), one, torch.Generator().manual_seed(5))
    assert weighted["error"].item() == pytest.approx(plain.item())
    assert weighted["loss"].item() == pytest.approx(plain.item() / (2**-0.5 + 0.03))
    weighted["loss"].backward()
    assert all(p.grad is not None for p in codec.parameters())
