"""Pretrained backbones: tiny random models of the very classes, saved as diffusers saves them and loaded as a user would."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from jscgc.generator.adapter import CaAdapter
from jscgc.generator.backbones import build_backbone
from jscgc.generator.kinds.zimage import empty_prompt, start_from_controlnet
from jscgc.generator.lora import add_lora
from jscgc.generator.params import AdapterParams, GeneratorParams
from jscgc.generator.tiny import write_text

TRAIN = {"steps": 1, "batch_size": 1, "learning_rate": 0.1}
DIM = 64
HEADS = {"n_heads": 2, "n_kv_heads": 2}


def params(backbone: str, path: Path, **changes) -> GeneratorParams:
    return GeneratorParams.model_validate(
        {
            "backbone": backbone,
            "source": "pretrained",
            "pretrained_path": str(path),
            "widths": [1],
            "depth": 1,
            "train": TRAIN,
        }
        | changes
    )


@pytest.fixture(scope="module")
def zimage(tmp_path_factory) -> Path:
    from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel

    torch.manual_seed(0)
    net = ZImageTransformer2DModel(
        in_channels=4, dim=DIM, n_layers=3, n_refiner_layers=1, cap_feat_dim=8, axes_dims=[8, 12, 12], **HEADS
    )
    folder = tmp_path_factory.mktemp("zimage")
    net.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sana(tmp_path_factory) -> Path:
    from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel

    torch.manual_seed(0)
    net = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=32,
        num_layers=3,
        caption_channels=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=32,
        cross_attention_dim=DIM,
        patch_size=1,
    )
    folder = tmp_path_factory.mktemp("sana")
    net.save_pretrained(folder)
    return folder


def states(batch: int = 2) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(batch, 4, 6, 8, generator=g), torch.linspace(0.2, 0.9, batch)


@torch.no_grad()
def test_zimage_s_time_and_sign_are_turned_round_as_its_pipeline_does(zimage):
    """diffusers' pipeline: the model is asked at (1000 - timestep) / 1000, timestep = 1000 sigma, and its output negated."""
    from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel

    net = ZImageTransformer2DModel.from_pretrained(zimage).eval()
    backbone = build_backbone(4, params("zimage", zimage)).eval()
    x_t, t = states()
    caption = torch.randn(5, 8, generator=torch.Generator().manual_seed(2))
    backbone.caption.features = caption
    timestep = 1000 * t
    output = net(list(x_t[:, :, None].unbind()), (1000 - timestep) / 1000, [caption] * 2, return_dict=False)[0]
    expected = -torch.stack(output)[:, :, 0]
    assert torch.allclose(backbone(x_t, t), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.01


@torch.no_grad()
def test_sana_s_time_is_ours_times_a_thousand(sana):
    from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel

    net = SanaTransformer2DModel.from_pretrained(sana).eval()
    backbone = build_backbone(4, params("sana", sana)).eval()
    x_t, t = states()
    expected = net(x_t, encoder_hidden_states=torch.zeros(2, 1, 8), timestep=1000 * t, return_dict=False)[0]
    assert torch.allclose(backbone(x_t, t), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["zimage", "sana"])
def test_bf16_and_checkpointing_change_the_numbers_a_little_and_the_gradient_not_at_all(kind, request):
    path = request.getfixturevalue(kind)
    x_t, t = states()
    plain = build_backbone(4, params(kind, path))
    half = build_backbone(4, params(kind, path, dtype="bfloat16"))
    assert (
        next(half.net.layers.parameters() if kind == "zimage" else half.net.transformer_blocks.parameters()).dtype
        == torch.bfloat16
    )
    with torch.no_grad():
        reference, rounded = plain(x_t, t), half(x_t, t)
    assert rounded.dtype == torch.float32
    assert (rounded - reference).abs().max() < 0.1 * reference.abs().max()
    saving = build_backbone(4, params(kind, path, gradient_checkpointing=True)).train()
    gradients = []
    for backbone in (plain.train(), saving):
        x = x_t.clone().requires_grad_()
        backbone(x, t).square().sum().backward()
        gradients.append(x.grad)
    assert saving.net.gradient_checkpointing
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_the_adapter_starts_from_a_controlnet(zimage, tmp_path):
    from diffusers.models.controlnets.controlnet_z_image import ZImageControlNetModel

    torch.manual_seed(3)
    control = ZImageControlNetModel(
        control_layers_places=[0, 2], control_in_dim=4, dim=DIM, n_refiner_layers=1, **HEADS
    )
    control.save_pretrained(tmp_path / "control")
    backbone = build_backbone(4, params("zimage", zimage))
    adapter = CaAdapter(6, 4, backbone, AdapterParams(width=DIM, refiner_depth=1, stages=2))
    assert start_from_controlnet(list(adapter.stages), str(tmp_path / "control")) == 2
    for stage, layer in zip(adapter.stages, control.control_layers, strict=True):
        for name, value in stage.block.state_dict().items():
            assert torch.equal(value, layer.state_dict()[name]), name
    narrow = CaAdapter(6, 4, backbone, AdapterParams(width=32, refiner_depth=1, stages=2))
    with pytest.raises(ValueError, match=r"do not fit the adapter's stages; set adapter\.width .*\(64\)"):
        start_from_controlnet(list(narrow.stages), str(tmp_path / "control"))
    with pytest.raises(ValueError, match="no ZImageControlNetModel can be loaded"):
        start_from_controlnet(list(adapter.stages), str(tmp_path / "nothing"))


def test_the_empty_prompt_s_features_are_the_pipeline_s(tmp_path):
    """A tiny text encoder and tokenizer of the released classes, in the folders where a pipeline has them."""
    from transformers import Qwen3Model

    torch.manual_seed(0)
    write_text(tmp_path)
    encoder = Qwen3Model.from_pretrained(tmp_path / "text_encoder").eval()
    features = empty_prompt(str(tmp_path))
    # "user :  assistant :" is four tokens; the features are the last hidden states but one.
    with torch.no_grad():
        expected = encoder(torch.tensor([[1, 3, 2, 3]]), output_hidden_states=True).hidden_states[-2][0]
    assert features.shape == (4, 8)
    assert torch.allclose(features, expected, atol=1e-5)
    with pytest.raises(ValueError, match="no text encoder can be loaded"):
        empty_prompt(str(tmp_path / "nothing"))


def test_what_is_not_there_or_does_not_fit_is_one_line(zimage, tmp_path):
    with pytest.raises(ValueError, match="no ZImageTransformer2DModel can be loaded") as caught:
        build_backbone(4, params("zimage", tmp_path / "nothing"))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="generates latents of 4 channels, the VAE's have 16"):
        build_backbone(16, params("zimage", zimage))
    backbone = build_backbone(4, params("zimage", zimage))
    with pytest.raises(ValueError, match=r"latents of even sides, got \(5, 8\)"):
        backbone(torch.zeros(1, 4, 5, 8), torch.zeros(1))


def test_low_rank_updates_learn_in_float32_beside_weights_in_bfloat16(zimage):
    backbone = build_backbone(4, params("zimage", zimage, dtype="bfloat16"))
    add_lora(backbone, 2)
    x_t, t = states()
    backbone(x_t, t).square().sum().backward()
    updates = {name: p for name, p in backbone.named_parameters() if "lora_" in name}
    assert updates and all(p.dtype == p.grad.dtype == torch.float32 for p in updates.values())
    assert backbone.net.layers[0].attention.to_q.base_layer.weight.dtype == torch.bfloat16


def test_on_the_meta_device_only_the_shape_is_built(zimage, tmp_path, caplog):
    with torch.device("meta"):
        backbone = build_backbone(4, params("zimage", zimage))
        assert backbone.net.config.dim == DIM and next(backbone.parameters()).is_meta
        with pytest.raises(ValueError, match="generates latents of 16 channels, the VAE's have 4"):
            build_backbone(4, params("zimage", tmp_path / "nothing"))
    assert "released sizes are taken" in caplog.text
