"""Noise n ~ CN(0, sigma^2), sigma^2 = 10^(-SNR_dB / 10) for unit-power symbols, and what the receiver believes of it.

The channel's noise always has the true SNR; a receiver that is told another SNR, or none, is wrong at its own cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

BLIND_SNR_DB = (-10.0, 25.0)
"""A receiver that estimates the SNR believes nothing outside this range, in dB."""


def complex_normal(shape: torch.Size | tuple[int, ...], rng: torch.Generator, like: Tensor) -> Tensor:
    """CN(0,1): variance 1/2 on each real axis. Drawn on the CPU: the same numbers whatever the device."""
    real = torch.randn((*shape, 2), generator=rng) / math.sqrt(2)
    return torch.view_as_complex(real).to(like.device)


def noise_variance(snr_db: Tensor) -> Tensor:
    """sigma^2 = 10^(-SNR_dB / 10) per complex symbol of unit power."""
    return torch.pow(10.0, -snr_db / 10)


def check_snr(snr_db: Tensor, batch: int) -> None:
    """One finite average SNR per image, or an error that says what it was.

    Raises:
        ValueError: a wrong length, or a value that is not a number of decibels in -100..100.
    """
    if snr_db.shape != (batch,):
        raise ValueError(f"snr_db must hold one value per image, shape [{batch}], got shape {list(snr_db.shape)}")
    if not ((snr_db >= -100) & (snr_db <= 100)).all():
        raise ValueError(f"snr_db must be finite numbers of decibels in -100..100, got {snr_db.tolist()}")


def per_image(values: Tensor, ndim: int) -> Tensor:
    """[B] -> [B,1,...] with `ndim` dimensions."""
    return values.reshape(-1, *[1] * (ndim - 1))


def add_noise(faded: Tensor, noise_var: Tensor, rng: torch.Generator) -> Tensor:
    """h x + n, complex [B,...], from h x and sigma^2, float [B]."""
    deviation = per_image(noise_var.sqrt(), faded.ndim)
    return faded + deviation * complex_normal(faded.shape, rng, faded)


def believed_noise_var(noise_var: Tensor, offset_db: float | None, estimate: Callable[[], Tensor]) -> Tensor:
    """The receiver's sigma^2, float [B].

    Args:
        noise_var: the true one, float [B].
        offset_db: by how much the receiver overrates the SNR, in dB; None: it believes its estimate, clamped to
            BLIND_SNR_DB.
        estimate: sigma^2 from what was received, float [B].
    """
    if offset_db is None:
        low, high = (10 ** (-snr_db / 10) for snr_db in reversed(BLIND_SNR_DB))
        return estimate().clamp(low, high)
    return noise_var if offset_db == 0 else noise_var * 10 ** (-offset_db / 10)


def moment_noise_var(received: Tensor, gain: Tensor) -> Tensor:
    """Blind estimate of sigma^2 from the data: mean |y|^2 - mean |h|^2 over an image's N symbols, float [B].

    Symbols have exactly unit mean power per image, so for one h per image only the cross term 2 Re(h x n*) and the
    spread of |n|^2 remain: unbiased, with standard deviation sqrt((2 |h|^2 sigma^2 + sigma^4) / N), relative to sigma^2
    sqrt((1 + 2 |h|^2 SNR) / N). With one h per symbol the power of the symbols meets fades at random, which adds
    var(|h|^2) (mean |x|^4 - 1) / N to the variance. At high SNR a small difference of large numbers: the clamp is needed.

    Args:
        received: complex [B,...].
        gain: h as the receiver knows it, complex [B,...] or [B,1,...]; wrong where it is taken to be 1 and is not.
    """
    return received.abs().square().flatten(1).mean(1) - gain.abs().square().flatten(1).mean(1)


def pilot_noise_var(received: Tensor, estimate: Tensor) -> Tensor:
    """Estimate of sigma^2 from P unit pilots y_p = h + n_p and their mean: sum |y_p - mean|^2 / (P - 1), float [B].

    Unbiased, chi-square with 2 (P - 1) degrees of freedom: standard deviation sigma^2 / sqrt(P - 1).

    Args:
        received: complex [B,P].
        estimate: the pilots' mean, complex [B].
    """
    return (received - estimate[:, None]).abs().square().sum(1) / (received.shape[1] - 1)
