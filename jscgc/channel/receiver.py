"""The receiver's front end: linear equalisation, and the real planes that its networks see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.channel.base import ChannelOutput
from jscgc.channel.noise import per_image


@dataclass(frozen=True)
class Received:
    """Symbols as the receiver's networks see them.

    estimate: linear MMSE estimate of the symbols, complex [B,c,h,w].
    reliability: in [0,1), float [B,c,h,w]: the share of a symbol's power that survived, as the receiver believes.
    snr_db: the average SNR that the receiver believes in, float [B].
    """

    estimate: Tensor
    reliability: Tensor
    snr_db: Tensor

    @property
    def bits(self) -> Tensor:
        """What the symbols can carry, bits per position, float [B]: the mean over positions of sum log2(1 + SNR) over symbols.

        With rho = SNR / (1 + SNR) that is -sum log2(1 - rho): one number for what SNR, rate and fading leave together.
        """
        return -torch.log2((1 - self.reliability).clamp_min(1e-6)).sum(1).flatten(1).mean(1)


def shrunk(output: ChannelOutput) -> tuple[Tensor, Tensor]:
    """h as the receiver expects it, and the variance of what is left: the belief, less what of it is its own error.

    Least squares, h_hat = h + e with e of variance v uncorrelated with h, has E h h_hat* = E|h|^2 = 1 (the receiver knows the
    average power with the average SNR) and E|h_hat|^2 = 1 + v: E[h | h_hat] = h_hat / (1 + v), off by v / (1 + v).
    """
    if output.shrunk:
        return output.gain, output.gain_var
    share = 1 / (1 + output.gain_var)
    return share * output.gain, share * output.gain_var


def equalise(output: ChannelOutput) -> Received:
    """Linear MMSE equalisation of symbols [B,c,h,w] with E|x|^2 = 1, by what the receiver believes.

    y = h x + n with h = h_hat + e, e of variance v uncorrelated with h_hat (see `shrunk`): E x y* = h_hat* and E|y|^2 =
    |h_hat|^2 + v + sigma^2, hence x_hat = conj(h_hat) y / (|h_hat|^2 + v + sigma^2), and the reliability is |h_hat|^2 over the
    same: one minus the mean squared error, where the beliefs are right.
    """
    gain, gain_var = shrunk(output)
    gain_power = gain.abs().square()
    total = gain_power + gain_var + per_image(output.noise_var, output.received.ndim)
    return Received(
        estimate=gain.conj() * output.received / total,
        reliability=(gain_power / total).expand(output.received.shape),
        snr_db=-10 * torch.log10(output.noise_var),
    )


def features(received: Received, rates: int) -> Tensor:
    """Real feature planes float [B, 3 rates, h, w] for c <= rates symbols per position: real, imaginary, reliability.

    Symbols that were not sent read as an estimate of 0 with reliability 0, exactly like symbols lost in a deep fade: one
    receiver serves every rate, SNR and fading law.
    """
    estimate, reliability = received.estimate, received.reliability
    missing = rates - estimate.shape[1]
    if missing < 0:
        raise ValueError(f"{estimate.shape[1]} symbols per position arrived, this receiver reads {rates}")
    planes = [estimate.real, estimate.imag, reliability]
    return torch.cat([torch.nn.functional.pad(p, (0, 0, 0, 0, 0, missing)) for p in planes], dim=1)
