"""The adapter on both backbones: silent at first, fitting at any size, absent where its condition is dropped."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from jscgc.flow.path import expand, preconditioning
from jscgc.generator.adapter import CaAdapter, LinearReading, chosen_layers
from jscgc.generator.backbones import build_backbone
from jscgc.generator.params import AdapterParams, GeneratorParams

TRAIN = {"steps": 1, "batch_size": 1, "learning_rate": 0.1}
UNET = GeneratorParams.model_validate({"backbone": "unet", "widths": [16, 32, 48], "depth": 2, "train": TRAIN})
SANA = GeneratorParams.model_validate({"backbone": "sana", "widths": [32], "depth": 3, "train": TRAIN})
ZIMAGE = GeneratorParams.model_validate({"backbone": "zimage", "widths": [64], "depth": 3, "train": TRAIN})
ALL = pytest.mark.parametrize("params", [UNET, SANA, ZIMAGE], ids=["unet", "sana", "zimage"])
SIZES = pytest.mark.parametrize("size", [(8, 8), (10, 14), (6, 22), (5, 7), (2, 2)], ids=str)
CHANNELS, PLANES = 4, 6


@dataclass(frozen=True)
class Link:
    """What the adapter knows of a link."""

    snr_db: Tensor
    bits: Tensor

    def __getitem__(self, images: slice) -> Link:
        return Link(self.snr_db[images], self.bits[images])


def network(params: GeneratorParams, **adapter):
    torch.manual_seed(0)
    backbone = build_backbone(CHANNELS, params).eval()
    return backbone, CaAdapter(PLANES, CHANNELS, backbone, AdapterParams(width=32, refiner_depth=1, **adapter)).eval()


def fitting(params: GeneratorParams, size: tuple[int, int]) -> tuple[int, int]:
    """Z-Image works on patches of two: its latents have even sides."""
    return size if params.backbone != "zimage" else (2 * -(-size[0] // 2), 2 * -(-size[1] // 2))


def inputs(size: tuple[int, int], batch: int = 2) -> tuple[Tensor, Link, Tensor, Tensor]:
    """Condition, link, x_t, t."""
    g = torch.Generator().manual_seed(1)
    condition = torch.randn(batch, PLANES, *size, generator=g)
    x_t = torch.randn(batch, CHANNELS, *size, generator=g)
    link = Link(torch.linspace(0, 10, batch), torch.linspace(3, 30, batch))
    return condition, link, x_t, torch.linspace(0.2, 0.9, batch)


@ALL
@SIZES
@torch.no_grad()
def test_an_untrained_backbone_is_the_best_linear_velocity(params, size):
    backbone, _ = network(params)
    _, _, x_t, t = inputs(fitting(params, size))
    assert torch.equal(backbone(x_t, t), expand(preconditioning(t)[0], x_t) * x_t)


@ALL
@SIZES
@torch.no_grad()
def test_an_untrained_adapter_leaves_the_generator_exactly_as_it_is(params, size, filled):
    backbone, adapter = network(params)
    filled(backbone)
    condition, link, x_t, t = inputs(fitting(params, size))
    alone, linear = backbone(x_t, t), expand(preconditioning(t)[0], x_t) * x_t
    assert not torch.allclose(alone, linear, atol=1e-3)
    assert torch.equal(backbone(x_t, t, adapter(condition, link, x_t, t)), alone)


@ALL
@SIZES
@torch.no_grad()
def test_residuals_fit_the_generator_at_any_size_and_steer_it(params, size, filled):
    backbone, adapter = (filled(net) for net in network(params))
    condition, link, x_t, t = inputs(fitting(params, size))
    residuals = adapter(condition, link, x_t, t)
    assert len(residuals) == len(backbone.points)
    for residual, point in zip(residuals, backbone.points, strict=True):
        assert residual.shape == (2, point.channels, *[-(-side // point.scale) for side in fitting(params, size)])
    steered = backbone(x_t, t, residuals)
    assert steered.shape == x_t.shape
    assert not torch.allclose(steered, backbone(x_t, t), atol=1e-4)


@ALL
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


@ALL
@torch.no_grad()
def test_the_adapter_hears_condition_snr_bits_state_and_time(params, filled):
    adapter = filled(network(params)[1])
    condition, link, x_t, t = inputs((6, 8))
    before = adapter(condition, link, x_t, t)
    altered = {
        "condition": adapter(condition + 1, link, x_t, t),
        "snr": adapter(condition, Link(link.snr_db + 5, link.bits), x_t, t),
        "bits": adapter(condition, Link(link.snr_db, 2 * link.bits), x_t, t),
        "x_t": adapter(condition, link, x_t + 1, t),
        "t": adapter(condition, link, x_t, t * 0.5),
    }
    for name, after in altered.items():
        for one, other in zip(before, after, strict=True):
            assert not torch.allclose(one, other, atol=1e-5), name


@ALL
@torch.no_grad()
def test_an_adapter_that_is_not_shown_x_t_does_not_depend_on_it(params, filled):
    adapter = filled(network(params, sees_x_t=False)[1])
    condition, link, x_t, t = inputs((6, 8))
    before, after = adapter(condition, link, x_t, t), adapter(condition, link, x_t + 1, t)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not torch.allclose(before[0], adapter(condition + 1, link, x_t, t)[0], atol=1e-5)


@ALL
@torch.no_grad()
def test_without_the_linear_reading_the_output_is_left_alone_and_all_else_is_the_same(params):
    """The paper's adapter: Refiner, cascade, sums into the generator's layers, and nothing beside."""
    (backbone, full), (_, bare) = network(params), network(params, reading=False)
    assert {name for name in full.state_dict() if name not in bare.state_dict()} == {
        f"reading.{name}" for name in full.reading.state_dict()
    }
    for net in (full, bare):
        for head in net.heads:
            torch.nn.init.normal_(head.weight, std=0.1, generator=torch.Generator().manual_seed(5))
    condition, link, x_t, t = inputs((6, 8))
    for keep in (None, torch.tensor([0.0, 1.0])):
        with_it, without = full(condition, link, x_t, t, keep), bare(condition, link, x_t, t, keep)
        assert with_it[-1] is not None and without[-1] is None and len(with_it) == len(without)
        assert all(torch.equal(one, other) for one, other in zip(with_it[:-1], without[:-1], strict=True))
    torch.nn.init.normal_(full.reading.head.weight)
    steered = [backbone(x_t, t, net(condition, link, x_t, t)) for net in (full, bare)]
    assert not torch.allclose(*steered, atol=1e-3)


@torch.no_grad()
def test_the_output_s_residual_is_linear_in_condition_and_x_t(filled):
    adapter = filled(network(UNET)[1])
    torch.nn.init.zeros_(adapter.reading.head.bias)
    condition, link, x_t, t = inputs((6, 8))
    once, tripled = adapter(condition, link, x_t, t)[-1], adapter(3 * condition, link, 3 * x_t, t)[-1]
    assert once.any()
    assert torch.allclose(tripled, 3 * once, atol=1e-4)


def test_the_output_s_residual_can_be_the_gaussian_velocity():
    """Prop. 2 in closed form, for the one t and link at hand: what is left is a least-squares problem with an exact solution."""
    g = torch.Generator().manual_seed(3)
    c, t = 0.3, torch.full((64,), 0.4)
    mean = (1 - c) ** 0.5 * torch.randn(64, 1, 4, 4, generator=g)
    x0 = mean + c**0.5 * torch.randn(64, 1, 4, 4, generator=g)
    x_t = 0.6 * x0 + 0.4 * torch.randn(64, 1, 4, 4, generator=g)
    variance = 0.36 * c + 0.16
    velocity = -mean + (0.4 - 0.6 * c) / variance * (x_t - 0.6 * mean)
    skip, out, _ = preconditioning(t[:1])
    wanted = (velocity - skip * x_t) / out
    reading = LinearReading(2, 1, 8, 16)
    features = reading.read(torch.cat([mean, x_t], 1)).movedim(1, -1).flatten(0, -2)
    solved = torch.linalg.lstsq(features, wanted.movedim(1, -1).flatten(0, -2), driver="gelsd").solution
    with torch.no_grad():
        reading.head.weight.copy_(solved.T[:, :, None, None])
        torch.nn.init.zeros_(reading.gains.weight)
        torch.nn.init.zeros_(reading.gains.bias)
        found = reading(torch.cat([mean, x_t], 1), torch.zeros(64, 16))
    assert torch.allclose(found, wanted, atol=1e-4)


@ALL
@torch.no_grad()
def test_a_dropped_condition_gives_exactly_zero_residuals(params, filled):
    backbone, adapter = (filled(net) for net in network(params))
    condition, link, x_t, t = inputs((6, 8))
    dropped = adapter(condition, link, x_t, t, torch.tensor([0.0, 1.0]))
    kept = adapter(condition, link, x_t, t)
    for residual, full in zip(dropped, kept, strict=True):
        assert not residual[0].any()
        assert torch.equal(residual[1], full[1]) and full[1].any()
    assert torch.allclose(backbone(x_t, t, dropped)[0], backbone(x_t, t)[0], atol=1e-6)


@ALL
@torch.no_grad()
def test_batch_mates_have_no_say(params, filled):
    backbone, adapter = (filled(net) for net in network(params))
    condition, link, x_t, t = inputs((6, 8), batch=3)
    together = backbone(x_t, t, adapter(condition, link, x_t, t))
    one = [part[1:2] for part in (condition, link, x_t, t)]
    alone = backbone(one[2], one[3], adapter(*one))
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_zero_heads_learn_and_pass_the_gradient_on_once_they_have():
    backbone, adapter = network(UNET)
    torch.nn.init.normal_(backbone.net.conv_out.weight, std=0.1)
    heads = [*adapter.heads, adapter.reading.head]
    condition, link, x_t, t = inputs((4, 4))
    backbone(x_t, t, adapter(condition, link, x_t, t)).square().mean().backward()
    assert all(head.weight.grad.any() for head in heads)
    assert not adapter.refine_in.weight.grad.any()
    with torch.no_grad():
        for head in heads:
            head.weight -= head.weight.grad
    backbone(x_t, t, adapter(condition, link, x_t, t)).square().mean().backward()
    assert adapter.refine_in.weight.grad.any()


def test_wrong_widths_are_errors_that_name_the_key():
    with pytest.raises(ValueError, match=r"adapter\.width must be a multiple of 32, got 48"):
        CaAdapter(PLANES, CHANNELS, build_backbone(CHANNELS, UNET), AdapterParams(width=48, refiner_depth=1))
    for params in (SANA, ZIMAGE):
        with pytest.raises(ValueError, match=r"adapter\.width must be a multiple of 32, got 48"):
            CaAdapter(PLANES, CHANNELS, build_backbone(CHANNELS, params), AdapterParams(width=48, refiner_depth=1))
        for widths in ([48], [32, 64]):
            with pytest.raises(ValueError, match=r"generator\.widths: \w+ takes one width, a multiple of 32"):
                build_backbone(CHANNELS, params.model_copy(update={"widths": widths}))


@ALL
@torch.no_grad()
def test_stages_lead_to_the_layers_that_are_named_and_to_no_other(params, filled):
    backbone, adapter = (filled(net) for net in network(params, layers=[1, 0]))
    condition, link, x_t, t = inputs((6, 8))
    residuals = adapter(condition, link, x_t, t)
    assert len(adapter.stages) == 2
    assert [r is not None for r in residuals] == [True, True, *[False] * (len(backbone.points) - 3), True]
    steered = backbone(x_t, t, residuals)
    rest = [None if r is None else torch.zeros_like(r) for r in residuals]
    rest[1] = residuals[1]
    assert not torch.allclose(backbone(x_t, t, rest), backbone(x_t, t), atol=1e-5)
    assert not torch.allclose(steered, backbone(x_t, t, rest), atol=1e-5)
    assert torch.equal(backbone(x_t, t, [None] * len(residuals)), backbone(x_t, t))


def test_stages_are_spread_over_the_layers():
    def chosen(count: int, **settings) -> list[int]:
        return chosen_layers(count, AdapterParams(width=32, refiner_depth=1, **settings))

    assert chosen(6) == [0, 1, 2, 3, 4, 5]
    assert chosen(6, stages=3) == [0, 2, 4]
    assert chosen(30, stages=8) == [0, 3, 7, 11, 15, 18, 22, 26]
    assert chosen(6, layers=[5, 2]) == [2, 5]
    with pytest.raises(ValueError, match=r"adapter\.stages: 7 asked for, the generator has 6 layers"):
        chosen(6, stages=7)
    with pytest.raises(ValueError, match=r"adapter\.layers: 6 does not exist, the generator's layers are 0\.\.5"):
        chosen(6, layers=[0, 6])
    with pytest.raises(ValueError, match="a layer is there twice"):
        AdapterParams(width=32, refiner_depth=1, layers=[1, 1])
    with pytest.raises(ValueError, match="give one of the two"):
        AdapterParams(width=32, refiner_depth=1, layers=[1], stages=2)
