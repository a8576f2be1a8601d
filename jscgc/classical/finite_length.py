"""What Gray-labelled QAM with bit-interleaved coded modulation carries over AWGN, at infinite and at finite block length.

The labelling is that of 3GPP TS 38.211, section 5.1: square 2^m-QAM of unit power is two Gray-labelled PAMs, one with the
even bits on the real axis and one with the odd bits on the imaginary axis. Everything is computed on one PAM and doubled.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Floats = npt.NDArray[np.float64]

ORDERS = (2, 4, 6, 8)
"""Bits per symbol m: QPSK, 16QAM, 64QAM, 256QAM."""
_NODES = 96
"""Gauss-Hermite nodes for the noise of one axis."""
_GRID_DB = np.linspace(-40, 50, 901)
"""SNRs at which the quadrature is done; linear interpolation between them errs by less than 1e-4 bits."""


class Bicm(NamedTuple):
    """Of one complex symbol: mean (mutual information, bits) and variance (dispersion, bits^2) of
    sum over its bits of 1 - log2(1 + exp(-s L)), L the exact log-likelihood ratio and s = +-1 the bit's sign."""

    information: Floats
    dispersion: Floats


def pam_labels(bits: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Gray-labelled PAM of 2^bits levels as in TS 38.211: (1 - 2 b0) (2^(bits-1) - (1 - 2 b1) (2^(bits-2) - ...)).

    Returns:
        Levels float [2^bits], scaled to mean square 1/2 (one axis of a QAM of unit power), and their bits [2^bits, bits],
        the first bit slowest.
    """
    labels = (np.arange(2**bits)[:, None] >> np.arange(bits)[::-1] & 1).astype(bool)
    signs = 1.0 - 2.0 * labels
    levels = signs[:, -1]
    for bit in range(bits - 2, -1, -1):
        levels = signs[:, bit] * (2 ** (bits - 1 - bit) - levels)
    return levels / math.sqrt(2 * np.mean(levels**2)), labels


def quadrature(m: int, snr: Floats) -> Bicm:
    """The exact values, float [N] each, at the SNRs float [N] (linear, per complex symbol) by Gauss-Hermite quadrature."""
    levels, labels = pam_labels(m // 2)
    nodes, weights = np.polynomial.hermite.hermgauss(_NODES)
    weights = weights / math.sqrt(math.pi)
    mean, square = np.empty(len(snr)), np.empty(len(snr))
    for index, root in enumerate(np.sqrt(snr)):
        # One axis has noise variance 1 / (2 SNR), so the density is exp(-SNR (y - x)^2). [sent, node, hypothesis]
        offsets = root * (levels[:, None] - levels)
        metric = -((offsets[:, None, :] + nodes[:, None]) ** 2)
        likelihood = np.exp(metric - metric.max(2, keepdims=True))
        total = likelihood.sum(2)
        density = np.zeros_like(total)
        for bit in labels.T:
            # log2(1 + exp(-s L)) = -log2 P(right bit | y); where it underflows, the node's weight is below 1e-80.
            right = np.where(bit[:, None], likelihood @ bit, likelihood @ ~bit)
            density += 1 + np.log2(np.maximum(right / total, 1e-300))
        mean[index] = np.mean(density @ weights)
        square[index] = np.mean(density**2 @ weights)
    return Bicm(2 * mean, 2 * np.maximum(square - mean**2, 0))


@cache
def _table(m: int) -> Bicm:
    return quadrature(m, 10 ** (_GRID_DB / 10))


def bicm(m: int, snr: Floats) -> Bicm:
    """Mutual information and dispersion of 2^m-QAM, m of ORDERS, at instantaneous SNRs (linear, any shape).

    Interpolated between tabulated SNRs; beyond -40 and 50 dB the values at the ends stand.
    """
    table = _table(m)
    snr_db = 10 * np.log10(np.maximum(snr, 1e-30))
    return Bicm(*(np.interp(snr_db, _GRID_DB, column) for column in table))


def normal_approximation(information: Floats, dispersion: Floats, symbols: float, block_error: float) -> Floats:
    """Bits per symbol of the best code of `symbols` symbols: I - sqrt(V / n) Q^-1(eps) + log2(n) / (2 n).

    Polyanskiy, Poor & Verdu 2010, equation (296). Never more than I: the last term is no promise for a few symbols.
    """
    back_off = np.sqrt(dispersion / symbols) * norm.isf(block_error)
    rate: Floats = np.minimum(information, information - back_off + math.log2(symbols) / (2 * symbols))
    return rate


def required_snr_db(m: int, code_rate: float, symbols: float, block_error: float) -> float:
    """Smallest SNR in dB over AWGN at which a code of `symbols` 2^m-QAM symbols and rate code_rate (information bits per
    coded bit) can have that block error rate.

    Raises:
        ValueError: a code rate that is not in (0, 1).
    """
    if not 0 < code_rate < 1:
        raise ValueError(f"code_rate must be in 0..1, got {code_rate}")
    margin = normal_approximation(*_table(m), symbols, block_error) - code_rate * m
    upper = int(np.argmax(margin >= 0))
    share = margin[upper] / (margin[upper] - margin[upper - 1])
    return float(_GRID_DB[upper] - share * (_GRID_DB[upper] - _GRID_DB[upper - 1]))
