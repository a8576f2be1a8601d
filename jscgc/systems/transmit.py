"""The one way in which any system transmits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.channel.accounting import bandwidth
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.channel.spec import canonical
from jscgc.flow.params import SampleParams
from jscgc.information import information_rate
from jscgc.seeding import derive
from jscgc.systems.base import Control, Link, OnAir, Reception, Sampling, SeparatedSystem, System


def check_photos(photos: Tensor, layout: str) -> None:
    """Whether these are photos, float [3,H,W] or [B,3,H,W] by `layout` (3HW or B3HW).

    Raises:
        ValueError: a list (photos of several sizes do not fit into one tensor), another shape or type, no pixels.
    """
    shown = f"[{','.join(layout)}]"
    if not isinstance(photos, Tensor):
        raise ValueError(
            f"expected photos as one float tensor {shown}, got a {type(photos).__name__}; "
            "photos of different sizes are sent one by one"
        )
    if photos.ndim != len(layout) or photos.shape[-3] != 3 or not photos.is_floating_point():
        raise ValueError(
            f"expected photos as float {shown} in [0,1] (jscgc.data.images.to_tensor makes them), "
            f"got {str(photos.dtype).removeprefix('torch.')} {list(photos.shape)}"
        )
    if not photos.numel():
        raise ValueError(f"an image needs at least one pixel, got shape {list(photos.shape)}")


def check_rate(system: System | SeparatedSystem, rate: int) -> None:
    """Whether the system can send `rate` symbols per 1/16 position; a ValueError says what it can."""
    if rate not in system.rates:
        allowed = ", ".join(f"{allowed}/768" for allowed in system.rates)
        raise ValueError(f"{system.name} was not trained to send cbr {rate}/768; it sends {allowed}")


def _milliseconds(start: float, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


@dataclass(frozen=True)
class Sent:
    """Symbols of one photo, complex [1,rate,h,w], and the milliseconds that they took when they were encoded."""

    symbols: Tensor
    encode_ms: float


Encode = Callable[[System, Tensor, Link], Sent]
"""`encode`, or what remembers its answers."""


@torch.no_grad()
def encode(system: System, photo: Tensor, link: Link) -> Sent:
    """The transmitter's part for one photo, float [3,H,W]: of the link it knows the SNR and the rate."""
    snr_db = torch.tensor([link.snr_db], device=photo.device)
    start = time.perf_counter()
    symbols = system.encode(photo[None], snr_db, link.rate)
    return Sent(symbols, _milliseconds(start, photo.device))


@torch.no_grad()
def transmit(
    system: System | SeparatedSystem,
    photo: Tensor,
    link: Link,
    *,
    sample: SampleParams,
    seed: int,
    key: str = "",
    samples: int = 1,
    information_points: int = 0,
    control: Control = "none",
    other: Tensor | None = None,
    encode: Encode = encode,
) -> Reception:
    """Send one photo through the channel.

    Args:
        system: any System.
        photo: float [3,H,W] in [0,1].
        link: conditions.
        sample: how a generative receiver samples.
        samples: how many it draws; a system that does not sample gives one.
        information_points: above 0, also measure I(X; Y_hat) with that many points of the integral; its control are the symbols
            of `other`, sent over the same link with noise and fading of their own.
        seed, key: the channel draw depends on (seed, key, link) alone: every method meets the same noise and fading.
        control: `wrong_symbols` receives the symbols of `other` (same size) instead, `unconditional` none at all; both
            show that it is the symbols that steer the receiver.
        other: the other photo (same size), for `wrong_symbols` and the control of `information_points`.
        encode: the transmitter; one that remembers answers with the time that encoding took when it was done.

    Raises:
        ValueError: not a photo, a rate that the model does not send, an unknown channel, an SNR that is not finite,
            fewer samples than one; CannotOperate, if no file of a separated system fits into the link.
    """
    check_photos(photo, "3HW")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if not -100 <= link.snr_db <= 100:
        raise ValueError(f"snr_db must be a finite number of decibels in -100..100, got {link.snr_db}")
    check_rate(system, link.rate)
    channel = get_channel(link.channel)
    height, width = photo.shape[-2:]
    spent = bandwidth(height, width, link.rate, system.multiple, channel.overhead)
    device = photo.device
    snr_db = torch.tensor([link.snr_db], device=device)
    source = photo
    if control == "wrong_symbols":
        assert other is not None and other.shape == photo.shape
        source = other

    names = (key, canonical(link.channel), float(link.snr_db), link.rate)
    noise = torch.Generator().manual_seed(derive(seed, "channel", *names))
    if isinstance(system, SeparatedSystem):
        sent = system.exchange(source, link, spent.data, noise)
        arrived, times = sent.photo[None].to(device), (sent.encode_ms, sent.decode_ms)
        return Reception(arrived, spent, 0, 0, *times, failed=sent.failed, details=sent.details)
    source_sent = encode(system, source, link)
    assert source_sent.symbols.numel() == spent.data

    output = channel(source_sent.symbols, snr_db, noise)
    received = equalise(output)
    on_air = OnAir(source_sent.symbols[0], output.received[0], received.estimate[0])
    sampling = Sampling(sample, torch.Generator().manual_seed(derive(seed, "sampler", *names)))
    start = time.perf_counter()
    # One after another: the memory of one, and the first is the same however many follow.
    decoded = [
        system.decode(received, height, width, sampling, conditioned=control != "unconditional")
        for _ in range(samples if system.generative else 1)
    ]
    decode_ms = _milliseconds(start, device)
    photos = torch.cat([d.photos for d in decoded]).clamp(0, 1)
    information = None
    if information_points:
        assert other is not None and other.shape == photo.shape
        wrong_noise, rng = (
            torch.Generator().manual_seed(derive(seed, name, *names)) for name in ("information control", "information")
        )
        wrong_sent = encode(system, photo if source is other else other, link)
        wrong = equalise(channel(wrong_sent.symbols, snr_db, wrong_noise))
        found = system.information(source[None], received, wrong, information_points, rng)
        information = None if found is None else information_rate(found, spent, link.channel, link.snr_db)
    steps = sample.steps if system.own_steps is None else system.own_steps
    nfe = sum(d.nfe for d in decoded)
    times = source_sent.encode_ms, decode_ms
    return Reception(photos, spent, steps, nfe, *times, information=information, on_air=on_air)
