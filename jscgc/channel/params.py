"""Section `link` of params.yaml, and a channel as any section names it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from jscgc.channel.spec import KINDS, canonical, parse_channel
from jscgc.config import Rate, Section

ChannelName = Annotated[str, AfterValidator(canonical)]
"""A channel with its options, `NAME:key=value,...`, kept as its canonical text."""


class Condition(Section):
    """One link: a channel, an SNR in dB and complex symbols per 1/16 position."""

    channel: ChannelName
    snr_db: float
    rate: Rate

    @property
    def place(self) -> tuple[str, float, int]:
        return self.channel, self.snr_db, self.rate


class LinkParams(Section):
    """What training transmits over: SNR and rate are drawn anew for every image, the channel for every batch."""

    channels: Annotated[list[ChannelName], Field(min_length=1)]
    snr_db: tuple[float, float]
    """Lowest and highest SNR in dB, uniform in between."""
    rates: Annotated[list[Rate], Field(min_length=1)]
    """Complex symbols per 1/16 position to train for; symbols are ordered, a prefix is a valid transmission."""

    def named(self) -> tuple[str, ...]:
        return tuple(KINDS.module(parse_channel(channel).name) for channel in self.channels)

    def covers(self, channel: str, snr_db: float, rate: int) -> bool:
        """Whether a condition is one of this link's; the channel is named as canonical text."""
        lowest, highest = self.snr_db
        return channel in self.channels and lowest <= snr_db <= highest and rate in self.rates

    @property
    def breadth(self) -> tuple[float, int, int]:
        """How wide it is, in SNR first, then in rates, then in channels: the narrowest that covers a condition is the nearest."""
        return self.snr_db[1] - self.snr_db[0], len(set(self.rates)), len(set(self.channels))

    @model_validator(mode="before")
    @classmethod
    def _range(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("snr_db"), list):
            values = {**values, "snr_db": tuple(values["snr_db"])}
        return values

    @model_validator(mode="after")
    def _ordered(self) -> LinkParams:
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError(f"snr_db must be [lowest, highest], got {list(self.snr_db)}")
        for channel in self.channels:
            # One training batch holds many rates, planes not sent being zero: the moments of such an image tell no SNR.
            if parse_channel(channel).snr == "blind":
                raise ValueError(
                    f"channels: {channel} is for evaluation; train with snr=told, the same model serves blind"
                )
        return self
