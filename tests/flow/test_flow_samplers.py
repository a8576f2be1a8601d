"""Orders and laws of the solvers on fields with known solutions, and guidance."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jscgc.flow.gaussian import gaussian_flow, gaussian_velocity
from jscgc.flow.params import SampleParams
from jscgc.flow.path import expand
from jscgc.flow.samplers import Grid, guidance_at, guided, sample, towards
from jscgc.flow.solver import SOLVERS
from jscgc.flow.solvers import sde
from jscgc.registry import PLUGINS, add_plugin


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=stream(seed))


@pytest.mark.parametrize("shift", [1.0, 2.0])
@pytest.mark.parametrize("mean, variance", [(0.0, 0.25), (0.7, 4.0)])
@pytest.mark.parametrize("solver, order", [("euler", 1), ("heun", 2), ("multistep", 2)])
def test_solvers_converge_with_their_order_to_the_exact_map(solver, order, mean, variance, shift):
    noise = normal(1, 1000)
    # Adams-Bashforth reaches its order late: on coarse grids it is better than that.
    counts = [640, 1280, 2560, 5120] if solver == "multistep" else [40, 80, 160, 320, 640]
    exact = gaussian_flow(noise, mean, variance)
    field = gaussian_velocity(mean, variance)
    errors = [(sample(field, noise, Grid(n, shift), solver).x0 - exact).abs().max().item() for n in counts]
    found = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert found == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("mean, variance", [(0.0, 1.0), (0.7, 0.1), (-1.0, 2.0)])
def test_the_sde_has_the_law_of_the_data(mean, variance):
    """Moments within Monte-Carlo error; the error of first order in the step is extrapolated away."""
    count, moments = 200_000, []
    for steps in (200, 400):
        found = sample(gaussian_velocity(mean, variance), normal(1, count), Grid(steps), "sde", rng=stream(1)).x0
        kurtosis = (found - found.mean()).pow(4).mean() / found.var() ** 2
        moments.append((found.mean().item(), found.var().item(), kurtosis.item()))
    extrapolated = [2 * fine - coarse for coarse, fine in zip(*moments, strict=True)]
    error = 4 * math.sqrt(5 / count)
    assert extrapolated[0] == pytest.approx(mean, abs=error * math.sqrt(variance))
    assert extrapolated[1] == pytest.approx(variance, rel=error * math.sqrt(2))
    assert extrapolated[2] == pytest.approx(3, abs=error * math.sqrt(24))
    assert moments[1][1] == pytest.approx(variance, rel=0.03)


def test_a_step_of_the_sde_is_euler_maruyama_s_to_first_order():
    """dx = [2 nu - f] dt + g dw, f = -x / (1 - t), g^2 = 2t / (1 - t) (eq. 10, T = 1), backwards over a small step."""
    t, x = 0.6, torch.full((1, 1_000_000), 1.2, dtype=torch.float64)
    slope = gaussian_velocity(0.3, 0.5)(x, torch.tensor([t], dtype=torch.float64))[0, 0].item()
    drift, g2 = 2 * slope + 1.2 / (1 - t), 2 * t / (1 - t)
    errors = []
    for h in (0.04, 0.02):
        # Times t, t - h: the step of interest is the first, so the sampler itself is stopped after it.
        after = sde.run(lambda x, s: torch.full_like(x, slope), x, [t, t - h], stream(7))
        errors.append((after.mean().item() - (1.2 - h * drift), after.var().item() - h * g2))
    for coarse, fine in zip(*errors, strict=True):
        assert coarse / fine == pytest.approx(4, abs=0.8)


def test_the_sde_forgets_where_it_started_and_the_ode_does_not():
    noise = normal(1, 20_000)
    field = gaussian_velocity(0.0, 0.5)
    correlation = {}
    for solver in ("euler", "sde"):
        found = sample(field, noise, Grid(100), solver, rng=stream(3)).x0
        correlation[solver] = torch.corrcoef(torch.cat([noise, found]))[0, 1].item()
    assert correlation["euler"] == pytest.approx(1, abs=1e-9)
    assert correlation["sde"] == pytest.approx(0, abs=0.05)


def test_the_same_generator_gives_the_same_sde_and_none_is_an_error():
    noise, field = normal(2, 9), gaussian_velocity(0.0, 1.0)
    first, again, other = (sample(field, noise, Grid(5), "sde", rng=stream(s)).x0 for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    with pytest.raises(ValueError, match="needs a generator"):
        sample(field, noise, Grid(5), "sde")


def test_samplers_run_from_noise_at_one_to_data_at_zero():
    seen = []

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(t.tolist())
        return torch.full_like(x_t, 2.0)

    samples = sample(velocity, torch.zeros(2, 3), Grid(4))
    assert seen == [[1.0, 1.0], [0.75, 0.75], [0.5, 0.5], [0.25, 0.25]]
    assert torch.equal(samples.x0, torch.full((2, 3), -2.0))
    assert samples.nfe == 4


@pytest.mark.parametrize("solver", SOLVERS.names)
def test_one_step_from_the_exact_field_is_the_mean(solver):
    """At t = 1 nothing is known: nu = x_1 - E[x0], so a single step lands on the mean."""
    samples = sample(gaussian_velocity(0.4, 0.3), normal(2, 5), Grid(1), solver, rng=stream())
    assert torch.allclose(samples.x0, torch.full((2, 5), 0.4, dtype=torch.float64), atol=1e-6)
    assert samples.nfe == 1


@given(steps=st.integers(1, 60), shift=st.floats(0.1, 10))
def test_grids_fall_from_one_to_zero(steps, shift):
    times = Grid(steps, shift).times
    assert len(times) == steps + 1 and times[0] == 1 and times[-1] == 0
    assert all(a > b for a, b in pairwise(times))
    equal = np.linspace(1, 0, steps + 1)
    assert times == pytest.approx(shift * equal / (1 + (shift - 1) * equal))


@pytest.mark.parametrize("steps", [0, -3])
def test_fewer_steps_than_one_are_an_error(steps):
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        Grid(steps)


@pytest.mark.parametrize("shift", [0.0, -1.0, math.nan, math.inf])
def test_a_shift_that_is_none_is_an_error(shift):
    with pytest.raises(ValueError, match="time_shift must be a positive number"):
        Grid(2, shift)


def test_an_unknown_solver_is_an_error_that_names_the_others():
    with pytest.raises(ValueError, match="unknown solver 'rk4': available: euler, heun, multistep, sde"):
        sample(gaussian_velocity(0.0, 1.0), torch.zeros(1, 1), Grid(1), "rk4")
    with pytest.raises(ValueError, match="unknown solver 'rk4': available: euler, heun, multistep, sde"):
        SampleParams(steps=1, guidance=1.0, solver="rk4")
    with pytest.raises(ValueError, match="unknown solver 'huen': did you mean heun"):
        SampleParams(steps=1, guidance=1.0, solver="huen")


MIDPOINT = """
from itertools import pairwise

from jscgc.flow.solver import SolverKind


def run(nu, x, times, rng):
    for t, following in pairwise(times):
        half = (following - t) / 2
        x = x + (following - t) * nu(x + half * nu(x, t), t + half)
    return x


MIDPOINT = SolverKind("midpoint", "second order, two calls a step", run)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a solver, used in this process until the test ends."""
    monkeypatch.setenv(PLUGINS, "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "solver_of_another.py"
    path.write_text(MIDPOINT, encoding="utf-8")
    add_plugin(str(path))
    yield path
    sys.modules.pop(path.stem)
    monkeypatch.undo()
    SOLVERS.forget()
    assert "midpoint" not in SOLVERS


def test_a_plugin_s_solver_is_one_like_ours(plugin):
    assert SOLVERS.names == ("euler", "heun", "multistep", "sde", "midpoint")
    assert SOLVERS.module("midpoint") == plugin.stem
    assert SampleParams(steps=1, guidance=1.0, solver="midpoint").solver == "midpoint"
    noise, field = normal(1, 1000), gaussian_velocity(0.7, 0.25)
    exact = gaussian_flow(noise, 0.7, 0.25)
    found, euler = (sample(field, noise, Grid(40), name, evaluations=3) for name in ("midpoint", "euler"))
    assert found.nfe == 240
    assert (found.x0 - exact).abs().max() < 1e-3 < (euler.x0 - exact).abs().max()


def test_what_solvers_there_are_is_told_without_torch():
    code = "import sys; from jscgc.flow import params; params.SOLVERS.names; assert not {'torch', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sampling_keeps_no_gradients():
    weight = torch.tensor(1.0, requires_grad=True)
    assert not sample(lambda x, t: weight * x, torch.ones(1, 1), Grid(2)).x0.requires_grad


@pytest.mark.parametrize("solver, calls", [("euler", 5), ("heun", 9), ("multistep", 5), ("sde", 5)])
@pytest.mark.parametrize("weight, expected, cost", [(0.0, 1.0, 1), (1.0, 3.0, 1), (2.5, 6.0, 2), (0.5, 2.0, 2)])
def test_guidance_extrapolates_and_counts_its_evaluations(weight, expected, cost, solver, calls):
    seen = []

    def constant(value: float):
        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            seen.append(value)
            return torch.full_like(x_t, value)

        return velocity

    field, evaluations = guided(constant(3.0), constant(1.0), weight)
    assert torch.equal(field(torch.zeros(2, 2), torch.zeros(2)), torch.full((2, 2), expected))
    assert evaluations == cost == len(seen)
    assert sample(field, torch.zeros(1, 1), Grid(5), solver, evaluations, stream()).nfe == calls * cost
    assert len(seen) == (calls + 1) * cost


def test_guidance_can_differ_from_image_to_image():
    field, evaluations = guided(lambda x, t: x + 2, lambda x, t: x, torch.tensor([0.0, 1.0, 3.0]))
    assert field(torch.zeros(3, 1, 2), torch.zeros(3))[:, 0, 0].tolist() == [0, 2, 6]
    assert evaluations == 2
    assert guided(lambda x, t: x, lambda x, t: x, torch.ones(3))[1] == 1


def test_both_fields_can_be_asked_at_once():
    alone, _ = guided(lambda x, t: x + 2, lambda x, t: x, 3.0)
    at_once, cost = guided(lambda x, t: x + 2, lambda x, t: x, 3.0, lambda x, t: [x, x + 2])
    x = torch.randn(2, 3)
    assert torch.equal(at_once(x, torch.zeros(2)), alone(x, torch.zeros(2))) and cost == 2
    # A weight that needs one of them asks that one.
    assert torch.equal(guided(lambda x, t: x + 2, lambda x, t: x, 1.0, lambda x, t: [])[0](x, torch.zeros(2)), x + 2)


def test_guidance_by_snr_is_linear_between_its_points_and_constant_beyond():
    snr_db = torch.tensor([-20.0, -5.0, 0.0, 2.5, 10.0, 30.0])
    points = [(10.0, 1.0), (-5.0, 3.0), (5.0, 2.0)]
    found = guidance_at(points, snr_db)
    assert found.tolist() == pytest.approx(np.interp(snr_db, [-5, 5, 10], [3, 2, 1]).tolist())
    assert guidance_at(1.5, snr_db) == 1.5
    assert guidance_at([(3.0, 2.0)], snr_db) == 2.0


def test_expand_is_per_image():
    assert expand(torch.arange(3.0), torch.zeros(3, 4, 5)).shape == (3, 1, 1)


@given(weight=st.floats(0, 1))
def test_a_pulled_field_has_the_pulled_posterior_mean(weight):
    x_t, anchor, t = torch.randn(2, 3), torch.randn(2, 3), torch.tensor([0.3, 0.9])

    def velocity(x, s):
        return 0.4 * x - 0.1

    mean, pulled = (x_t - t[:, None] * field(x_t, t) for field in (velocity, towards(velocity, anchor, weight)))
    assert torch.allclose(pulled, (1 - weight) * mean + weight * anchor, atol=1e-5)
