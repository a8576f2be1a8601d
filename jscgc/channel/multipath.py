"""Multipath channels TDL-A..E and CDL-A..E of 3GPP TR 38.901 over an OFDM grid, by sionna (PyPI: sionna-no-rt).

Per resource element y = h x + n in the frequency domain: the cyclic prefix is taken to be long enough (no interference
between OFDM symbols), and h to be constant during one OFDM symbol (none between subcarriers; at 3 m/s and 3.5 GHz the
Doppler shift is 35 Hz, a thousandth of the spacing). h evolves continuously over all slots of an image; images are
independent. One antenna on each side, E|h|^2 = 1 over the ensemble. sionna is imported at the first use only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jscgc.channel.base import ChannelOutput
from jscgc.channel.declaration import ChannelSpec
from jscgc.channel.estimation import Lmmse, least_squares
from jscgc.channel.noise import believed_noise_var, check_snr, complex_normal, moment_noise_var, noise_variance
from jscgc.channel.ofdm import CYCLIC_PREFIX, PILOTS, SLOT, Grid

DRAWS = 1000
"""Channels drawn for the statistics of a CDL profile."""


class Statistics(NamedTuple):
    """What the LMMSE receiver knows of a profile, path by path; paths are uncorrelated and of mean zero.

    times: covariance over the OFDM symbols of a slot, complex128 [paths, 14, 14]. phasors: e^{-j 2 pi f tau}, complex128
    [paths, S].
    """

    times: Tensor
    phasors: Tensor


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """sionna's random numbers start at `seed`, and torch's own are afterwards what they were.

    sionna draws from generators of its process, and seeds torch's default ones whenever its own are seeded: at import too.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        from sionna.phy import config

        config.seed = seed
        yield


class Multipath:
    """One profile, A to E, of a tapped or a clustered delay line on its grid.

    What the receiver knows of h: all (`perfect`), `least_squares`, or `Lmmse` with the profile's statistics; the last two
    see one slot at a time. `snr=blind` takes sigma^2 from the pilots, S subcarriers in each slot: the mean
    |y_p - h p|^2 if h is known, with standard deviation sigma^2 / sqrt(2 S slots); else half the mean
    |h_LS(t_0) - h_LS(t_1)|^2, with sigma^2 / sqrt(S slots), where what h changed from pilot to pilot reads as noise
    (-29 dB at 3 m/s; lmmse knows how much to expect and subtracts it); with csi=none `moment_noise_var` of h = 1.
    """

    def __init__(self, spec: ChannelSpec, clustered: bool, profile: str, carrier_ghz: float) -> None:
        self._spec, self._grid = spec, Grid(spec.options["subcarriers"])
        self._clustered, self._profile, self._carrier_ghz = clustered, profile, carrier_ghz
        self._spacing = 1e3 * spec.options["spacing_khz"]
        self._symbol_duration = (1 + float(CYCLIC_PREFIX)) / self._spacing

    def overhead(self, data: int) -> int:
        return self._grid.overhead(data)

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: torch.Generator) -> ChannelOutput:
        check_snr(snr_db, len(symbols))
        noise_var = noise_variance(snr_db)
        h = self._responses(len(symbols), self._grid.slots(symbols[0].numel()), rng)
        noise = noise_var.sqrt().cpu().reshape(-1, 1, 1, 1) * complex_normal(h.shape, rng, h)

        def data(grid: Tensor) -> Tensor:
            return self._grid.data_elements(grid.expand(h.shape), symbols.shape).to(symbols.device)

        received = data(h) * symbols + data(noise)
        if self._spec.csi == "none":
            gain = torch.ones_like(received)
            believed = self._believed(noise_var, lambda: moment_noise_var(received, gain))
            return ChannelOutput(received, gain, torch.zeros_like(gain.real), believed)
        # y / p, of the same noise power: pilots have unit power.
        at_pilots = h[:, :, list(PILOTS)] + noise[:, :, list(PILOTS)] / self._grid.pilots()
        believed = self._believed(noise_var, lambda: self._pilot_noise_var(at_pilots, h).to(noise_var))
        if self._spec.csi == "perfect":
            gain = data(h)
            return ChannelOutput(received, gain, torch.zeros_like(gain.real), believed)
        estimator = least_squares if self._spec.csi == "ls" else self._lmmse
        estimate = estimator(at_pilots, believed.cpu())
        return ChannelOutput(
            received, data(estimate.h), data(estimate.error_var), believed, shrunk=self._spec.csi != "ls"
        )

    def _believed(self, noise_var: Tensor, estimate: Any) -> Tensor:
        return believed_noise_var(noise_var, self._spec.snr_offset_db, estimate)

    def _pilot_noise_var(self, at_pilots: Tensor, h: Tensor) -> Tensor:
        """sigma^2 from the pilots, float [B]: see the class."""
        if self._spec.csi == "perfect":
            return (at_pilots - h[:, :, list(PILOTS)]).abs().square().flatten(1).mean(1)
        first, second = at_pilots.unbind(2)
        spread = (first - second).abs().square().flatten(1).mean(1) / 2
        return spread - self._ageing if self._spec.csi == "lmmse" else spread

    def _responses(self, batch: int, slots: int, rng: torch.Generator) -> Tensor:
        """h on all resource elements, complex [B, slots, 14, S] on the CPU."""
        seed = int(torch.randint(2**63 - 1, (), generator=rng))
        paths, delays = self._paths(batch, slots * SLOT, seed)
        h = torch.einsum("bpt,pf->btf", paths, self._phasors(delays).to(paths.dtype))
        if self._clustered:
            # sionna's line of sight of CDL-D and E has phase 0 in every draw, a CSI that no receiver has: as for Rician,
            # the phase is uniform per image.
            phase = 2 * math.pi * torch.rand(batch, generator=rng)
            h = h * torch.polar(torch.ones_like(phase), phase)[:, None, None]
        return h.reshape(batch, slots, SLOT, self._grid.subcarriers)

    def _paths(self, batch: int, times: int, seed: int) -> tuple[Tensor, Tensor]:
        """Coefficients complex [B, paths, times], one time per OFDM symbol, and delays in s, float [paths]."""
        with _seeded(seed):
            coefficients, delays = self._model(batch, times, 1 / self._symbol_duration)
        return coefficients[:, 0, 0, 0, 0], delays[0, 0, 0]

    def _phasors(self, delays: Tensor) -> Tensor:
        """e^{-j 2 pi f tau}, complex128 [paths, S], for subcarriers around the carrier."""
        subcarriers = torch.arange(self._grid.subcarriers) - self._grid.subcarriers // 2
        turns = delays.double()[:, None] * (self._spacing * subcarriers)
        return torch.polar(torch.ones_like(turns), -2 * math.pi * turns)

    @cached_property
    def _model(self) -> Any:
        """sionna's channel model; `_seeded` must be active."""
        from sionna.phy.channel.tr38901 import CDL, TDL, PanelArray

        carrier = {"carrier_frequency": 1e9 * self._carrier_ghz, "device": "cpu"}
        common = {
            **carrier,
            "model": self._profile,
            "delay_spread": 1e-9 * self._spec.options["delay_spread_ns"],
            "min_speed": self._spec.options["speed_mps"],
            "max_speed": self._spec.options["speed_mps"],
        }
        if not self._clustered:
            return TDL(**common)
        shape = {"num_rows_per_panel": 1, "num_cols_per_panel": 1}
        antenna = PanelArray(**shape, **carrier, polarization="single", polarization_type="V", antenna_pattern="omni")
        return CDL(**common, ut_array=antenna, bs_array=antenna, direction="downlink")

    @cached_property
    def statistics(self) -> Statistics:
        """Closed form for TDL (Clarke's spectrum on every path); for CDL means over DRAWS draws of a fixed seed."""
        if self._clustered:
            paths, delays = self._paths(DRAWS, SLOT, seed=0)
            paths = paths.to(torch.complex128)
            return Statistics(torch.einsum("bpt,bpu->ptu", paths, paths.conj()) / DRAWS, self._phasors(delays))
        with _seeded(0):
            model = self._model
        lags = torch.arange(SLOT, dtype=torch.float64)
        lags = lags[:, None] - lags
        doppler_hz = self._spec.options["speed_mps"] / 299792458 * 1e9 * self._carrier_ghz
        turned = 2 * math.pi * doppler_hz * self._symbol_duration * lags
        powers = model.mean_powers.double()
        sight = torch.zeros_like(powers)
        if model.los:
            sight[0] = model.mean_power_los
        # The line of sight is the first path's, its Doppler shift 0.7 of the largest (TR 38.901, section 7.7.2).
        scattered = (powers - sight)[:, None, None] * torch.special.bessel_j0(turned)
        return Statistics(scattered + sight[:, None, None] * torch.exp(0.7j * turned), self._phasors(model.delays))

    @cached_property
    def _lmmse(self) -> Lmmse:
        return Lmmse(*self.statistics)

    @cached_property
    def _ageing(self) -> float:
        """Half the mean |h(t_0) - h(t_1)|^2 between a slot's pilots."""
        return 1 - float(self.statistics.times.sum(0)[PILOTS].real)
