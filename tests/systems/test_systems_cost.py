"""What a receiver costs, against torch's own counter and against the sizes of its parts; and that counting changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tested_methods import METHODS
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from jscgc.flow.params import SampleParams
from jscgc.systems.base import Decoded, Link
from jscgc.systems.cost import Cost, counted
from jscgc.systems.latent import LatentSystem
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit

GRADIENTS = "diffcom"
"""The method that takes gradients when it receives; its encoder is part of the receiver."""


@pytest.fixture(scope="module", params=METHODS)
def system(request: pytest.FixtureRequest, models: Path) -> LatentSystem:
    found = load_system(request.param, models)
    assert isinstance(found, LatentSystem)
    return found


def send(system: LatentSystem, size: tuple[int, int] = (32, 48), samples: int = 1) -> Tensor:
    photo = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    sample = SampleParams(steps=2, guidance=1.5)
    return transmit(system, photo, Link("awgn", 5.0, 4), sample=sample, seed=0, samples=samples).samples


def cost_of(system: LatentSystem, **how: Any) -> Cost:
    with counted(system) as cost:
        send(system, **how)
    return cost


def test_counting_changes_no_bit(system: LatentSystem) -> None:
    before = send(system)
    with counted(system) as cost:
        counting = send(system)
    assert torch.equal(counting, before) and torch.equal(send(system), before)
    assert cost.parameters > 0 and cost.flops > 0


def test_parameters_are_those_of_the_receivers_parts(system: LatentSystem) -> None:
    """All but the transmitter's, each once however often it is read."""
    every = [(f"codec.{name}", parameter) for name, parameter in system.codec.named_parameters()]
    every += [(f"vae.{name}", parameter) for name, parameter in system.space.vae.named_parameters()]
    sent_by = ("vae.encoder.",) if system.name == GRADIENTS else ("vae.encoder.", "encoder.")
    receives = {
        id(parameter): parameter.numel() for name, parameter in every if not any(part in f"{name}." for part in sent_by)
    }
    assert cost_of(system).parameters == sum(receives.values())


def test_of_a_codec_on_latents_it_is_its_decoder_and_the_vaes(models: Path) -> None:
    system = load_system("mambajscc_psnr", models)
    assert isinstance(system, LatentSystem)
    decoders = (system.codec.get_submodule("decoder"), system.space.vae.get_submodule("decoder"))
    assert cost_of(system).parameters == sum(p.numel() for part in decoders for p in part.parameters())


def test_operations_are_those_of_torchs_counter(system: LatentSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which follows modules too, and fails where gradients are taken; of the receiver alone, not the transmitter."""
    if system.name == GRADIENTS:
        assert cost_of(system).flops > 3 * prior_flops(system)  # forward, and the gradient through it
        return
    found = cost_of(system).flops
    decode, total = system.decode, []

    def counting(*arguments: Any, **named: Any) -> Decoded:
        with FlopCounterMode(display=False) as counter:
            decoded = decode(*arguments, **named)
        total.append(counter.get_total_flops())
        return decoded

    monkeypatch.setattr(system, "decode", counting)
    send(system)
    assert found == sum(total) > 0


def prior_flops(system: LatentSystem) -> int:
    """Of the prior's steps alone, without the gradients."""
    net = system.codec
    assert isinstance(net, torch.nn.Module)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.get_submodule("prior.backbone")(torch.zeros(1, 4, 4, 6), torch.zeros(1))
    steps = system.own_steps
    assert steps == 2
    return int(counter.get_total_flops()) * steps


def test_a_larger_photo_and_more_samples_cost_more_with_the_same_parameters(models: Path) -> None:
    system = load_system("jscgc", models)
    assert isinstance(system, LatentSystem)
    one, larger, two = cost_of(system), cost_of(system, size=(64, 96)), cost_of(system, samples=2)
    assert one.parameters == larger.parameters == two.parameters
    assert larger.flops > 3.9 * one.flops and two.flops == 2 * one.flops


def test_an_operation_on_the_matrix_is_counted_by_its_formula(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = load_system("mambajscc_psnr", models)
    assert isinstance(system, LatentSystem)
    weight = torch.nn.Parameter(torch.ones(5, 7))

    def decode(received: object, height: int, width: int, *_: object) -> Decoded:
        (torch.ones(3, 5) @ weight).sum().backward()
        return Decoded(torch.zeros(1, 3, height, width), 0)

    monkeypatch.setattr(LatentSystem, "decode", lambda self, *a, **k: decode(*a))
    with counted(system) as cost, torch.enable_grad():
        system.decode(None, 8, 8)  # type: ignore[arg-type]
    # a multiply-add is two; backwards the weight's gradient, of the same size
    assert (cost.parameters, cost.flops) == (35, 2 * 2 * 3 * 5 * 7)


def test_the_system_is_as_it_was_afterwards_also_after_an_error(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = load_system("mambajscc_psnr", models)
    assert isinstance(system, LatentSystem)
    with counted(system):
        assert "decode" in vars(system)
    assert "decode" not in vars(system)
    with pytest.raises(RuntimeError, match="stopped"), counted(system) as cost:
        raise RuntimeError("stopped")
    assert "decode" not in vars(system) and (cost.parameters, cost.flops) == (0, 0)

    def fails(*_: object, **__: object) -> Decoded:
        raise RuntimeError("in the receiver")

    monkeypatch.setattr(LatentSystem, "decode", fails)
    with pytest.raises(RuntimeError, match="in the receiver"), counted(system):
        send(system)
    assert "decode" not in vars(system) and torch.zeros(2).add(1).sum() == 2


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1)])
def test_a_strip_costs_what_as_many_blocks_cost_in_a_square(system: LatentSystem, size: tuple[int, int]) -> None:
    """1x1000 is padded to 63 blocks of 16x16, 128x128 has 64 (of 32x32: 32 and 16); whole transmissions, transmitter included."""

    def flops(of: tuple[int, int]) -> float:
        if system.name == GRADIENTS:  # torch's counter can't follow them; its receiver has the transmitter in it
            return cost_of(system, size=of).flops
        with FlopCounterMode(display=False) as counter:
            send(system, size=of)
        return counter.get_total_flops()

    assert flops(size) <= 2 * flops((128, 128))
