"""The adapter on both backbones: silent at first, fitting at any size, absent where its condition is dropped."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from jscgc.config import AdapterParams, GeneratorParams
from jscgc.flow.path import expand, preconditioning
from jscgc.generator.adapter import CaAdapter
from jscgc.generator.backbones import build_backbone

TRAIN = {"steps": 1, "batch_size": 1, "learning_rate": 0.1}
UNET = GeneratorParams.model_validate(
    {"backbone": "unet", "widths": [16, 32, 48], "depth": 2, "time_law": "uniform", "train": TRAIN}
)
SANA = GeneratorParams.model_validate(
    {"backbone": "sana", "widths": [32], "depth": 3, "time_law": "uniform", "train": TRAIN}
)
BOTH = pytest.mark.parametrize("params", [UNET, SANA], ids=["unet", "sana"])
SIZES = pytest.mark.parametrize("size", [(8, 8), (10, 14), (6, 22), (5, 7), (2, 2)], ids=str)
CHANNELS, PLANES = 4, 6


def network(params: GeneratorParams):
    torch.manual_seed(0)
    backbone = build_backbone(CHANNELS, params).eval()
    adapter = CaAdapter(PLANES, CHANNELS, backbone.points, AdapterParams(width=32, refiner_depth=1)).eval()
    return backbone, adapter


def inputs(size: tuple[int, int], batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Condition, SNR, x_t, t."""
    g = torch.Generator().manual_seed(1)
    condition = torch.randn(batch, PLANES, *size, generator=g)
    x_t = torch.randn(batch, CHANNELS, *size, generator=g)
    return condition, torch.linspace(0, 10, batch), x_t, torch.linspace(0.2, 0.9, batch)


@BOTH
@SIZES
@torch.no_grad()
def test_an_untrained_backbone_is_the_best_linear_velocity(params, size):
    backbone, _ = network(params)
    _, _, x_t, t = inputs(size)
    assert torch.equal(backbone(x_t, t), expand(preconditioning(t)[0], x_t) * x_t)


@BOTH
@SIZES
@torch.no_grad()
def test_an_untrained_adapter_leaves_the_generator_exactly_as_it_is(params, size, filled):
    backbone, adapter = network(params)
    filled(backbone)
    condition, snr_db, x_t, t = inputs(size)
    alone, linear = backbone(x_t, t), expand(preconditioning(t)[0], x_t) * x_t
    assert not torch.allclose(alone, linear, atol=1e-3)
    assert torch.equal(backbone(x_t, t, adapter(condition, snr_db, x_t, t)), alone)


@BOTH
@SIZES
@torch.no_grad()
def test_residuals_fit_the_generator_at_any_size_and_steer_it(params, size, filled):
    backbone, adapter = (filled(net) for net in network(params))
    condition, snr_db, x_t, t = inputs(size)
    residuals = adapter(condition, snr_db, x_t, t)
    assert len(residuals) == len(backbone.points)
    for residual, point in zip(residuals, backbone.points, strict=True):
        assert residual.shape == (2, point.channels, *[-(-side // point.scale) for side in size])
    steered = backbone(x_t, t, residuals)
    assert steered.shape == x_t.shape
    assert not torch.allclose(steered, backbone(x_t, t), atol=1e-4)


@BOTH
@torch.no_grad()
def test_every_residual_point_acts(params, filled):
    backbone = filled(network(params)[0])
    _, _, x_t, t = inputs((8, 12))
    alone = backbone(x_t, t)
    for i in range(len(backbone.points)):
        residuals = [torch.zeros(2, p.channels, -(-8 // p.scale), -(-12 // p.scale)) for p in backbone.points]
        # Not a constant: the layer's own normalisation would take that away.
        residuals[i] = torch.randn(residuals[i].shape, generator=torch.Generator().manual_seed(i))
        assert not torch.allclose(backbone(x_t, t, residuals), alone, atol=1e-5), backbone.points[i]


@BOTH
@torch.no_grad()
def test_the_adapter_hears_condition_snr_state_and_time(params, filled):
    adapter = filled(network(params)[1])
    base = inputs((6, 8))
    for i, changed in enumerate([base[0] + 1, base[1] + 5, base[2] + 1, base[3] * 0.5]):
        altered = [*base[:i], changed, *base[i + 1 :]]
        for before, after in zip(adapter(*base), adapter(*altered), strict=True):
            assert not torch.allclose(before, after, atol=1e-5), i


@BOTH
@torch.no_grad()
def test_a_dropped_condition_gives_exactly_zero_residuals(params, filled):
    backbone, adapter = (filled(net) for net in network(params))
    condition, snr_db, x_t, t = inputs((6, 8))
    dropped = adapter(condition, snr_db, x_t, t, torch.tensor([0.0, 1.0]))
    kept = adapter(condition, snr_db, x_t, t)
    for residual, full in zip(dropped, kept, strict=True):
        assert not residual[0].any()
        assert torch.equal(residual[1], full[1]) and full[1].any()
    assert torch.allclose(backbone(x_t, t, dropped)[0], backbone(x_t, t)[0], atol=1e-6)


@BOTH
@torch.no_grad()
def test_batch_mates_have_no_say(params, filled):
    backbone, adapter = (filled(net) for net in network(params))
    condition, snr_db, x_t, t = inputs((6, 8), batch=3)
    together = backbone(x_t, t, adapter(condition, snr_db, x_t, t))
    one = [part[1:2] for part in (condition, snr_db, x_t, t)]
    alone = backbone(one[2], one[3], adapter(*one))
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_zero_heads_learn_and_pass_the_gradient_on_once_they_have():
    backbone, adapter = network(UNET)
    torch.nn.init.normal_(backbone.net.conv_out.weight, std=0.1)
    condition, snr_db, x_t, t = inputs((4, 4))
    backbone(x_t, t, adapter(condition, snr_db, x_t, t)).square().mean().backward()
    assert all(head.weight.grad.any() for head in adapter.heads)
    assert not adapter.refine_in.weight.grad.any()
    with torch.no_grad():
        for head in adapter.heads:
            head.weight -= head.weight.grad
    backbone(x_t, t, adapter(condition, snr_db, x_t, t)).square().mean().backward()
    assert adapter.refine_in.weight.grad.any()


def test_wrong_widths_are_errors_that_name_the_key():
    with pytest.raises(ValueError, match=r"adapter\.width must be a multiple of 32, got 48"):
        CaAdapter(PLANES, CHANNELS, (), AdapterParams(width=48, refiner_depth=1))
    for widths in ([48], [32, 64]):
        with pytest.raises(ValueError, match=r"generator\.widths: sana takes one width, a multiple of 32"):
            build_backbone(CHANNELS, SANA.model_copy(update={"widths": widths}))
