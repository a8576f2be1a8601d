"""Networks for more latent channels: what is known stays exactly as it was, and what is added is learnt."""

from __future__ import annotations

import pytest
import torch

from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare
from jscgc.files import sha256
from jscgc.latent.autoencoder import LatentStatistics, load_vae, save_vae
from jscgc.latent.nano_vae import NanoVae
from jscgc.systems import store
from jscgc.systems.links import DrawnLink
from jscgc.training import make, start
from jscgc.training.latents import LatentCrops, extract_latents
from jscgc.training.widen import widen

KNOWN, CHANNELS = 4, 8
WIDE = LatentStatistics([0.0] * CHANNELS, [1.0] * CHANNELS, 8, "of no VAE")


def ignore(step, metrics) -> None:
    pass


def both(models, kind):
    """A stored network of four channels, and the same widened to eight."""
    found = store.load(models / kind)
    torch.manual_seed(2)
    wide = store.build(found.architecture, WIDE)
    widen(found.net, wide, KNOWN, CHANNELS)
    return found.net, wide.eval()


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_a_vae_keeps_its_latents_and_decodes_them_alike(models, params):
    narrow = load_vae(models / "vae")
    wide = NanoVae(CHANNELS, params.vae.width, params.vae.depth)
    widen(narrow, wide, KNOWN, CHANNELS)
    photos = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    for own, known in zip(wide.posterior(photos), narrow.posterior(photos), strict=True):
        assert torch.allclose(own[:, :KNOWN], known, atol=1e-5)
    latents = 3 * noise(2, CHANNELS, 4, 6)
    assert torch.allclose(wide.decode(latents), narrow.decode(latents[:, :KNOWN]), atol=1e-5)


@torch.no_grad()
def test_a_prior_s_velocity_stays(models):
    narrow, wide = both(models, "flow")
    x_t, t = noise(3, CHANNELS, 8, 8), torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(wide.backbone(x_t, t)[:, :KNOWN], narrow.backbone(x_t[:, :KNOWN], t), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["mambajscc_psnr", "jscgc", "diffjscc"])
def test_a_link_sends_the_same_symbols_and_its_receiver_sees_the_same_in_them(models, kind):
    narrow, wide = both(models, kind)
    latents, link = noise(2, CHANNELS, 8, 8), DrawnLink("awgn", torch.tensor([0.0, 9.0]), torch.tensor([2, 4]))
    received = []
    for net, sent in ((narrow, latents[:, :KNOWN]), (wide, latents)):
        encoder = net.codec.encoder if kind == "diffjscc" else net.encoder
        symbols = encoder.nested(sent, link.snr_db, link.rates)
        received.append(link.send(symbols, torch.Generator().manual_seed(1)))
    assert torch.allclose(received[0].estimate, received[1].estimate, atol=1e-5)
    x_t, t = noise(2, CHANNELS, 8, 8, seed=3), torch.tensor([0.3, 0.8])
    seen = []
    for net, at, x in zip((narrow, wide), received, (x_t[:, :KNOWN], x_t), strict=True):
        if kind == "mambajscc_psnr":
            seen.append(net.reconstruct(at)[:, :KNOWN])
        else:
            seen.append(net.receiver.conditional(net.condition(at), at)(x, t)[:, :KNOWN])
    assert torch.allclose(*seen, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("reading", [True, False])
def test_a_receiver_without_the_refiner_s_decoder_sees_the_same_in_its_view(params, filled, reading):
    """Its view of the symbols has as many channels for any latents."""
    adapter = params.jscgc.adapter.model_copy(update={"refiner_decoder": False, "reading": reading})
    changed = params.model_copy(update={"jscgc": params.jscgc.model_copy(update={"adapter": adapter})})
    architecture = store.Architecture.of("jscgc", changed)
    narrow = filled(store.build(architecture, LatentStatistics([0.0] * KNOWN, [1.0] * KNOWN, 8, "of no VAE"))).eval()
    wide = store.build(architecture, WIDE).eval()
    widen(narrow, wide, KNOWN, CHANNELS)
    link = DrawnLink("awgn", torch.tensor([0.0, 9.0]), torch.tensor([2, 4]))
    symbols = torch.complex(noise(2, 4, 4, 4), noise(2, 4, 4, 4, seed=1))
    at = link.send(symbols, torch.Generator().manual_seed(1))
    x_t, t = noise(2, CHANNELS, 8, 8, seed=3), torch.tensor([0.3, 0.8])
    own, known = (
        net.receiver.conditional(net.condition(at), at)(x, t)[:, :KNOWN]
        for net, x in ((wide, x_t), (narrow, x_t[:, :KNOWN]))
    )
    assert torch.allclose(own, known, atol=1e-4)


@pytest.mark.parametrize("kind", ["vae", "flow", "mambajscc_psnr", "jscgc", "diffjscc"])
def test_everything_that_is_added_learns(models, params, kind):
    if kind == "vae":
        narrow, net = load_vae(models / "vae"), NanoVae(CHANNELS, params.vae.width, params.vae.depth)
        widen(narrow, net, KNOWN, CHANNELS)
    else:
        narrow, net = both(models, kind)
    narrow = narrow.state_dict()
    net.train()
    before = {name: value.detach().clone() for name, value in net.named_parameters() if value.requires_grad}
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(3):  # a zero behind a zero learns one step later
        latents, rng = noise(4, CHANNELS, 8, 8, seed=step), torch.Generator().manual_seed(step)
        arguments = {
            "vae": (0.01,),
            "flow": (params.objective,),
            "mambajscc_psnr": (params.link,),
        }.get(kind, (params.link, params.jscgc, params.objective))
        optimiser.zero_grad()
        images = latents[:, :3].repeat_interleave(2, 2).repeat_interleave(2, 3) if kind == "vae" else latents
        net.loss(images, *arguments, rng)["loss"].backward()
        optimiser.step()
    widened = [name for name in before if before[name].shape != narrow[name].shape]
    assert len(widened) >= 3
    for name in widened:
        own, old = net.state_dict()[name], before[name]
        for dim in (0, 1)[: own.dim()]:
            lines = (own - old).abs().movedim(dim, 0).flatten(1) if own.dim() > 1 else (own - old).abs()[:, None]
            assert lines.sum(1).all(), f"{name}: a part along dimension {dim} has not moved"


def test_the_anchor_is_the_squared_error_of_the_known_channels_over_their_variance(models, params):
    known, wide = load_vae(models / "vae"), NanoVae(CHANNELS, params.vae.width, params.vae.depth)
    widen(known, wide, KNOWN, CHANNELS)
    photos = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def loss(weight):
        return wide.loss(photos, 0.0, torch.Generator().manual_seed(0), anchor=known, anchor_weight=weight)

    assert loss(1.0)["anchored"].item() == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        wide.encoder[-1].bias[1] += 0.5  # of the mean's second channel
    variance = known.encode(photos).var()
    found = loss(3.0)
    assert found["anchored"].item() == pytest.approx(0.25 / KNOWN / variance.item(), rel=1e-4)
    assert found["loss"].item() - loss(0.0)["loss"].item() == pytest.approx(3 * found["anchored"].item(), rel=1e-3)


def test_added_channels_are_shrunk_for_a_share_of_the_photos(models, params, monkeypatch):
    known, wide = load_vae(models / "vae"), NanoVae(CHANNELS, params.vae.width, params.vae.depth)
    widen(known, wide, KNOWN, CHANNELS)
    decoded, decode = [], wide.decode
    monkeypatch.setattr(wide, "decode", lambda latents: decoded.append(latents) or decode(latents))
    photos = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for share in (0.0, 0.5, 1.0):
        wide.loss(photos, 0.0, torch.Generator().manual_seed(0), anchor=known, added_shrink=share)
    whole, some, all_ = decoded
    for shrunk, share in ((some, 0.5), (all_, 1.0)):
        assert torch.equal(shrunk[:, :KNOWN], whole[:, :KNOWN])
        factors = (shrunk[:, KNOWN:] / whole[:, KNOWN:]).flatten(1)
        assert torch.allclose(factors, factors[:, :1].expand_as(factors), atol=1e-4)  # one for a photo
        below = (factors[:, 0] < 1 - 1e-4).float().mean().item()
        assert below == pytest.approx(share, abs=0.2 if share < 1 else 0.0)
    assert 0 <= factors.min() < 0.2 and 0.8 < factors.max() < 1


def test_networks_that_differ_in_more_are_refused(models, params):
    narrow = load_vae(models / "vae")
    with pytest.raises(RuntimeError, match=r"encoder\..* has \[.*\] in one of the networks"):
        widen(narrow, NanoVae(CHANNELS, 2 * params.vae.width, params.vae.depth), KNOWN, CHANNELS)
    with pytest.raises(RuntimeError, match="is in one of the networks only"):
        widen(narrow, NanoVae(CHANNELS, params.vae.width, params.vae.depth + 1), KNOWN, CHANNELS)


@pytest.fixture
def wider(params, models, monkeypatch):
    """Parameters that widen the tiny models, as if those came with the package, by steps too small to move them."""
    monkeypatch.setattr(start, "SHIPPED", models)
    still = {"steps": 2, "learning_rate": 1e-9, "ema_decay": 0.0}
    jscgc = params.jscgc.model_copy(update={"train": params.jscgc.train.model_copy(update=still), "tuning": "full"})
    return params.model_copy(
        update={
            "init": "widen",
            "vae": params.vae.model_copy(
                update={"channels": CHANNELS, "train": params.vae.train.model_copy(update=still)}
            ),
            "latents": params.latents.model_copy(update={"crop": 32, "added_scale": 0.25}),
            "generator": params.generator.model_copy(update={"train": params.generator.train.model_copy(update=still)}),
            "codec": params.codec.model_copy(update=still),
            "jscgc": jscgc,
        }
    )


def test_the_recipes_widen_what_ships(wider, models, tmp_path):
    prepare(DataParams(source="builtin", max_photos=1), 0, tmp_path / "photos")
    inputs = {"photos": tmp_path / "photos", "latents": tmp_path / "latents"}
    vae = make.train("vae", wider, inputs, tmp_path / "run-vae", ignore)
    save_vae(tmp_path / "vae", wider.vae, vae)
    known, photos = load_vae(models / "vae"), torch.rand(1, 3, 32, 32)
    assert torch.allclose(vae.encode(photos)[:, :KNOWN], known.encode(photos), atol=1e-4)

    statistics = extract_latents(wider, tmp_path / "photos", tmp_path / "vae", tmp_path / "latents")
    old = store.load(models / "flow").latents
    assert statistics.mean[:KNOWN] == pytest.approx(old.mean) and statistics.std[:KNOWN] == pytest.approx(old.std)
    cached = LatentCrops(tmp_path / "latents", 0, torch.device("cpu")).first(wider.latents.crops)
    added = cached[:, KNOWN:]
    assert added.mean((0, 2, 3)).numpy() == pytest.approx(0, abs=1e-3)
    assert added.std((0, 2, 3)).numpy() == pytest.approx(0.25, rel=1e-2)
    assert statistics.vae_sha256 == sha256(tmp_path / "vae")

    trained = {}
    for kind in ("flow", "mambajscc_psnr"):
        trained[kind] = make.train(kind, wider, inputs, tmp_path / f"run-{kind}", ignore)
        make.save(kind, wider, inputs, trained[kind], tmp_path / kind)
        assert store.describe(tmp_path / kind).latents == statistics
        inputs[kind] = tmp_path / kind
    flow, codec = trained.values()
    for kind, net in trained.items():
        expected = both(models, kind)[1].state_dict()
        unchanged = [n for n, v in store.load(models / kind).net.state_dict().items() if v.shape == expected[n].shape]
        assert unchanged and all(torch.allclose(net.state_dict()[n], expected[n], atol=1e-6) for n in unchanged)
    for kind in ("jscgc", "diffjscc"):
        net = make.train(kind, wider, inputs, tmp_path / f"run-{kind}", ignore)
        shipped = store.load(models / kind).net.state_dict()
        for name, value in net.state_dict().items():
            if name.startswith("receiver.prior."):  # of the added channels the prior knows more
                assert torch.allclose(value, flow.state_dict()[name.removeprefix("receiver.prior.")], atol=1e-6)
            elif name.startswith("codec."):  # and the codec is the one trained on
                assert torch.equal(value, codec.state_dict()[name.removeprefix("codec.")])
            elif value.shape == shipped[name].shape:
                assert torch.allclose(value, shipped[name], atol=1e-6), name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 16}, r"init widen: the vae .* has width 8, params\.yaml says 16"),
        ({"channels": 4}, r"init widen: the vae .* has 4 channels already, .* says 4; set vae\.channels to more"),
    ],
)
def test_a_vae_that_is_not_wider_is_refused(wider, tmp_path, changes, said):
    other = wider.model_copy(update={"vae": wider.vae.model_copy(update=changes)})
    prepare(DataParams(source="builtin", max_photos=1), 0, tmp_path / "photos")
    with pytest.raises(ValueError, match=said):
        make.train("vae", other, {"photos": tmp_path / "photos"}, tmp_path / "run", ignore)


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [
        ("generator", {"widths": [64, 32]}, r"init widen: the generator .* has widths \[32, 32\]"),
        ("encoder", {"widths": [8, 8]}, r"init widen: the encoder .* has widths \[8, 16\]"),
        (
            "jscgc",
            {"tuning": "lora"},
            r"init widen: the jscgc .* kind of tuning than params\.yaml \(.* in one of the networks",
        ),
    ],
)
def test_what_cannot_be_widened_is_refused_before_anything_is_trained(wider, tmp_path, section, changes, said):
    other = wider.model_copy(update={section: getattr(wider, section).model_copy(update=changes)})
    prepare(DataParams(source="builtin", max_photos=1), 0, tmp_path / "photos")
    with pytest.raises(ValueError, match=said):
        make.train("vae", other, {"photos": tmp_path / "photos"}, tmp_path / "run", ignore)
    assert not (tmp_path / "run").exists()
