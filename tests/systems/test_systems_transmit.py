"""Photo in, received photo out: sizes, seeds, controls, and that nothing but the symbols crosses the link."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from tested_methods import METHODS
from torch import Tensor

from jscgc.channel.accounting import bandwidth
from jscgc.channel.receiver import Received
from jscgc.flow.params import SampleParams
from jscgc.systems.base import Link, Reception
from jscgc.systems.latent import LatentSystem
from jscgc.systems.load import load_system
from jscgc.systems.transmit import Sent, transmit

LINK = Link("awgn", 5.0, 4)


@pytest.fixture(scope="module", params=METHODS)
def system(request, models) -> LatentSystem:
    return load_system(request.param, models)


@pytest.fixture(scope="module")
def jscgc(models) -> LatentSystem:
    return load_system("jscgc", models)


def photo(height: int = 32, width: int = 48, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def send(system, picture=None, link=LINK, *, seed=0, steps=2, guidance=1.5, solver="euler", **options):
    picture = photo() if picture is None else picture
    sample = SampleParams(steps=steps, guidance=guidance, solver=solver)
    return transmit(system, picture, link, sample=sample, seed=seed, **options)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (75, 113), (16, 16), (64, 16)], ids=str)
@pytest.mark.parametrize("rate", [2, 4])
def test_any_size_comes_back_at_its_size_and_exact_price(system, size, rate):
    reception = send(system, photo(*size), Link("rayleigh_fast", 5.0, rate))
    assert reception.photo.shape == (3, *size)
    assert reception.photo.min() >= 0 and reception.photo.max() <= 1
    rows, columns = (math.ceil(side / system.multiple) * system.multiple // 16 for side in size)
    assert reception.bandwidth.k == rate * rows * columns
    assert reception.bandwidth.n == 3 * size[0] * size[1]


def test_same_seed_same_photo_another_seed_another(system):
    first, again, other = (send(system, seed=seed).photo for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "change", [{"key": "other"}, {"link": Link("awgn", 6.0, 4)}, {"link": Link("rayleigh_block", 5.0, 4)}]
)
def test_other_conditions_other_photo(system, change):
    assert not torch.equal(send(system).photo, send(system, **change).photo)


def test_the_global_generator_has_no_say(system):
    torch.manual_seed(1)
    first = send(system).photo
    torch.manual_seed(2)
    assert torch.equal(first, send(system).photo)


class Spy:
    """A system that notes what it is given, and sends what it is told to."""

    name, rates, generative, multiple, own_steps = "spy", (2, 4), True, 16, None

    def __init__(self) -> None:
        self.received: list[Received] = []

    def encode(self, photos: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        rows, columns = (-(-side // 16) for side in photos.shape[-2:])
        return torch.ones(len(photos), rate, rows, columns, dtype=torch.complex64)

    def decode(self, received, height, width, sampling, conditioned=True):
        from jscgc.systems.base import Decoded

        self.received.append(received)
        return Decoded(torch.zeros(1, 3, height, width), 0)


def test_the_receiver_is_given_the_received_symbols_the_size_and_nothing_else():
    parameters = list(inspect.signature(LatentSystem.decode).parameters)
    assert parameters == ["self", "received", "height", "width", "sampling", "conditioned"]
    assert set(Received.__dataclass_fields__) == {"estimate", "reliability", "snr_db"}


def test_another_transmitter_may_stand_for_the_system_s_own():
    spy, sent = Spy(), Sent(torch.full((1, 4, 2, 3), 1j), 7.5)
    asked = []
    reception = send(spy, encode=lambda *of: asked.append(of) or sent)
    assert reception.encode_ms == 7.5 and torch.equal(reception.on_air.sent, sent.symbols[0])
    assert [(system, picture.shape, link) for system, picture, link in asked] == [(spy, (3, 32, 48), LINK)]


def test_photos_with_equal_symbols_are_equal_to_the_receiver():
    spy = Spy()
    for seed in (0, 1):
        send(spy, photo(seed=seed))
    first, second = spy.received
    assert torch.equal(first.estimate, second.estimate) and torch.equal(first.reliability, second.reliability)


def test_the_received_photo_depends_on_the_photo_through_the_symbols_alone(system, monkeypatch):
    symbols = system.encode(photo()[None], torch.tensor([5.0]), 4)
    expected = send(system).photo
    monkeypatch.setattr(system, "encode", lambda photos, snr_db, rate: symbols)
    assert torch.equal(send(system, photo(seed=9)).photo, expected)


def test_every_method_meets_the_same_noise_and_fading():
    first, second = Spy(), Spy()
    second.name = "another"
    link = Link("rayleigh_fast", 5.0, 4)
    send(first, link=link, key="kodim01", seed=3)
    send(second, link=link, key="kodim01", seed=3, steps=9, guidance=0.0)
    assert torch.equal(first.received[0].estimate, second.received[0].estimate)
    send(second, link=link, key="kodim02", seed=3)
    assert not torch.equal(first.received[0].estimate, second.received[1].estimate)


@pytest.mark.parametrize("guidance, evaluations", [(1.0, 1), (1.5, 2), (0.0, 1)])
def test_network_evaluations_are_counted(jscgc, guidance, evaluations):
    calls = []
    handle = jscgc.codec.receiver.prior.backbone.register_forward_hook(lambda *_: calls.append(1))
    reception = send(jscgc, steps=3, guidance=guidance)
    handle.remove()
    assert reception.nfe == len(calls) == 3 * evaluations


def test_a_reconstruction_spends_none(models):
    assert send(load_system("mambajscc_psnr", models)).nfe == 0


def test_controls_take_the_symbols_away(jscgc):
    right = send(jscgc)
    wrong = send(jscgc, control="wrong_symbols", other=photo(seed=5))
    nothing = send(jscgc, control="unconditional")
    for a, b in [(right, wrong), (right, nothing), (wrong, nothing)]:
        assert not torch.allclose(a.photo, b.photo, atol=1e-3)
    # The wrong symbols are the other photo's transmission; without symbols the photo has no say.
    assert torch.equal(wrong.photo, send(jscgc, photo(seed=5)).photo)
    assert torch.equal(nothing.photo, send(jscgc, photo(seed=5), control="unconditional").photo)
    assert nothing.nfe == 2


def test_unconditional_is_guidance_zero_and_the_prior_alone(jscgc, models):
    nothing = send(jscgc, control="unconditional").photo
    assert torch.equal(nothing, send(jscgc, guidance=0.0).photo)


@pytest.mark.parametrize("snr_db", [math.nan, math.inf, -math.inf, 101.0, -1e9])
def test_an_snr_that_is_none_is_an_error(jscgc, snr_db):
    with pytest.raises(ValueError, match=r"snr_db must be a finite number of decibels in -100\.\.100"):
        send(jscgc, link=Link("awgn", snr_db, 4))


@pytest.mark.parametrize("snr_db", [-100.0, 100.0])
def test_the_extreme_snrs_still_work(system, snr_db):
    assert torch.isfinite(send(system, link=Link("rayleigh_fast", snr_db, 4)).photo).all()


@pytest.mark.parametrize("rate", [1, 3, 8, 0, -2])
def test_a_rate_that_was_not_trained_is_an_error_that_names_those_that_were(system, rate):
    with pytest.raises(
        ValueError, match=rf"{system.name} was not trained to send cbr {rate}/768; it sends 2/768, 4/768"
    ):
        send(system, link=Link("awgn", 5.0, rate))


def test_an_unknown_channel_is_an_error(jscgc):
    with pytest.raises(ValueError, match=r"unknown channel 'awgm': did you mean awgn\?"):
        send(jscgc, link=Link("awgm", 5.0, 4))


def test_the_few_step_receiver_takes_its_own_steps_and_reads_jscgc_s_symbols(models, jscgc):
    fast = load_system("jscgc_fast", models)
    reception = send(fast, steps=7, guidance=3.0, solver="heun")
    assert reception.nfe == reception.steps == 3
    assert torch.equal(reception.photo, send(fast).photo)
    assert send(jscgc, steps=7).steps == 7 and send(load_system("mambajscc_psnr", models)).steps == 0


def test_any_number_of_samples_of_one_received_signal(jscgc, models):
    one, five = send(jscgc), send(jscgc, samples=5)
    assert five.samples.shape == (5, 3, 32, 48) and five.nfe == 5 * one.nfe
    assert torch.equal(five.photo, one.photo)
    assert not torch.equal(five.samples[1], five.samples[0])
    assert torch.allclose(five.mean, five.samples.mean(0))
    assert five.spread.shape == (32, 48) and five.spread.max() > 0
    expected = five.samples.std(0).square().mean(0).sqrt()
    assert torch.allclose(five.spread, expected, atol=1e-6)
    with pytest.raises(ValueError, match="at least two samples"):
        _ = one.spread
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        send(jscgc, samples=0)
    assert len(send(load_system("mambajscc_psnr", models), samples=5).samples) == 1


def received(samples: Tensor) -> Reception:
    return Reception(samples, bandwidth(32, 48, 4, 16, lambda data: 0), 1, 1, 0.0, 0.0)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_spread_over_error_is_one_for_exact_posterior_samples(count):
    """Original and samples are draws of one Gaussian; half the spread is a fourth of the variance."""
    rng = torch.Generator().manual_seed(0)
    mean, noise = torch.rand(3, 300, 400, generator=rng), torch.randn(count + 1, 3, 300, 400, generator=rng)
    original, exact, timid = mean + 0.1 * noise[0], mean + 0.1 * noise[1:], mean + 0.05 * noise[1:]
    assert received(exact).spread_over_error(original) == pytest.approx(1, abs=0.02)
    expected = (1 + 1 / count) * 0.25 / (1 + 0.25 / count)
    assert received(timid).spread_over_error(original) == pytest.approx(expected, abs=0.02)
    assert received(torch.zeros_like(exact)).spread_over_error(torch.zeros_like(mean)) is None
    with pytest.raises(ValueError, match="at least two samples"):
        received(exact[:1]).spread_over_error(original)


def test_information_has_both_forms_and_a_control_of_its_own_noise(jscgc, models):
    pair = {"information_points": 3, "other": photo(seed=5)}
    rate = send(jscgc, **pair).information
    assert rate is not None and rate.uses == 24
    assert torch.equal(send(jscgc, **pair).photo, send(jscgc).photo)
    # Right and wrong symbols of the same photo differ by the channel's draw alone.
    same = send(jscgc, information_points=3, other=photo()).information
    assert same is not None and (same.bits, same.bits_losses) == (rate.bits, rate.bits_losses)
    assert (same.control_bits, same.control_bits_losses) != (rate.control_bits, rate.control_bits_losses)
    assert (same.control_bits, same.control_bits_losses) != (rate.bits, rate.bits_losses)
    swapped = send(jscgc, photo(seed=5), control="wrong_symbols", information_points=3, other=photo()).information
    assert swapped is not None and (swapped.bits, swapped.control_bits) == (rate.bits, rate.control_bits)
    assert send(load_system("mambajscc_psnr", models), **pair).information is None
    assert send(load_system("jscgc_fast", models), **pair).information is None


@pytest.mark.parametrize("solver, evaluations", [("euler", 3), ("heun", 5), ("multistep", 3), ("sde", 3)])
def test_every_solver_runs_and_counts(jscgc, solver, evaluations):
    first, again = (send(jscgc, steps=3, guidance=1.0, solver=solver) for _ in range(2))
    assert first.nfe == evaluations
    assert torch.equal(first.photo, again.photo)
    assert torch.equal(first.photo, send(jscgc, steps=3, guidance=1.0).photo) is (solver == "euler")


def test_guidance_by_snr_is_the_weight_at_that_snr(jscgc):
    points = [(0.0, 3.0), (10.0, 1.0)]
    assert torch.equal(send(jscgc, guidance=points).photo, send(jscgc, guidance=2.0).photo)


def test_symbols_of_every_system_have_unit_power_per_image(system):
    pictures = torch.stack([photo(), 0.01 * photo(seed=1), torch.zeros(3, 32, 48)])
    with torch.no_grad():
        symbols = system.encode(pictures, torch.tensor([0.0, 5.0, 10.0]), 2)
    assert symbols.shape == (3, 2, 2, 4 if system.multiple == 32 else 3)
    assert torch.allclose(symbols.abs().square().mean((1, 2, 3)), torch.ones(3), atol=1e-4)


# The linear code is a closed form, and computes in single precision always.
@pytest.mark.parametrize("method", [name for name in METHODS if name != "klt"])
def test_in_bfloat16_photos_and_symbols_are_of_single_precision_and_near(models, method):
    """Within 1/30 of the range: these networks are small and hardly trained."""
    full, half = (load_system(method, models, precision=precision) for precision in ("float32", "bfloat16"))
    one, other = (send(system) for system in (full, half))
    assert other.samples.dtype == torch.float32 and other.on_air.sent.dtype == torch.complex64
    assert other.on_air.sent.abs().square().mean().item() == pytest.approx(1, abs=1e-4)
    assert not torch.equal(one.samples, other.samples)
    assert (one.samples - other.samples).square().mean().sqrt() < 1 / 30
    assert not torch.is_autocast_enabled("cpu") and one.nfe == other.nfe
    pair = {"information_points": 2, "other": photo(seed=5)}
    bits = [send(system, **pair).information for system in (full, half)]
    if bits[0] is not None:
        assert bits[1].bits == pytest.approx(bits[0].bits, rel=0.1) and bits[1].bits != bits[0].bits


def test_the_symbols_on_air_are_sent_faded_and_equalised(jscgc):
    """AWGN, 5 dB: y = x + n with E|n|^2 = 10^-0.5, and the linear MMSE estimate y / (1 + 10^-0.5)."""
    reception = send(jscgc, photo(160, 160), steps=1)
    on_air = reception.on_air
    assert on_air is not None and on_air.sent.shape == (4, 10, 10) and on_air.sent.numel() == reception.bandwidth.data
    assert on_air.sent.abs().square().mean().item() == pytest.approx(1, abs=1e-5)
    noise_var = 10**-0.5
    assert (on_air.received - on_air.sent).abs().square().mean().item() == pytest.approx(noise_var, rel=0.2)
    torch.testing.assert_close(on_air.equalised, on_air.received / (1 + noise_var))
    block = send(jscgc, photo(160, 160), Link("rayleigh_block", 100.0, 4), steps=1).on_air
    assert block is not None
    gain = block.received / block.sent
    assert (gain - gain.mean()).abs().max() < 1e-2 and abs(gain.mean() - 1) > 1e-2
    torch.testing.assert_close(block.equalised, block.sent, atol=1e-3, rtol=1e-3)


def test_a_separated_system_has_no_image_symbols():
    smooth = torch.full((3, 32, 48), 0.5)
    assert send(load_system("jp2k_capacity"), smooth, Link("awgn", 20.0, 60)).on_air is None
