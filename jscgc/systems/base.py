"""What a system is: photo in, received photo out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from jscgc.channel.accounting import Bandwidth
from jscgc.channel.receiver import Received

if TYPE_CHECKING:
    from jscgc.flow.information import Information
    from jscgc.flow.params import SampleParams
    from jscgc.flow.samplers import Samples
    from jscgc.information import InformationRate

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

    def information(
        self, photos: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> Information | None:
        """What is measured of I(X; Y_hat); None for a system whose receiver has no velocity fields.

        It looks at the photos themselves: a measurement, of which the receiver learns nothing. `wrong`: what was received of
        other photos of the same size, for the control.
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

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> Information | None:
        """What is measured of I(X; Y_hat) for latents and what was received of them, `wrong` of others; None without velocity
        fields."""
        ...


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
    """What was measured of the information that arrived, if it was asked for and the system has velocity fields."""
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

    def spread_over_error(self, photo: Tensor) -> float | None:
        """Variance of the samples over what it must be, from the squared error of their mean to the sent photo [3,H,W].

        1 in the mean for exact posterior samples: the original is one more of them, so that the squared error of the mean of N is
        (1 + 1/N) times their variance. Below 1 the samples are more alike than they are right: the uncertainty map understates.
        What an autoencoder loses of every photo is error, too, and no sample shows it. None where there is no error.

        Raises:
            ValueError: fewer than two samples.
        """
        if len(self.samples) < 2:
            raise ValueError("spread over error needs at least two samples")
        variance = self.samples.var(0).mean().item()
        error = (self.mean - photo).square().mean().item()
        return (1 + 1 / len(self.samples)) * variance / error if error else None
