"""JSCGC as a library: `jscgc.load("jscgc").transmit(photo, snr_db=5, cbr="2/768")`. Importing this loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from jscgc.channel.accounting import parse_rate
from jscgc.data.images import Pixels, open_photo, save_png, to_photo, to_tensor, upright
from jscgc.device import resolve_device
from jscgc.files import SHIPPED
from jscgc.flow.params import SampleParams, untold
from jscgc.systems.base import Link, Reception, SeparatedSystem, System
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit


@dataclass(frozen=True)
class Transmission:
    """A photograph that crossed the channel.

    sent, received: uint8 [H,W,3], sRGB. reception: all that is known of it: every sample, their mean and spread, the exact price
    (`bandwidth`), times in milliseconds, the symbols on air.
    """

    sent: Pixels
    received: Pixels
    reception: Reception

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio of the received 8-bit photograph; infinite if nothing was lost."""
        error = float(np.mean(np.square(self.sent.astype(np.float64) - self.received)))
        return 10 * float(np.log10(255**2 / error)) if error else float("inf")

    @property
    def cbr(self) -> float:
        """Channel bandwidth ratio k / n, padding and overhead included."""
        return self.reception.bandwidth.cbr

    def save(self, path: str | Path) -> None:
        """Write the received photograph as PNG.

        Raises:
            OSError: it can't be written.
        """
        save_png(self.received, Path(path))


class Transceiver:
    """A trained transmitter and its receiver; `load` makes one."""

    def __init__(self, system: System | SeparatedSystem, device: torch.device) -> None:
        self.system, self.device = system, device

    @property
    def cbrs(self) -> tuple[str, ...]:
        """What can be sent, such as `2/768`."""
        return tuple(f"{rate}/768" for rate in self.system.rates)

    def transmit(
        self,
        photo: str | Path | Image.Image | Pixels,
        *,
        snr_db: float,
        cbr: str,
        channel: str = "awgn",
        samples: int = 1,
        sample: SampleParams | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> Transmission:
        """Send a photograph.

        Args:
            photo: a file, a Pillow image, or uint8 [H,W,3]; any size.
            snr_db: average signal-to-noise ratio in decibels, -100 to 100.
            cbr: channel uses per source dimension, such as `8/768`; see `cbrs`.
            channel: a name with its options, such as `rayleigh_block:csi=lmmse` (`jscgc info` lists them).
            samples: how many a generative receiver draws; `received` is the first.
            sample: steps, guidance and solver; None: as `jscgc transmit` has them for so many samples.
            seed: of channel and sampler. A file sent with the same seed arrives as through `jscgc transmit`, bit for bit.
            name: of the photograph, which enters the channel's draw; None: its file's, of anything else empty.

        Raises:
            ValueError: no readable photograph, an unknown channel, a CBR that is not sent; CannotOperate, if no file of a codec
                is small enough for the link.
        """
        own, sent = _pixels(photo)
        key = own if name is None else name
        link = Link(channel, float(snr_db), parse_rate(cbr, self.system.rates))
        sampling = sample or untold(samples)
        tensor = to_tensor(sent).to(self.device)
        reception = transmit(self.system, tensor, link, sample=sampling, seed=seed, key=key, samples=samples)
        return Transmission(sent, to_photo(reception.photo.cpu()), reception)


def load(
    method: str = "jscgc", models: str | Path = SHIPPED, device: str = "auto", precision: str = "auto"
) -> Transceiver:
    """A method ready to send.

    Args:
        method: a name that `jscgc info` lists.
        models: folder of trained models; those that come with the package unless told otherwise.
        device: auto, cpu or cuda.
        precision: auto, float32 or bfloat16, as `jscgc transmit` has it.

    Raises:
        ValueError: an unknown method (the message has the nearest) or precision, one that is not trained there, or cuda without a
            GPU.
    """
    on = resolve_device(device)
    return Transceiver(load_system(method, Path(models), on, precision), on)


def _pixels(photo: str | Path | Image.Image | Pixels) -> tuple[str, Pixels]:
    """The name that enters the channel's draw, and the pixels."""
    if isinstance(photo, str | Path):
        return Path(photo).name, open_photo(Path(photo))
    if isinstance(photo, Image.Image):
        return "", upright(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"expected a photograph as uint8 [H,W,3], got {photo.dtype} {list(photo.shape)}")
    return "", photo
