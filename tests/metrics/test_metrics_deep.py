"""Metrics on published networks, with random weights in place of theirs: each against its library's own call.

What the weights are does not matter to the code that prepares pictures, runs layers and compares: a random state dict is
written as its publisher would, loaded by our loader, and the value compared with that of the library.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import DISTS_pytorch.DISTS_pt as dists_library
import dreamsim as dreamsim_library
import flip_evaluator
import lpips
import numpy as np
import open_clip
import pytest
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
from dreamsim.feature_extraction import (
    load_clip_as_dino,
    load_open_clip_as_dino,
    vision_transformer,
)
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

from jscgc.cli import main
from jscgc.metrics import PairMetric, available, info, pair_metric, registry, weights
from jscgc.metrics.kinds import clip, dino, dists, dreamsim
from jscgc.metrics.kinds.lpips import LPIPS, load_vgg
from jscgc.metrics.networks import dists as dists_network
from jscgc.metrics.networks import dreamsim as ensemble_network
from jscgc.metrics.networks import vgg
from jscgc.metrics.networks.embedding import Embedder

OLD_SPELLING = "ignore:(The parameter 'pretrained'|Arguments other than a weight enum):UserWarning"
pytestmark = pytest.mark.filterwarnings(OLD_SPELLING)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A weights folder whose files count as the published ones, whatever is in them."""
    folder = tmp_path_factory.mktemp("weights")
    digests = {file.file: file.digest or "f" * 64 for file in registry.files()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JSCGC_WEIGHTS", str(folder))
        patch.setattr("jscgc.metrics.weights.sha256", lambda path: digests.get(path.name, weights.DISTS_HEADS.digest))
        for file in weights.FILES:
            if not file.digest:
                weights.record(file.file, "f" * 64)
        vgg.shared.cache_clear()
        yield folder
        vgg.shared.cache_clear()


@pytest.fixture(scope="module")
def trunk(shelf: Path) -> nn.Sequential:
    """A random VGG-16, in the file that is made of torchvision's."""
    network = vgg.trunk().to_empty(device="cpu")
    rng = torch.Generator().manual_seed(0)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
            nn.init.uniform_(layer.bias, -0.1, 0.1, generator=rng)
    safetensors.torch.save_file(network.state_dict(), shelf / weights.VGG16.file)
    return network


@pytest.fixture(scope="module")
def openclip(shelf: Path) -> Iterator[nn.Module]:
    """A random ConvNeXt CLIP, small of its class, in the file of the published one."""
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        model = open_clip.create_model("convnext_tiny", pretrained=None, load_weights=False).eval()
        for name, value in model.named_parameters():
            if name.endswith("gamma"):  # layer scale starts at 1e-6, as if there were no blocks
                nn.init.uniform_(value, 0.2, 0.8)
        torch.save(model.state_dict(), shelf / weights.CLIP_CONVNEXT_LARGE.file)
        patch.setattr(clip, "MODEL", "convnext_tiny")
        patch.setattr(clip, "PRETRAINED", "none")
        yield model


@pytest.fixture(scope="module")
def dinov2(shelf: Path) -> dict[str, Tensor]:
    """A random DINOv2 ViT-S/14 at its publisher's 518 pixels, in the publisher's file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=518)
        state = {name: value.detach() + 0.02 * torch.randn_like(value) for name, value in model.state_dict().items()}
        state = {name: value + 0.3 if name.endswith("gamma") else value for name, value in state.items()}
        state["mask_token"] = torch.randn(1, 384)
        torch.save(state, shelf / weights.DINOV2_VITS14.file)
    return state


@pytest.fixture(scope="module")
def ensemble(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[nn.Module]:
    """dreamsim's own model on random checkpoints laid out as its archive is, its networks narrow but as deep."""
    folder = tmp_path_factory.mktemp("dreamsim")
    narrow = partial(
        vision_transformer.VisionTransformer, embed_dim=48, depth=12, num_heads=3, qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip

    def random_vit(patch_size: int = 16, normalised: bool = False) -> nn.Module:
        network = narrow(patch_size=patch_size)
        if normalised:
            network.pos_drop = nn.LayerNorm(48)
        for parameter in network.parameters():
            nn.init.normal_(parameter, 0.0, 0.15)
        return network

    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        for module in (vision_transformer, load_clip_as_dino, load_open_clip_as_dino):
            patch.setattr(module, "vit_base", narrow)
        dino_network = random_vit()
        torch.save(dino_network.state_dict(), shelf / weights.DINO_VITB16.file)
        for name in ensemble_network.CHECKPOINTS:
            state = random_vit(normalised=True).state_dict() | {"proj": torch.randn(48, 32)}
            torch.save({"state_dict": state}, folder / name)
        head = {f"module.head.mlp.{i}.{what}": torch.zeros(1) for i in (0, 2, 4) for what in ("weight", "bias")}
        torch.save(
            {"student": head | {"module.head.last_layer.weight": torch.zeros(1)}}, folder / "dino_vitb16_pretrain.pth"
        )
        (folder / "ensemble_lora").mkdir()
        config = {
            "peft_type": "LORA",
            "r": 4,
            "lora_alpha": 2.0,
            "lora_dropout": 0.3,
            "bias": "none",
            "target_modules": ["qkv"],
        }
        (folder / ensemble_network.ADAPTER[0]).write_text(json.dumps(config), encoding="utf-8")
        adapter = {
            f"base_model.model.extractor_list.{n}.model.blocks.{b}.attn.qkv.lora_{side}.weight": torch.randn(shape)
            for n in range(3) for b in range(12) for side, shape in (("A", (4, 48)), ("B", (144, 4)))
        }  # fmt: skip
        safetensors.torch.save_file(adapter, folder / ensemble_network.ADAPTER[1])
        with zipfile.ZipFile(shelf / weights.DREAMSIM_ENSEMBLE.file, "w") as archive:
            for name in ("dino_vitb16_pretrain.pth", *ensemble_network.CHECKPOINTS, *ensemble_network.ADAPTER):
                archive.write(folder / name, name)
        patch.setattr(torch.hub, "set_dir", lambda place: None)
        patch.setattr(torch.hub, "load", lambda repository, model: dino_network)
        library, _ = dreamsim_library.dreamsim(pretrained=True, device="cpu", cache_dir=str(folder))
        yield library


FIXTURES = {
    "lpips_vgg": "trunk",
    "dists": "trunk",
    "clip_score": "openclip",
    "dino_score_vits14": "dinov2",
    "dreamsim": "ensemble",
}
"""Metric -> what writes random weights for it."""


@pytest.fixture(scope="module")
def made() -> dict[str, PairMetric]:
    return {}


@pytest.fixture
def metric(name: str, request: pytest.FixtureRequest, made: dict[str, PairMetric]) -> PairMetric:
    """The metric of this name, on random weights read by its own loader."""
    if name == "flip":
        return pair_metric("flip")
    request.getfixturevalue(FIXTURES[name])
    if name not in made:
        made[name] = pair_metric(name)
    return made[name]


def bytes_of(images: Tensor) -> Tensor:
    """The levels that a file would hold, in [0,1]."""
    return torch.round(images * 255) / 255


EVERY = pytest.mark.parametrize("name", [*FIXTURES, "flip"])


@EVERY
def test_identity_symmetry_determinism_and_range(
    name: str, metric: PairMetric, chelsea: Tensor, coffee: Tensor
) -> None:
    info = metric.info
    assert info.name == name
    best = 1.0 if info.direction == "higher" else 0.0
    odd = torch.cat([chelsea, coffee])[:, :, :97, :131]
    assert metric(odd, odd).tolist() == pytest.approx([best, best], abs=2e-6)
    chelsea, coffee = chelsea[..., :128, :128], coffee[..., :128, :128]
    value = metric(chelsea, coffee)
    assert value.shape == (1,) and value.dtype == torch.float32
    assert torch.equal(metric(chelsea, coffee), value)
    assert metric(coffee, chelsea).item() == pytest.approx(value.item(), rel=1e-4)
    assert info.minimum is not None and info.minimum <= value.item()
    assert info.maximum is None or value.item() <= info.maximum


@EVERY
def test_a_value_does_not_depend_on_the_batch(
    name: str, metric: PairMetric, chelsea: Tensor, coffee: Tensor, pictures: SimpleNamespace
) -> None:
    reference = torch.cat([chelsea, coffee])[..., :96, :128]
    received = torch.cat([pictures.blur(chelsea, 1.0), pictures.noise(coffee, 0.1)])[..., :96, :128]
    both = metric(reference, received)
    assert both[0] != both[1]
    assert both.tolist() == pytest.approx(
        [metric(a[None], b[None]).item() for a, b in zip(reference, received, strict=True)], rel=1e-5, abs=1e-7
    )


@EVERY
def test_a_value_does_not_depend_on_what_was_scored_before(
    name: str, metric: PairMetric, chelsea: Tensor, coffee: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = chelsea[..., :64, :96], coffee[..., :64, :96]
    memo = getattr(metric, "_memo", None)
    if memo is not None:
        memo.clear()
    alone = metric(first, second)
    for pair in ((second, first), (first, first), (first, second)):
        again = metric(*pair)
    assert torch.equal(again, alone)
    if memo is not None:  # remembered or computed, and never more than the bound and the last one
        monkeypatch.setattr(memo, "limit_bytes", 0)
        memo.clear()
        metric(second, first)
        assert torch.equal(metric(first, second), alone) and len(memo) == 1


@EVERY
def test_stronger_degradations_are_worse(
    name: str, metric: PairMetric, chelsea: Tensor, degradation: Callable[[Tensor], list[Tensor]]
) -> None:
    image = chelsea[..., 32:160, 32:160]
    values = [metric(image, spoilt).item() for spoilt in degradation(image)]
    worse = [metric.info.better(a, b) for a, b in pairwise(values)]
    assert all(worse), values


@EVERY
def test_the_image_as_saved_is_what_counts(name: str, metric: PairMetric, chelsea: Tensor) -> None:
    best = 1.0 if metric.info.direction == "higher" else 0.0
    image = chelsea[..., :64, :64]
    assert metric(image, image + 0.4 / 255).item() == pytest.approx(best, abs=2e-6)
    with pytest.raises(ValueError, match="differ in shape"):
        metric(image, image[..., :63])
    with pytest.raises(ValueError, match="not finite"):
        metric(image, image * float("nan"))


def test_lpips_vgg_is_the_librarys(
    trunk: nn.Sequential, chelsea: Tensor, pictures: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lpips.pretrained_networks.tv, "vgg16", lambda pretrained: SimpleNamespace(features=trunk))
    network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    layers = network.get_submodule("net")
    layers.load_state_dict({name: trunk.state_dict()[name.partition(".")[2]] for name in layers.state_dict()})
    reference, received = bytes_of(chelsea), bytes_of(pictures.noise(chelsea, 0.1))
    with torch.no_grad():
        expected = network.eval()(reference * 2 - 1, received * 2 - 1).item()
    assert expected > 0.01
    assert pair_metric("lpips_vgg")(reference, received).item() == pytest.approx(expected, rel=1e-5)
    given = LPIPS(network=network, net="vgg")
    assert given.info is info("lpips_vgg") and given(reference, received).item() == pytest.approx(expected, rel=1e-5)


def test_lpips_vgg_and_dists_share_one_trunk(trunk: nn.Sequential) -> None:
    before = torch.random.get_rng_state()
    first, second = load_vgg("cpu"), dists_network.load_dists("cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    convolutions = [
        [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)] for network in (first, second)
    ]
    trunks = [[w for w in found if w.shape[2] == 3] for found in convolutions]  # LPIPS has 1x1 heads besides
    assert len(trunks[0]) == 13
    for a, b, stored in zip(*trunks, (x for x in trunk if isinstance(x, nn.Conv2d)), strict=True):
        assert a.data_ptr() == b.data_ptr() and torch.equal(a, stored.weight)
    published = torch.load(lpips.__path__[0] + "/weights/v0.1/vgg.pth", map_location="cpu", weights_only=True)
    assert torch.equal(first.state_dict()["lin4.model.1.weight"], published["lin4.model.1.weight"])


@pytest.mark.parametrize("resized", [False, True])
def test_dists_is_its_authors(
    resized: bool, trunk: nn.Sequential, chelsea: Tensor, pictures: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dists_library.models, "vgg16", lambda pretrained: SimpleNamespace(features=trunk))
    library = dists_library.DISTS()
    reference = bytes_of(chelsea) if not resized else F.interpolate(bytes_of(chelsea), size=(270, 290)).clamp(0, 1)
    received = bytes_of(pictures.blur(pictures.noise(reference, 0.1), 1.0))
    pair = [dists_library.prepare_image(pictures.to_image(x), resize=True) for x in (reference, received)]
    assert min(pair[0].shape[2:]) == (256 if resized else 192)
    expected = library(*pair).item()
    assert expected > 0.001
    assert dists.DISTS()(reference, received).item() == pytest.approx(expected, rel=1e-4)
    for image, prepared in zip((reference, received), pair, strict=True):
        assert torch.equal(dists.prepare(image), prepared)


def test_dists_of_constant_images_in_closed_form() -> None:
    no_layers = torch.zeros(1475)
    alpha = no_layers.clone()
    alpha[:3] = 2.0  # the image's own channels alone
    beta = no_layers.clone()
    beta[:3] = 1.0
    network = dists_network.DISTSNetwork(vgg.trunk().to_empty(device="cpu").apply(zero), alpha, beta)
    x, y = torch.full((1, 3, 32, 32), 0.25), torch.full((1, 3, 32, 32), 0.5)
    means = 2 * 0.25 * 0.5 / (0.25**2 + 0.5**2)  # and no variance: texture is 1
    assert network(x, y).item() == pytest.approx(1 - (2 * means + 1) / 3, abs=1e-5)
    black, white = torch.zeros(1, 3, 300, 280), torch.ones(1, 3, 300, 280)
    assert dists.DISTS(network=network)(black, white).item() == pytest.approx(2 / 3, abs=1e-5)


def zero(layer: nn.Module) -> None:
    for parameter in layer.parameters(recurse=False):
        nn.init.zeros_(parameter)


def test_clip_score_is_open_clips(openclip: Any, chelsea: Tensor, coffee: Tensor, pictures: SimpleNamespace) -> None:
    _, _, prepare = open_clip.create_model_and_transforms("convnext_tiny", pretrained=None, load_weights=False)
    first, second = chelsea, F.interpolate(coffee, size=(260, 400))[..., :192, :192]
    with torch.no_grad():
        embeddings = [
            openclip.encode_image(prepare(pictures.to_image(x))[None], normalize=True) for x in (first, second)
        ]
    expected = (embeddings[0] @ embeddings[1].T).item()
    assert -1 < expected < 0.9999
    assert clip.ClipScore()(first, second).item() == pytest.approx(expected, abs=1e-5)


def test_clip_preprocessing_is_the_published(pictures: SimpleNamespace) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (350, 500, 3), np.uint8))
    by_hand = transforms.Compose(
        [
            transforms.Resize(320, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(320),
            transforms.ToTensor(),
            transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    with torch.device("meta"):
        model = open_clip.create_model("convnext_large_d_320", pretrained=None, load_weights=False, device="meta")
    library = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(model)), is_train=False
    )
    ours = clip.preprocess("convnext_large_d_320", "laion2b_s29b_b131k_ft_soup")(picture)
    assert ours.shape == (3, 320, 320)
    assert torch.equal(ours, by_hand(picture)) and torch.equal(ours, library(picture))


def test_the_published_towers_are_described_by_their_names() -> None:
    tower = clip.image_tower("convnext_large_d_320")
    assert round(sum(p.numel() for p in tower.parameters()) / 1e6) == 200
    assert tower(torch.empty(1, 3, 320, 320, device="meta")).shape == (1, 768)
    with torch.device("meta"):
        vit = timm.create_model("vit_large_patch14_dinov2", pretrained=False, num_classes=0, img_size=224)
    assert round(sum(p.numel() for p in vit.parameters()) / 1e6) == 303
    assert vit(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1024)


def as_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """DINOv2's names -> those of transformers."""
    found = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.mask_token": state["mask_token"],
        "embeddings.position_embeddings": state["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    for block in range(12):
        old, new = f"blocks.{block}.", f"encoder.layer.{block}."
        for kind in ("weight", "bias"):
            for part, value in zip("qkv", state[f"{old}attn.qkv.{kind}"].chunk(3), strict=True):
                found[f"{new}attention.{part}_proj.{kind}"] = value
            found[f"{new}attention.o_proj.{kind}"] = state[f"{old}attn.proj.{kind}"]
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                found[f"{new}{name}.{kind}"] = state[f"{old}{name}.{kind}"]
        for scale in ("1", "2"):
            found[f"{new}layer_scale{scale}.lambda1"] = state[f"{old}ls{scale}.gamma"]
    return found


def test_dino_score_is_that_of_transformers(dinov2: dict[str, Tensor], chelsea: Tensor, coffee: Tensor) -> None:
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=224, patch_size=14)
    network = Dinov2Model(config).eval()
    position = dino.interpolate(dinov2["pos_embed"], 16)
    network.load_state_dict(as_transformers(dinov2 | {"pos_embed": position}))
    embedder = Embedder(dino.load_dinov2("vit_small_patch14_dinov2", weights.DINOV2_VITS14), dino.preprocess)
    pixels = torch.stack([dino.preprocess(Image.fromarray(to_bytes(x))) for x in (chelsea, coffee)])
    with torch.no_grad():
        expected = network(pixels).pooler_output
    found = embedder(torch.cat([chelsea, coffee]))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    cosine = F.cosine_similarity(*expected, dim=0).item()
    assert cosine < 0.9999
    assert pair_metric("dino_score_vits14")(chelsea, coffee).item() == pytest.approx(cosine, abs=1e-5)


def to_bytes(images: Tensor) -> np.ndarray:
    return (images[0] * 255).round().byte().permute(1, 2, 0).numpy()


def test_dino_preprocessing_is_the_published(chelsea: Tensor) -> None:
    picture = Image.fromarray(to_bytes(F.interpolate(chelsea, size=(300, 420))))
    processor = BitImageProcessorPil(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, resample=3,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    library = torch.as_tensor(np.asarray(processor(picture)["pixel_values"][0]))
    ours = dino.preprocess(picture)
    assert ours.shape == (3, 224, 224)
    torch.testing.assert_close(ours, library, rtol=0, atol=1e-5)


def test_dino_positions_keep_their_place() -> None:
    ramp = torch.linspace(0, 1, 37)
    grid = torch.stack([ramp[:, None].expand(37, 37), ramp.expand(37, 37)], -1).reshape(1, 37 * 37, 2)
    embedding = torch.cat([torch.full((1, 1, 2), 9.0), grid], 1)
    assert dino.interpolate(embedding, 37) is embedding
    small = dino.interpolate(embedding, 16)
    assert small.shape == (1, 257, 2) and torch.equal(small[:, 0], embedding[:, 0])
    rows = small[0, 1:].unflatten(0, (16, 16))
    centres = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5  # DINOv2's scale
    for line in (rows[:, 5, 0], rows[5, :, 1]):
        # the bicubic kernel keeps a ramp to 0.002; at the far end the scale 37/16 would be off by 0.006
        assert torch.allclose(line[2:-2], centres[2:-2] / 36, atol=2e-3)


def test_dreamsim_is_the_librarys(ensemble: Any, chelsea: Tensor, coffee: Tensor, pictures: SimpleNamespace) -> None:
    wide = F.interpolate(coffee, size=(192, 300))
    noisy = pictures.noise(wide, 0.2)
    resize = transforms.Resize((224, 224), interpolation=transforms.InterpolationMode.BICUBIC)
    prepared = [transforms.ToTensor()(resize(pictures.to_image(x)))[None] for x in (wide, noisy)]
    with torch.no_grad():
        expected = ensemble(*prepared).item()
    assert expected > 1e-3
    before = torch.random.get_rng_state()
    metric = dreamsim.DreamSim()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert metric(wide, noisy).item() == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_dreamsims_adapter_counts(ensemble: Any, shelf: Path) -> None:
    with zipfile.ZipFile(shelf / weights.DREAMSIM_ENSEMBLE.file) as archive:
        config = json.loads(archive.read(ensemble_network.ADAPTER[0]))
        adapter = safetensors.torch.load(archive.read(ensemble_network.ADAPTER[1]))
    network = ensemble_network.load_ensemble()
    some = dict(list(adapter.items())[:-1])
    with pytest.raises(ValueError, match="71 tensors, two for each of 36 layers"):
        ensemble_network.merge(network, config, some)
    with pytest.raises(ValueError, match="unknown tensor other"):
        ensemble_network.merge(network, config, adapter | {"other": torch.zeros(1)})
    with pytest.raises(ValueError, match="of a kind"):
        ensemble_network.merge(network, config | {"bias": "all"}, adapter)


def test_an_archive_that_is_none_is_one_line(
    ensemble: Any, shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JSCGC_WEIGHTS", str(tmp_path))
    (tmp_path / weights.DINO_VITB16.file).write_bytes((shelf / weights.DINO_VITB16.file).read_bytes())
    for file in (weights.DINO_VITB16.file, weights.DREAMSIM_ENSEMBLE.file):
        weights.record(file, "f" * 64)
    (tmp_path / weights.DREAMSIM_ENSEMBLE.file).write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"not DreamSim's archive .*jscgc weights fetch dreamsim_ensemble"):
        dreamsim.DreamSim()
    with zipfile.ZipFile(tmp_path / weights.DREAMSIM_ENSEMBLE.file, "w") as archive:
        archive.writestr("readme.txt", "empty")
    with pytest.raises(ValueError, match="not DreamSim's archive"):
        dreamsim.DreamSim()


def test_flip_is_its_authors(chelsea: Tensor, pictures: SimpleNamespace) -> None:
    received = pictures.jpeg(chelsea, 20)
    arrays = [bytes_of(x)[0].permute(1, 2, 0).contiguous().numpy() for x in (chelsea, received)]
    error_map, mean, used = flip_evaluator.evaluate(*arrays, "LDR", applyMagma=False)
    assert used["ppd"] == pytest.approx(67.02, abs=0.01)
    before = chelsea.clone()
    value = pair_metric("flip")(chelsea, received).item()
    assert value == pytest.approx(mean, abs=1e-6) and value == pytest.approx(error_map.mean(), abs=1e-5)
    assert torch.equal(chelsea, before)
    black, white = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    assert pair_metric("flip")(black, white).item() > 0.9


def test_a_user_gets_every_metric_whose_weights_are_there(
    trunk: object, openclip: object, dinov2: object, ensemble: object, chelsea: Tensor, pictures: SimpleNamespace,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert {name for name in FIXTURES if available()[name] is None} == set(FIXTURES)
    pictures.to_image(chelsea[..., :128, :128]).save(tmp_path / "photo.png")
    sent = ["transmit", str(tmp_path / "photo.png"), "--method", "jpeg_capacity", "--snr-db", "20", "--cbr", "48/768"]
    assert main([*sent, "--out", str(tmp_path / "out"), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["results"][0]["metrics"]
    judging = set(FIXTURES) - {"lpips_vgg", "dists"}  # losses may use VGG-16: they judge nothing
    assert {*judging, "flip", "psnr", "ms_ssim"} <= set(scores)
    assert not {"dino_score", "lpips_vgg", "dists"} & set(scores)
    received = Image.open(next((tmp_path / "out").glob("*jpeg_capacity.png")))
    again = pictures.to_tensor(np.asarray(received))
    sent_photo = pictures.to_tensor(np.asarray(Image.open(tmp_path / "photo.png")))
    for name in judging:
        assert scores[name] == pytest.approx(pair_metric(name)(sent_photo, again).item(), rel=1e-4)


class Counting(nn.Module):
    """Mean colours of an image, and how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        return x.mean((2, 3))


def test_an_embedder_looks_at_each_image_once_and_alone(chelsea: Tensor, coffee: Tensor) -> None:
    network = Counting()
    embed = Embedder(network, transforms.ToTensor())
    both = torch.cat([chelsea, coffee])
    first = embed(both)
    torch.testing.assert_close(first, bytes_of(both).mean((2, 3)), atol=1e-5, rtol=0)
    assert torch.equal(embed(both.flip(0)), first.flip(0)) and torch.equal(embed(chelsea), first[:1])
    assert network.calls == [1, 1]
