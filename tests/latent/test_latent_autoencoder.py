"""Every autoencoder behind one face: factors honoured, sizes padded and cropped, damage told in one line."""

from __future__ import annotations

import json

import diffusers
import pytest
import torch
from torch import nn

from jscgc.files import sha256
from jscgc.latent.autoencoder import (
    DiffusersVae,
    LatentSpace,
    LatentStatistics,
    load_diffusers,
    load_vae,
    load_weights,
    save_vae,
    save_weights,
)
from jscgc.latent.nano_vae import NanoVae


def kl() -> nn.Module:
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=2,
        sample_size=32,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )


def tiny() -> nn.Module:
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(4, 4, 4, 4),
        decoder_block_out_channels=(4, 4, 4, 4),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_channels=4,
    )


def dc() -> nn.Module:
    return diffusers.AutoencoderDC(
        latent_channels=8,
        attention_head_dim=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(8,) * 6,
        decoder_block_out_channels=(8,) * 6,
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        scaling_factor=0.41407,
    )


# name, maker, factor, latent channels, scale, shift
EVERY = pytest.mark.parametrize(
    "name, maker, factor, channels, scale, shift",
    [
        ("AutoencoderKL", kl, 8, 16, 0.3611, 0.1159),
        ("AutoencoderTiny", tiny, 8, 4, 1.0, 0.0),
        ("AutoencoderDC", dc, 32, 8, 0.41407, 0.0),
    ],
)


def raw(name: str, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The model's own latents of images in [-1,1]."""
    encoded = model.encode(images)
    if name == "AutoencoderKL":
        return encoded.latent_dist.mean
    return encoded.latents if name == "AutoencoderTiny" else encoded.latent


@EVERY
@torch.no_grad()
def test_factors_are_honoured_and_the_grid_is_asked_of_the_model(tmp_path, name, maker, factor, channels, scale, shift):
    torch.manual_seed(0)
    model = maker().eval()
    model.save_pretrained(tmp_path / "vae")
    loaded = load_diffusers(name, str(tmp_path / "vae"), "")
    assert (loaded.factor, loaded.channels) == (factor, channels)
    photos = torch.rand(2, 3, 64, 96)
    latents = loaded.encode(photos)
    assert latents.shape == (2, channels, 64 // factor, 96 // factor)
    z = raw(name, model, 2 * photos - 1)
    assert torch.allclose(latents, (z - shift) * scale, atol=1e-5)
    assert torch.allclose(loaded.decode(latents), model.decode(z).sample / 2 + 0.5, atol=1e-4)
    assert not any(p.requires_grad for p in loaded.parameters())


@EVERY
def test_a_pretrained_vae_is_stored_by_name_and_found_again(
    tmp_path, params, name, maker, factor, channels, scale, shift
):
    torch.manual_seed(0)
    maker().save_pretrained(tmp_path / "model" / "vae")
    chosen = params.vae.model_copy(
        update={
            "source": "pretrained",
            "pretrained_class": name,
            "pretrained_path": str(tmp_path / "model"),
            "pretrained_subfolder": "vae",
        }
    )
    save_vae(tmp_path / "stored", chosen, None)
    assert [file.name for file in (tmp_path / "stored").iterdir()] == ["model.json"]
    vae = load_vae(tmp_path / "stored")
    assert isinstance(vae, DiffusersVae) and (vae.factor, vae.scale, vae.shift) == (factor, scale, shift)
    # The face fits: any size goes through the latent space.
    space = LatentSpace(vae, LatentStatistics([0.0] * channels, [1.0] * channels, factor, ""))
    photos = torch.rand(1, 3, 35, 50)
    with torch.no_grad():
        assert space.decode(space.encode(photos), 35, 50).shape == photos.shape
    assert space.multiple == max(16, factor)


def one_line(error: BaseException) -> str:
    text = str(error)
    assert text and "\n" not in text
    return text


@pytest.mark.parametrize("path", ["/no/such/folder", "nobody/nothing", "", "a b c"])
def test_a_vae_that_is_not_there_is_one_line_with_the_remedy(path):
    with pytest.raises(ValueError, match=r"vae\.pretrained_path.*no AutoencoderKL.*set vae\.source: nano") as caught:
        load_diffusers("AutoencoderKL", path, "")
    one_line(caught.value)


def test_a_truncated_vae_is_one_line(tmp_path):
    tiny().save_pretrained(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="no AutoencoderTiny can be loaded") as caught:
        load_diffusers("AutoencoderTiny", str(tmp_path), "")
    one_line(caught.value)


def test_a_pickled_vae_is_refused(tmp_path):
    tiny().save_pretrained(tmp_path, safe_serialization=False)
    assert list(tmp_path.glob("*.bin"))
    with pytest.raises(ValueError, match="no AutoencoderTiny can be loaded"):
        load_diffusers("AutoencoderTiny", str(tmp_path), "")


def test_a_vae_of_another_class_is_an_error(tmp_path):
    tiny().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no AutoencoderKL can be loaded"):
        load_diffusers("AutoencoderKL", str(tmp_path), "")


@torch.no_grad()
def test_the_nano_vae_round_trips(tmp_path, params):
    vae, photos = NanoVae(4, 8, 1), torch.rand(1, 3, 16, 24)
    save_vae(tmp_path / "vae", params.vae, vae)
    loaded = load_vae(tmp_path / "vae")
    assert torch.equal(loaded.encode(photos), vae.encode(photos))
    assert torch.equal(loaded.decode(vae.encode(photos)), vae.decode(vae.encode(photos)))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_a_missing_vae_says_how_to_train_one(tmp_path):
    with pytest.raises(ValueError, match="no trained VAE here; train one with `dvc repro`") as caught:
        load_vae(tmp_path)
    one_line(caught.value)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"source": "nano"}', '{"source": "pretrained"}', "{", '{"source": "x"}']
)
def test_a_damaged_description_is_one_line(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ValueError, match=r"model\.json") as caught:
        load_vae(tmp_path)
    one_line(caught.value)


def test_weights_of_another_shape_or_name_are_one_line(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(nn.Linear(3, 2), path)
    for other in (nn.Linear(4, 2), nn.Conv2d(1, 1, 1), nn.Sequential(nn.Linear(3, 2))):
        with pytest.raises(ValueError, match=r"weights\.safetensors: weights do not fit") as caught:
            load_weights(other, path)
        one_line(caught.value)


def test_weights_are_stored_in_the_ordinary_layout(tmp_path):
    convolution = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    save_weights(convolution, tmp_path / "w.safetensors")
    other = nn.Conv2d(4, 6, 3)
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.weight, convolution.weight)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (5, 40)], ids=str)
@torch.no_grad()
def test_the_latent_space_pads_to_the_grid_and_crops_back(size):
    space = LatentSpace(NanoVae(4, 8, 1), LatentStatistics([0.0] * 4, [1.0] * 4, 8, ""))
    photo = torch.rand(1, 3, *size)
    latents = space.encode(photo)
    assert latents.shape[-2:] == tuple(2 * -(-side // 16) for side in size)
    assert space.decode(latents, *size).shape == photo.shape
    # The padding repeats the last row and column.
    rows, columns = (torch.arange(-(-side // 16) * 16).clamp(max=side - 1) for side in size)
    assert torch.equal(latents, space.encode(photo[..., rows, :][..., columns]))


@torch.no_grad()
def test_the_latent_space_normalises_with_its_statistics():
    vae, photo = NanoVae(2, 8, 1), torch.rand(1, 3, 16, 16)
    space = LatentSpace(vae, LatentStatistics([1.0, -2.0], [0.5, 4.0], 8, ""))
    expected = (vae.encode(photo) - torch.tensor([1.0, -2.0])[:, None, None]) / torch.tensor([0.5, 4.0])[:, None, None]
    assert torch.allclose(space.encode(photo), expected)
    assert torch.allclose(space.decode(expected, 16, 16), vae.decode(vae.encode(photo)), atol=1e-5)


def test_another_vae_than_the_one_trained_on_is_refused(models, tmp_path, params):
    description = json.loads((models / "jscgc" / "model.json").read_text())
    statistics = LatentStatistics(**description["latents"])
    assert LatentSpace.load(models / "vae", statistics).vae.factor == 8
    save_vae(tmp_path / "vae", params.vae, NanoVae(4, params.vae.width, params.vae.depth))
    assert sha256(tmp_path / "vae") != statistics.vae_sha256
    with pytest.raises(ValueError, match="not the one that the model was trained on") as caught:
        LatentSpace.load(tmp_path / "vae", statistics)
    one_line(caught.value)
