"""Backbones by name: which there are, what is told of them without torch, and one from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jscgc.generator.adapter import CaAdapter
from jscgc.generator.backbone import together
from jscgc.generator.backbones import BACKBONES, build_backbone
from jscgc.generator.params import AdapterParams, BackboneParams
from jscgc.registry import PLUGINS, add_plugin
from jscgc.sources import closure

CONVOLUTION = """
import torch
from torch import nn

from jscgc.generator.backbone import ResidualPoint
from jscgc.generator.backbones import BackboneKind


class Convolution(nn.Module):
    width_multiple = 1

    def __init__(self, channels, params):
        super().__init__()
        self.net = nn.Conv2d(channels, channels, 2 * params.depth + 1, padding=params.depth)
        self.points = (ResidualPoint(channels, 1), ResidualPoint(channels, 1))

    def forward(self, x_t, t, residuals=None):
        first, last = (0 if r is None else r for r in residuals or (None, None))
        return self.net(x_t + first) + last

    def stage(self, width, embedding):
        return Block(width, embedding)


class Block(nn.Module):
    def __init__(self, width, embedding):
        super().__init__()
        self.shift = nn.Linear(embedding, width)

    def forward(self, x, embedding):
        return x + self.shift(embedding)[:, :, None, None]


def empty_prompt(path, device="cpu"):
    return torch.ones(3, 8, device=device)


KIND = BackboneKind("convolution", Convolution, empty_prompt=empty_prompt)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a backbone, used in this process until the test ends."""
    monkeypatch.setenv(PLUGINS, "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "backbone_of_another.py"
    path.write_text(CONVOLUTION, encoding="utf-8")
    add_plugin(str(path))
    yield path
    sys.modules.pop(path.stem)
    monkeypatch.undo()
    BACKBONES.forget()
    assert "convolution" not in BACKBONES


def params(backbone: str, **changes) -> BackboneParams:
    return BackboneParams.model_validate({"backbone": backbone, "widths": [32], "depth": 1} | changes)


def steered(backbone, height: int, width: int) -> list:
    """A residual for every point but the first, of a 1/scale grid."""
    draws = torch.Generator().manual_seed(3)
    grids = [(p.channels, -(-height // p.scale), -(-width // p.scale)) for p in backbone.points]
    return [None, *(torch.randn(2, *grid, generator=draws) for grid in grids[1:])]


@pytest.mark.parametrize("kind", ["unet", "sana"])
def test_calls_at_one_point_share_what_no_residual_reaches(kind):
    torch.manual_seed(0)
    backbone = build_backbone(4, params(kind, widths=[32, 64] if kind == "unet" else [32], depth=2)).eval()
    x, t = torch.randn(2, 4, 6, 10), torch.tensor([0.3, 0.9])
    given = [None, steered(backbone, 6, 10), None]
    calls = []
    hooks = [module.register_forward_hook(lambda *_: calls.append(1)) for module in backbone.modules()]
    with torch.no_grad():
        alone = [backbone(x, t, residuals) for residuals in given]
        apart = len(calls)
        calls.clear()
        shared = together(backbone, x, t, given)
    assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))
    assert not torch.equal(shared[0], shared[1])
    assert len(calls) < apart if kind == "unet" else len(calls) == apart
    for hook in hooks:
        hook.remove()
    assert not any("forward" in vars(module) for module in backbone.modules())  # nothing is remembered


def test_a_failure_in_between_leaves_nothing_remembered():
    backbone = build_backbone(4, params("unet")).eval()
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([0.5])
    with pytest.raises(TypeError):
        together(backbone, x, t, [None, "no residuals"])
    assert not any("forward" in vars(module) for module in backbone.modules())


def test_a_plugin_s_backbone_is_one_like_ours(plugin, filled):
    assert BACKBONES.names == ("unet", "sana", "zimage", "convolution")
    assert BACKBONES.module("convolution") == plugin.stem
    backbone = build_backbone(4, params("convolution"))
    assert backbone.net.kernel_size == (3, 3)
    adapter = CaAdapter(6, 4, backbone, AdapterParams(width=8, refiner_depth=1))
    link = type("Link", (), {"snr_db": torch.zeros(2), "bits": torch.ones(2)})()
    x_t, t, condition = torch.randn(2, 4, 5, 7), torch.rand(2), torch.randn(2, 6, 5, 7)
    alone = backbone(x_t, t)
    assert torch.equal(backbone(x_t, t, adapter(condition, link, x_t, t)), alone)
    assert not torch.allclose(backbone(x_t, t, filled(adapter)(condition, link, x_t, t)), alone, atol=1e-3)


def test_what_a_backbone_declares_decides_which_settings_act(plugin):
    text = {"source": "pretrained", "pretrained_path": "x", "caption_path": "y"}
    for reads in ("zimage", "convolution"):
        assert params(reads, **text).caption_path == "y"
    for reads_not in ("unet", "sana"):
        with pytest.raises(
            ValueError, match="caption_path is for backbone zimage or convolution with source pretrained"
        ):
            params(reads_not, **text)
    with pytest.raises(ValueError, match="caption_path is for backbone zimage or convolution with source pretrained"):
        params("convolution", caption_path="y")
    assert [kind.name for kind in BACKBONES if kind.start_stages] == ["zimage"]


def test_an_unknown_backbone_is_an_error_that_names_the_others():
    with pytest.raises(ValueError, match="unknown backbone 'dit': available: unet, sana, zimage"):
        params("dit")
    with pytest.raises(ValueError, match="unknown backbone 'u-net': did you mean unet"):
        params("u-net")


def test_what_backbones_there_are_is_told_without_torch():
    code = (
        "import sys; from jscgc.generator import params; params.BACKBONES.names; "
        "assert not {'torch', 'diffusers', 'numpy'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_backbone_is_a_source_of_what_builds_them():
    """A new file re-runs no training: only the stages of who names it depend on it."""
    sources = closure("jscgc.generator.backbones", "jscgc.generator.adapter", "jscgc.generator.params")
    assert {path.name for path in sources if path.parent.name == "kinds"} == {"__init__.py"}
