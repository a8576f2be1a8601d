"""What a loss really optimises: how a linear encoder trained by it shares its power between components.

A Gaussian component of variance l_i sent with power P_i over AWGN has posterior variance c_i = l_i / (1 + P_i / sigma^2). The
loss (4) with uniform t is (pi/2) sum sqrt(c_i), with the likelihood weighting 0.5 sum ln c_i and a constant, least squares
sum c_i. At a given total power the optimum is (1 + P_i / sigma^2) ~ l_i^a with a = 1/3, 0 and 1/2 (docs/theory.md). The
encoder is trained here by gradient descent through power normalisation, channel and equaliser, by the losses that train the
systems; only the receiver's field is the exact one, so that what is measured is the loss and no network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jscgc.channel.accounting import normalise_power
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.flow.gaussian import gaussian_velocity
from jscgc.flow.objective import flow_matching_loss
from jscgc.flow.times import Times
from jscgc.theory.check import Check
from jscgc.theory.solvers import stream

VARIANCES = (2.0, 1.4, 1.0, 0.7, 0.5, 0.35)
SNR_DB = 12.0
IMAGES, SIDE = 64, 24
STEPS, AVERAGED = 300, 150
LOSSES: dict[str, float] = {"loss (4), uniform t": 1 / 3, "likelihood weighting": 0.0, "least squares": 1 / 2}


def _received(x: Tensor, log_power: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Posterior mean [B,C,h,w] and variance [C,1,1] of x [B,C,h,w] after transmission; pairs of images share a symbol's axes."""
    variances = torch.tensor(VARIANCES)[:, None, None]
    power = len(VARIANCES) * torch.softmax(log_power, 0)[:, None, None]
    gain = (power / variances).sqrt() / 2**0.5
    symbols = normalise_power(torch.complex(gain * x[0::2], gain * x[1::2]))
    snr_db = torch.full((len(symbols),), SNR_DB)
    received = equalise(get_channel("awgn")(symbols, snr_db, stream(1000 + step))).estimate
    # Undo the equaliser's shrinking: y = s + n, then the posterior of a Gaussian on each axis.
    noise_var = 10 ** (-SNR_DB / 10)
    y = torch.stack([received.real, received.imag], 1).flatten(0, 1) * (1 + noise_var)
    snr = power / noise_var
    return y / gain * snr / (1 + snr), variances / (1 + snr)


def _flow(times: Times) -> Callable[[Tensor, Tensor, Tensor, int], Tensor]:
    def loss(x: Tensor, mean: Tensor, variance: Tensor, step: int) -> Tensor:
        return flow_matching_loss(gaussian_velocity(mean, variance), x, stream(2000 + step), times)

    return loss


def _squares(x: Tensor, mean: Tensor, variance: Tensor, step: int) -> Tensor:
    return (x - mean).square().mean()


def train_powers(name: str) -> Tensor:
    """1 + P_i / sigma^2 of an encoder trained by a loss of LOSSES, averaged over the last steps."""
    losses = {
        "loss (4), uniform t": _flow(Times()),
        "likelihood weighting": _flow(Times(weight_power=1.0)),
        "least squares": _squares,
    }
    log_power = torch.zeros(len(VARIANCES), requires_grad=True)
    optimiser = torch.optim.Adam([log_power], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    deviations = torch.tensor(VARIANCES).sqrt()[:, None, None]
    kept = []
    for step in range(STEPS):
        x = deviations * torch.randn(IMAGES, len(VARIANCES), SIDE, SIDE, generator=stream(step))
        mean, variance = _received(x, log_power, step)
        optimiser.zero_grad()
        losses[name](x, mean, variance, step).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step >= STEPS - AVERAGED:
            kept.append(log_power.detach().clone())
    power = len(VARIANCES) * torch.softmax(torch.stack(kept).mean(0), 0)
    return 1 + power * 10 ** (SNR_DB / 10)


def allocation() -> tuple[list[Check], dict[str, Any]]:
    """The exponent of each loss, and the powers for the figure."""
    checks, shown = [], {}
    for name, exponent in LOSSES.items():
        powers = train_powers(name)
        measured = float(np.polyfit(np.log(VARIANCES), powers.log().numpy(), 1)[0])
        statement = f"1 + P/sigma^2 ~ variance^a, encoder trained by {name}: a"
        checks.append(Check(statement, exponent, measured, 0.03 * max(exponent, 1 / 3), "docs/theory.md"))
        shown[name] = {"variance": list(VARIANCES), "one_plus_snr": powers.tolist(), "exponent": exponent}
    return checks, shown
