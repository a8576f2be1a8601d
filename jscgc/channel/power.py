"""How a linear code shares out power between components that meet the same noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shared_power(variances: Tensor, axes: int, snr_db: float, exponent: float = 0.5) -> Tensor:
    """Power [N] of components of decreasing variances [N], one on each of `axes` <= N axes of symbols of unit power.

    Component i of variance l_i and power P_i, in noise of variance s = 10^(-snr_db / 10) / 2 on its axis, is left with the
    posterior variance c_i = l_i / (1 + P_i / s). The sum of c_i^b is least, at a given total power, for 1 + P_i / s proportional
    to l_i^a, a = b / (1 + b), over as many components as that leaves with power. For b = 1, squared error, it is that of Lee &
    Petersen ("Optimal linear coding for vector channels", 1976).

    Args:
        exponent: a: 1/2 for the squared error, 1/3 for loss (4) with uniform t.

    Returns:
        Powers of the sum axes / 2 (a symbol has two axes); from component `axes` on 0.
    """
    noise = 10 ** (-snr_db / 10) / 2
    law = variances[:axes].double().clamp_min(0) ** exponent
    number = torch.arange(1, axes + 1, device=law.device)
    # With the first k sent, 1 + P_i / noise = levels[k] law[i]; as many are sent as leave the weakest with power.
    levels = (number + axes / 2 / noise) / law.cumsum(0).clamp_min(1e-300)
    sent = max(1, int((levels * law > 1).sum()))
    powers = (noise * (levels[sent - 1] * law - 1)).clamp_min(0) * (number <= sent)
    return F.pad(powers, (0, len(variances) - axes)).to(variances.dtype)
