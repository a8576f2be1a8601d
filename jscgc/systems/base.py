"""What a system is, and the one way in which any of them transmits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from jscgc.channel.accounting import Bandwidth, bandwidth
from jscgc.channel.channels import get_channel
from jscgc.channel.noise import check_snr
from jscgc.channel.receiver import Received, equalise
from jscgc.channel.spec import canonical
from jscgc.config import SampleParams
from jscgc.flow.information import Information
from jscgc.flow.samplers import Samples
from jscgc.information import InformationRate, information_rate
from jscgc.latent.autoencoder import LatentSpace
from jscgc.seeding import derive

Control = Literal["none", "wrong_symbols", "unconditional"]


@dataclass(frozen=True)
class Sampling:
    """How a generative receiver samples; reconstruction receivers have nothing to sample.

    params: solver, steps, guidance. rng: draws the noise.
    """

    params: SampleParams
    rng: torch.Generator


@dataclass(frozen=True)
class Decoded:
    """A receiver's answer: photos [B,3,H,W] in [0,1], and the network evaluations spent (0: not generative)."""

    photos: Tensor
    nfe: int


class System(Protocol):
    """A transmitter and a receiver."""

    name: str
    rates: tuple[int, ...]
    """Complex symbols per 1/16 position that the model was trained to send."""
    generative: bool
    multiple: int
    """Images are padded to multiples of this many pixels."""
    own_steps: int | None
    """Sampling steps that the receiver takes whatever is asked for (0: it does not sample); None: as many as asked for."""

    def encode(self, photos: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """Photos [B,3,H,W] in [0,1] of any size -> complex symbols [B,rate,h,w] on the 1/16 grid, unit power per image."""
        ...

    def decode(
        self, received: Received, height: int, width: int, sampling: Sampling, conditioned: bool = True
    ) -> Decoded:
        """Received symbols -> photos of height x width pixels; a generative system can be told to ignore the symbols."""
        ...

    def information(self, photos: Tensor, received: Received, points: int, rng: torch.Generator) -> Tensor | None:
        """Estimate of I(X; Y_hat) in bits, float [B]; None for a system whose receiver has no velocity fields.

        It looks at the photos themselves: a measurement, of which the receiver learns nothing.
        """
        ...


@dataclass(frozen=True)
class Exchanged:
    """What a separated system makes of one transmission.

    photo: [3,H,W] in [0,1]. failed: the channel decoder gave up and the photo is what is then shown. details: the format
    that was chosen (modulation, rates, sizes). Times in milliseconds.
    """

    photo: Tensor
    failed: bool
    details: dict[str, float | str]
    encode_ms: float
    decode_ms: float


@runtime_checkable
class SeparatedSystem(Protocol):
    """Source code and channel code apart: the format depends on the link, and the code may be an ideal one."""

    name: str
    rates: tuple[int, ...]
    generative: bool
    multiple: int
    own_steps: int | None

    def exchange(self, photo: Tensor, link: Link, symbols: int, rng: torch.Generator) -> Exchanged:
        """Photo [3,H,W] over `symbols` data symbols of the link; the generator draws the channel.

        Raises:
            CannotOperate: no file of the photo is small enough for what the link can be trusted to carry.
        """
        ...


class LatentCodec(Protocol):
    """What a method that works on latents adds: latents -> symbols, and received symbols -> latents."""

    generative: bool
    own_steps: int | None

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """Normalised latents [B,C,h,w], average SNR [B] -> complex symbols [B,rate,h',w'] of unit power per image."""
        ...

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """Received symbols -> normalised latents; a generative receiver can be told to ignore the symbols."""
        ...

    def information(self, latents: Tensor, received: Received, points: int, rng: torch.Generator) -> Information | None:
        """Estimate of I(X; Y_hat) for latents and what was received of them; None without velocity fields."""
        ...


class LatentSystem:
    """The System made of a latent space and a LatentCodec."""

    def __init__(self, name: str, space: LatentSpace, codec: LatentCodec, rates: tuple[int, ...]) -> None:
        self.name, self.space, self.codec, self.rates = name, space, codec, rates
        self.generative, self.multiple, self.own_steps = codec.generative, space.multiple, codec.own_steps

    def encode(self, photos: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """As `System.encode`.

        Raises:
            ValueError: not a batch of photos, a rate that the model does not send, not one finite SNR per image.
        """
        check_photos(photos, "B3HW")
        check_rate(self, rate)
        check_snr(snr_db, len(photos))
        return self.codec.symbols(self.space.encode(photos), snr_db, rate)

    def decode(
        self, received: Received, height: int, width: int, sampling: Sampling, conditioned: bool = True
    ) -> Decoded:
        samples = self.codec.restore(received, sampling, conditioned)
        return Decoded(self.space.decode(samples.x0, height, width), samples.nfe)

    def information(self, photos: Tensor, received: Received, points: int, rng: torch.Generator) -> Tensor | None:
        found = self.codec.information(self.space.encode(photos), received, points, rng)
        return None if found is None else found.bits


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
            f"expected photos as float {shown} in [0,1] (jscgc.data.to_tensor makes them), "
            f"got {str(photos.dtype).removeprefix('torch.')} {list(photos.shape)}"
        )
    if not photos.numel():
        raise ValueError(f"an image needs at least one pixel, got shape {list(photos.shape)}")


def check_rate(system: System | SeparatedSystem, rate: int) -> None:
    """Whether the system can send `rate` symbols per 1/16 position; a ValueError says what it can."""
    if rate not in system.rates:
        allowed = ", ".join(f"{allowed}/768" for allowed in system.rates)
        raise ValueError(f"{system.name} was not trained to send cbr {rate}/768; it sends {allowed}")


@dataclass(frozen=True)
class Link:
    """One transmission's conditions: channel (see `channel.spec`), average SNR in dB, complex symbols per 1/16 position."""

    channel: str
    snr_db: float
    rate: int


@dataclass(frozen=True)
class OnAir:
    """The data symbols of one photo on their way, complex [rate,h,w] each; E|sent|^2 = 1.

    sent: what the transmitter sends. received: h y + n, as it meets the antenna. equalised: the linear MMSE estimate of the
    symbols by what the receiver believes of the channel.
    """

    sent: Tensor
    received: Tensor
    equalised: Tensor


@dataclass(frozen=True)
class Reception:
    """A transmitted photo.

    samples: [N,3,H,W] in [0,1], drawn independently for the one received signal; N = 1 for a system that does not sample.
    bandwidth: exact k (overhead included) and n. steps: that were taken for one sample. nfe: network evaluations of all
    samples. Times in milliseconds.
    """

    samples: Tensor
    bandwidth: Bandwidth
    steps: int
    nfe: int
    encode_ms: float
    decode_ms: float
    failed: bool = False
    """The channel decoder gave up; the photo is what is then shown."""
    details: dict[str, float | str] = field(default_factory=dict)
    """The format that a separated system chose."""
    information: InformationRate | None = None
    """Estimate of the information that arrived, if it was asked for and the system has an estimator."""
    on_air: OnAir | None = None
    """The symbols; None for a separated system, whose files travel by a code's own symbols."""

    @property
    def photo(self) -> Tensor:
        """The first sample, [3,H,W]."""
        return self.samples[0]

    @property
    def mean(self) -> Tensor:
        """The samples' mean, [3,H,W]: towards the posterior mean, of least squared error, as N grows.

        The squared error of the mean of N exact posterior samples is (1 + 1/N) times the least one: twice for N = 1 (Blau &
        Michaeli 2018).
        """
        return self.samples.mean(0)

    @property
    def spread(self) -> Tensor:
        """Standard deviation over the samples, [H,W], root mean square over colours: what the receiver made up.

        Raises:
            ValueError: fewer than two samples.
        """
        if len(self.samples) < 2:
            raise ValueError("an uncertainty map needs at least two samples")
        return self.samples.var(0).mean(0).sqrt()


def _milliseconds(start: float, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


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
) -> Reception:
    """Send one photo through the channel.

    Args:
        system: any System.
        photo: float [3,H,W] in [0,1].
        link: conditions.
        sample: how a generative receiver samples.
        samples: how many it draws; a system that does not sample gives one.
        information_points: above 0, also estimate I(X; Y_hat) with that many points of the integral.
        seed, key: the channel draw depends on (seed, key, link) alone: every method meets the same noise and fading.
        control: `wrong_symbols` receives the symbols of `other` (same size) instead, `unconditional` none at all; both
            show that it is the symbols that steer the receiver.
        other: the other photo, for `wrong_symbols`.

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
    start = time.perf_counter()
    symbols = system.encode(source[None], snr_db, link.rate)
    encode_ms = _milliseconds(start, device)
    assert symbols.numel() == spent.data

    output = channel(symbols, snr_db, noise)
    received = equalise(output)
    on_air = OnAir(symbols[0], output.received[0], received.estimate[0])
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
        rng = torch.Generator().manual_seed(derive(seed, "information", *names))
        bits = system.information(source[None], received, information_points, rng)
        information = None if bits is None else information_rate(bits.item(), spent, link.channel, link.snr_db)
    steps = sample.steps if system.own_steps is None else system.own_steps
    nfe = sum(d.nfe for d in decoded)
    return Reception(photos, spent, steps, nfe, encode_ms, decode_ms, information=information, on_air=on_air)
