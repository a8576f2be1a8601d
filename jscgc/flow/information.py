"""Mutual information from two velocity fields (I-MMSE; Guo, Shamai & Verdu 2005, for the straight path), and what tells whether
the fields are good enough for it.

    I(X; Y) = int tau^2 E|nu(x_t, t, y) - nu(x_t, t)|^2 d lambda                      [nats]   difference of fields
            = int tau^2 E(|nu(x_t, t) - u|^2 - |nu(x_t, t, y) - u|^2) d lambda                 difference of losses

with u = noise - x0, tau = 1 - t, lambda = ln(tau / (1 - tau)). Both are exact for exact conditional means. With networks they are
estimates and neither bound: an error of the unconditional field that the condition repairs looks just like information. Two
things are known all the same, because an error u - nu of an exact field has mean 0 whatever it is multiplied with, of what the
field was told (the principle of orthogonality):

    losses - fields = 2 int tau^2 E<nu(y) - nu, u - nu(y)> d lambda = 0   if the conditional field is exact
    losses + fields = 2 int tau^2 E<nu(y') - nu, u - nu> d lambda = 0     if the unconditional one is, for another image's y'

So a difference of the forms tells of the conditional field, and is blind to the other; the control by wrong symbols y' tells of
the unconditional one. Alone neither of the control's forms is 0: exact fields believe the wrong symbols too, and are far from the
truth by as much as they are far from each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, VelocityFields, interpolate, one_by_one

LAMBDA = 7.0
"""Largest |lambda|. What lies beyond is, per value of posterior variance c, below e^-7 / c at one end and e^-7 at the other."""


@dataclass(frozen=True)
class Forms:
    """fields: difference of fields. losses: difference of losses. Both [B]."""

    fields: Tensor
    losses: Tensor


@dataclass(frozen=True)
class Information:
    """forms: the estimate for each image, nats. control: the same with another image's y, nats; None if there was none.
    density: the integrand of `forms.fields` at `log_snr` (lambda), both float [B, points]."""

    forms: Forms
    control: Forms | None
    density: Tensor
    log_snr: Tensor

    @property
    def nats(self) -> Tensor:
        """Difference of fields."""
        return self.forms.fields

    @property
    def bits(self) -> Tensor:
        return self.nats / math.log(2)


@torch.no_grad()
def mutual_information(
    conditional: VelocityField,
    unconditional: VelocityField,
    x0: Tensor,
    rng: torch.Generator,
    points: int = 50,
    wrong: VelocityField | None = None,
    together: VelocityFields | None = None,
) -> Information:
    """Estimate I(X; Y) of images whose y is bound into `conditional`.

    Args:
        conditional, unconditional: nu(x_t, t, y) and nu(x_t, t).
        x0: the data that y belongs to, [B,...] of unit variance.
        rng: draws the noise, anew at every point, and first where each image's points lie.
        points: of the integral over lambda in [-7, 7], a call of each field. They are equally spaced, and each image's are
            shifted by a random share of the spacing, so that the mean over images is right however few they are. The integrand
            of a value changes within about 1: with fixed points and a spacing of 2.8 (six of them) the sum would miss a third
            of it. 50 are within 1% for every image.
        wrong: the control, nu(x_t, t, y') with y' of other images.
        together: unconditional, conditional and (where there is one) wrong field at once, if that is cheaper.

    Raises:
        ValueError: no point.
    """
    if points < 1:
        raise ValueError(f"points must be at least 1, got {points}")
    width = 2 * LAMBDA / points
    shift = torch.rand(len(x0), 1, generator=rng, dtype=torch.float64)
    log_snr = -LAMBDA + width * (torch.arange(points, dtype=torch.float64) + shift)
    fields = together or one_by_one(unconditional, conditional, *(() if wrong is None else (wrong,)))
    parts: list[list[Tensor]] = []
    for tau in torch.sigmoid(log_snr).unbind(1):
        t = (1 - tau).to(x0)
        noise = torch.randn(x0.shape, generator=rng, dtype=x0.dtype).to(x0)
        x_t = interpolate(x0, noise, t)
        plain, *told = fields(x_t, t)
        loss = _squares(plain - (noise - x0))
        pairs = [(_squares(v - plain), loss - _squares(v - (noise - x0))) for v in told]
        parts.append([tau**2 * value.cpu() for pair in pairs for value in pair])
    # [pair of forms, B, points]
    integrands = torch.stack([torch.stack(values) for values in parts], dim=-1)
    sums = width * integrands.sum(-1)
    control = None if wrong is None else Forms(sums[2], sums[3])
    return Information(Forms(sums[0], sums[1]), control, integrands[0], log_snr)


def _squares(difference: Tensor) -> Tensor:
    """Sum of the squares of each image, float64 [B]."""
    return difference.square().flatten(1).sum(1).double()
