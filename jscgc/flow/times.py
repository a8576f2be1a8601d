"""At which t the loss looks, and how much each t counts.

Law p(t) of the times and weight w(t) of the error there give the objective int p(t) w(t) E|error|^2 dt. Times are drawn with
density proportional to p w, and the mean of the errors is multiplied by Z = int p w dt: the same expectation with less
variance, and no single weight is ever large.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Law = Literal["uniform", "logit_normal", "shifted"]
EDGE = 1e-5
"""Of uniform times: no t is nearer to 0 or 1."""
LOG_SNR = 7.0
"""Of any other density: ln((1 - t) / t) stays within +-7, t within 0.0009 .. 0.9991. The likelihood weight has no finite
integral up to t = 0."""
_POINTS = 4001


@dataclass(frozen=True)
class Times:
    """The law of t, and its weighting.

    law: `uniform` in t, as we read the paper, which gives none; `logit_normal`: logit t ~ N(0,1) (Esser et al. 2024, arXiv
    2403.03206); `shifted`: s u / (1 + (s - 1) u) of a uniform u, more noise for s > 1 (same source, eq. 23).
    shift: s of the law `shifted`.
    weight_power: a of w(t) = ((1 - t) / t)^a: 0 is the paper's loss (4), 1 the likelihood weighting (1 - tau) / tau, tau = t / T,
    for which the bound on E[-log q] is exact.
    """

    law: Law = "uniform"
    shift: float = 1.0
    weight_power: float = 0.0

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Times [count] in (0,1) of density p w / Z, stratified: one in each of `count` equal shares of the probability.

        Stratification is our choice: it lowers the variance of the loss and leaves its mean unchanged.
        """
        shares = torch.randperm(count, generator=rng)
        uniform = (shares + torch.rand(count, generator=rng)) / count
        if self._is_uniform:
            return uniform.clamp(EDGE, 1 - EDGE)
        log_snr, cumulative = self._table
        drawn = np.interp(uniform.double().numpy(), cumulative, log_snr)
        return torch.sigmoid(-torch.from_numpy(drawn)).float()

    @property
    def mass(self) -> float:
        """Z = int p w dt."""
        return 1.0 if self._is_uniform else self._mass

    @property
    def _is_uniform(self) -> bool:
        return not self.weight_power and (self.law == "uniform" or (self.law == "shifted" and self.shift == 1))

    @cached_property
    def _log_density(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-SNR l = ln((1 - t) / t) from high to low (t rising), and p(t) w(t) |dt/dl| there."""
        log_snr = np.linspace(LOG_SNR, -LOG_SNR, _POINTS)
        t = 1 / (1 + np.exp(log_snr))
        jacobian = t * (1 - t)
        if self.law == "logit_normal":
            density = np.exp(-(log_snr**2) / 2) / np.sqrt(2 * np.pi)
        else:
            s = self.shift if self.law == "shifted" else 1.0
            # u = t / (s - (s - 1) t), du/dt = s / (s - (s - 1) t)^2
            density = s / (s - (s - 1) * t) ** 2 * jacobian
        return log_snr, density * np.exp(self.weight_power * log_snr)

    @cached_property
    def _mass(self) -> float:
        log_snr, density = self._log_density
        return float(np.trapezoid(density, -log_snr))

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        log_snr, density = self._log_density
        steps = (density[1:] + density[:-1]) / 2
        cumulative = np.concatenate([[0.0], np.cumsum(steps)])
        return log_snr, cumulative / cumulative[-1]
