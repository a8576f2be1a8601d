"""The links of training: channel, SNR and rate drawn anew at every step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.channel.channels import Received, equalise, get_channel
from jscgc.config import LinkParams


@dataclass(frozen=True)
class DrawnLink:
    """Conditions of a training batch: one channel and rate for all, one average SNR [B] per image."""

    channel: str
    snr_db: Tensor
    rate: int

    def send(self, symbols: Tensor, generator: torch.Generator) -> Received:
        """Channel and equaliser; differentiable in the symbols (paper, eq. 6)."""
        return equalise(get_channel(self.channel)(symbols, self.snr_db, generator))


def draw_link(params: LinkParams, batch: int, generator: torch.Generator, device: torch.device) -> DrawnLink:
    """Channel and rate uniform over the lists, SNR uniform in its range."""
    channel = int(torch.randint(len(params.channels), (), generator=generator))
    rate = int(torch.randint(len(params.rates), (), generator=generator))
    low, high = params.snr_db
    snr_db = low + (high - low) * torch.rand(batch, generator=generator)
    return DrawnLink(params.channels[channel], snr_db.to(device), params.rates[rate])
