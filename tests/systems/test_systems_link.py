"""Nothing but the received symbols and declared constants reaches the receiver; and what a user may get wrong at the link."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tested_methods import METHODS
from torch import Tensor, nn

from jscgc.channel.accounting import SIDE_INFORMATION_BITS, bandwidth
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import Received, equalise
from jscgc.flow.params import SampleParams
from jscgc.systems.base import Link, Sampling
from jscgc.systems.latent import LatentSystem
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit

SNR_DB = torch.tensor([5.0])
ONE_STEP = SampleParams(steps=1, guidance=1.0)


def photo(height: int = 32, width: int = 48, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def receive(system: LatentSystem, picture: Tensor, channel: str = "rayleigh_fast", seed: int = 1) -> Received:
    """Transmitter and channel, as `transmit` runs them."""
    with torch.no_grad():
        symbols = system.encode(picture[None], SNR_DB, 4)
        return equalise(get_channel(channel)(symbols, SNR_DB, torch.Generator().manual_seed(seed)))


def decode(system: LatentSystem, received: Received) -> Tensor:
    with torch.no_grad():
        sampling = Sampling(SampleParams(steps=2, guidance=1.5), torch.Generator().manual_seed(2))
        return system.decode(received, 32, 48, sampling).photos


def state(thing: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Every number, text and tensor that can be reached from an object by its attributes and containers."""
    seen = set() if seen is None else seen
    if isinstance(thing, (int, float, str, bytes, Tensor, type(None))):
        yield path, thing
        return
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, dict):
        parts = thing.items()
    elif isinstance(thing, (list, tuple, set)):
        parts = enumerate(thing)
    elif type(thing).__module__.startswith(("jscgc", "torch.nn", "diffusers")):
        parts = vars(thing).items() if hasattr(thing, "__dict__") else ()
    else:
        return
    for key, part in parts:
        yield from state(part, f"{path}.{key}", seen)


def transmitter(system: LatentSystem) -> nn.Module:
    """The network from latents to symbols."""
    parts = {"diffjscc": "codec", "diffcom": "codec", "jscgc_fast": "net", "jscgc_one_step": "net"}
    inside = parts.get(system.name)
    return (getattr(system.codec, inside) if inside else system.codec).encoder


@pytest.fixture(params=METHODS)
def method(request) -> str:
    return request.param


def test_a_receiver_that_never_saw_encode_receives_the_same(method, models):
    sender, other = load_system(method, models), load_system(method, models)
    received = receive(sender, photo())
    assert torch.equal(decode(other, received), decode(sender, received))


def test_transmission_leaves_nothing_behind(method, models):
    sender, fresh = load_system(method, models), load_system(method, models)
    receive(sender, photo())
    left, clean = dict(state(sender)), dict(state(fresh))
    assert left.keys() == clean.keys() and len(clean) > 10
    for path, value in clean.items():
        same = torch.equal(left[path], value) if isinstance(value, Tensor) else left[path] == value
        assert same, path


# DiffCom's receiver has a copy of the encoder, the linear code's the same transform: constants of the session.
@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("diffcom", "klt")])
def test_whatever_a_transmitter_could_leave_behind_has_no_say(method, models):
    system = load_system(method, models)
    received = receive(system, photo())
    expected = decode(system, received)
    # Another photo goes through the same object, and everything that only a transmitter has is overwritten.
    receive(system, photo(seed=7))
    rng = torch.Generator().manual_seed(3)
    networks = [transmitter(system)] + [m for name, m in system.space.vae.named_children() if "enc" in name]
    assert len(networks) > 1 or system.space.vae.factor == 1
    with torch.no_grad():
        for network in networks:
            for tensor in [*network.parameters(), *network.buffers()]:
                tensor.copy_(torch.randn(tensor.shape, generator=rng))
            network.last_photo = photo(seed=8)
    assert torch.equal(decode(system, received), expected)
    assert not torch.equal(receive(system, photo()).estimate, received.estimate)


@pytest.mark.parametrize("channel", ["awgn", "rayleigh_block:csi=lmmse,snr=blind"])
def test_photos_that_send_the_same_symbols_are_received_the_same(method, models, channel):
    system = load_system(method, models)
    received = receive(system, photo(), channel)
    expected = decode(system, received)
    receive(system, photo(seed=9), channel)
    assert torch.equal(decode(system, Received(*(t.clone() for t in vars(received).values()))), expected)


def test_every_symbol_has_a_say(method, models):
    system = load_system(method, models)
    received = receive(system, photo(), "awgn")
    expected = decode(system, received)
    for index in [(0, 0, 0, 0), (0, 3, 1, 2)]:
        estimate = received.estimate.clone()
        estimate[index] += 1
        changed = decode(system, Received(estimate, received.reliability, received.snr_db))
        assert not torch.equal(changed, expected)


def test_the_receiver_is_told_the_snr_it_believes_in_and_no_other(models):
    system = load_system("jscgc", models)
    told, misled = receive(system, photo(), "awgn"), receive(system, photo(), "awgn:snr=+3")
    assert (told.snr_db - SNR_DB).abs().item() < 1e-4 and (misled.snr_db - SNR_DB - 3).abs().item() < 1e-4


def test_there_is_no_side_information():
    assert SIDE_INFORMATION_BITS == 0


# Every channel end to end, at its exact price.

CHANNELS = [
    "rician_block:csi=lmmse,pilots=4",
    "rician_fast:k_db=0,csi=none",
    "tdl_c:csi=ls,snr=blind",
    "cdl_d:csi=lmmse,subcarriers=12",
]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("size", [(1, 1), (17, 33)], ids=str)
def test_any_size_over_any_channel_comes_back_with_the_overhead_in_its_price(models, channel, size):
    system = load_system("jscgc", models)
    reception = transmit(system, photo(*size), Link(channel, 5.0, 4), sample=ONE_STEP, seed=0)
    assert reception.photo.shape == (3, *size) and torch.isfinite(reception.photo).all()
    spent = bandwidth(*size, 4, overhead=get_channel(channel).overhead)
    assert reception.bandwidth == spent and spent.k == spent.data + spent.overhead
    assert (spent.overhead == 0) == ("fast" in channel)


def test_equal_channels_in_other_words_are_the_same_transmission(models):
    system = load_system("mambajscc_psnr", models)
    first, second = (
        transmit(system, photo(), Link(channel, 5.0, 4), sample=ONE_STEP, seed=0).photo
        for channel in ("rician_block", "rician_block:csi=perfect,k_db=6.0")
    )
    assert torch.equal(first, second)


# Wrong input: one clear line.

WRONG_PHOTOS = [
    ([photo(), photo(16, 16)], "got a list; photos of different sizes are sent one by one"),
    (photo()[:1], r"got float32 \[1, 32, 48\]"),
    (photo()[0], r"got float32 \[32, 48\]"),
    (photo()[None, None], r"got float32 \[1, 1, 3, 32, 48\]"),
    ((255 * photo()).to(torch.uint8), r"float .* in \[0,1\] \(jscgc.data.images.to_tensor makes them\), got uint8"),
    (torch.zeros(3, 0, 8), r"at least one pixel, got shape \[3, 0, 8\]"),
]


@pytest.mark.parametrize("picture, said", WRONG_PHOTOS, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_no_photo_is_refused(models, picture, said):
    system = load_system("mambajscc_psnr", models)
    with pytest.raises(ValueError, match=said) as caught:
        transmit(system, picture, Link("awgn", 5.0, 4), sample=ONE_STEP, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pictures, snr_db, rate, said",
    [
        ([photo(), photo(16, 16)], SNR_DB, 4, "photos of different sizes are sent one by one"),
        (photo(), SNR_DB, 4, r"float \[B,3,H,W\]"),
        (torch.zeros(1, 3, 8, 0), SNR_DB, 4, "at least one pixel"),
        (photo()[None], torch.zeros(2), 4, r"one value per image, shape \[1\], got shape \[2\]"),
        (photo()[None], torch.tensor([math.nan]), 4, "finite numbers of decibels"),
        (photo()[None], SNR_DB, 3, "was not trained to send cbr 3/768; it sends 2/768, 4/768"),
    ],
)
def test_encode_refuses_what_it_cannot_send(models, pictures, snr_db, rate, said):
    with pytest.raises(ValueError, match=said):
        load_system("mambajscc_psnr", models).encode(pictures, snr_db, rate)


@pytest.mark.parametrize("channel", ["rician_blok", "rayleigh_fast:csi=ls", "tdl_c:delay_spread=3"])
def test_a_channel_that_is_none_is_refused(models, channel):
    with pytest.raises(ValueError, match=r"did you mean|can't be estimated"):
        transmit(load_system("mambajscc_psnr", models), photo(), Link(channel, 5.0, 4), sample=ONE_STEP, seed=0)
