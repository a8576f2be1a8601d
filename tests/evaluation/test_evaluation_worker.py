"""Who runs a job, when and after which others changes no bit of its result; what jobs share is computed once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jscgc.evaluation import worker as module
from jscgc.evaluation.jobs import ORIGINAL, Job, JobResult
from jscgc.evaluation.memory import Encoder
from jscgc.evaluation.worker import Setup, Worker
from jscgc.flow.params import SampleParams
from jscgc.memory import Memory
from jscgc.systems.base import Link, Reception
from jscgc.systems.cost import counted
from jscgc.systems.latent import LatentSystem
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit

FILES = "hevc_capacity"
"""Sends a file: of these noisy photographs it has one where the link is very good."""
METHODS = [
    *("jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc", "diffcom"),
    *("deepjscc", "swinjscc", "mambajscc_psnr_pixels", FILES),
]
SAMPLE = SampleParams(steps=2, guidance=1.5)


@pytest.fixture
def setup(models: Path, photos: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Of workers that share loaded systems, to save time."""
    monkeypatch.setattr(module, "load_system", cache(load_system))
    return Setup(models, tuple(photos), 0, SAMPLE, 64, "cpu", ("psnr",))


def job(method: str, image: str = "a", seed: int = 0, **changes: object) -> Job:
    return replace(Job(method, "none", "awgn", 5.0, 4, image, seed, picture=True), **changes)  # type: ignore[arg-type]


def jobs_of(method: str) -> list[Job]:
    """Several conditions, and for jscgc all that it is asked for beside them."""
    links = [("awgn", 5.0, 4), ("rayleigh_fast", 5.0, 4), ("awgn", 0.0, 4), ("awgn", 5.0, 2)]
    if method == FILES:
        links = [("awgn", 25.0, 60), ("rayleigh_block", 25.0, 60), ("awgn", 20.0, 60), ("awgn", 5.0, 2)]
    found = [
        job(method, image, seed, channel=channel, snr_db=snr_db, rate=rate, information_points=0 if seed else 2)
        for channel, snr_db, rate in links
        for image in "ab"
        for seed in (0, 1)
    ]
    if method == "jscgc":
        found += [job(method, control="wrong_symbols"), job(method, control="unconditional"), job(method, dial=(1, 3))]
        found += [job(method, steps=3), job(method, steps=3, guidance=1.0)]
    return found


def same(one: JobResult, other: JobResult) -> None:
    for field in ("png", "steps", "height", "width", "receiver_parameters", "receiver_gflops"):
        assert getattr(one, field) == getattr(other, field), field
    assert one.scores.keys() == other.scores.keys() and one.means.keys() == other.means.keys()
    np.testing.assert_array_equal(list(one.scores.values()), list(other.scores.values()))
    for count in one.means:
        assert one.means[count][0] == other.means[count][0]


@pytest.mark.parametrize("method", METHODS)
def test_a_result_is_the_same_bits_alone_and_among_others_in_any_order(setup: Setup, method: str) -> None:
    jobs = jobs_of(method)
    alone = {one: Worker(setup).run(one) for one in jobs}
    assert any(result.png for result in alone.values())
    for seed in (0, 1):
        mixed = random.Random(seed).sample([*jobs, *jobs_of("mambajscc_psnr")], len(jobs) + 16)
        worker = Worker(setup)
        for one in dict.fromkeys(mixed):
            result = worker.run(one)
            if one in alone:
                same(result, alone[one])


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, int]]]:
    """SNR and rate of every photo that is encoded."""
    calls: list[tuple[float, int]] = []
    encode = LatentSystem.encode

    def counting(self: LatentSystem, photos: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        calls.append((snr_db.item(), rate))
        return encode(self, photos, snr_db, rate)

    monkeypatch.setattr(LatentSystem, "encode", counting)
    yield calls


def test_a_photo_is_encoded_once_for_an_snr_and_a_rate(setup: Setup, encoded: list[tuple[float, int]]) -> None:
    worker = Worker(setup)
    channels = ("awgn", "rayleigh_fast", "rayleigh_block")
    results = [worker.run(job("mambajscc_psnr", seed=seed, channel=name)) for name in channels for seed in (0, 1)]
    assert encoded == [(5.0, 4)]
    assert len({result.encode_ms for result in results}) == 1 and results[0].encode_ms > 0  # what it took when it ran
    worker.run(job("mambajscc_psnr", rate=2))
    worker.run(job("mambajscc_psnr", snr_db=0.0))
    worker.run(job("mambajscc_psnr", "b"))
    worker.run(job("deepjscc"))
    assert encoded[1:] == [(5.0, 2), (0.0, 4), (5.0, 4), (5.0, 4)]


def test_the_control_s_symbols_are_those_of_the_other_photo_s_own_jobs(
    setup: Setup, encoded: list[tuple[float, int]]
) -> None:
    worker = Worker(setup)
    for image in "ab":
        worker.run(job("jscgc", image, information_points=2))
    worker.run(job("jscgc", control="wrong_symbols"))
    assert len(encoded) == 2  # photographs of one size


def test_costs_are_counted_while_the_first_of_a_kind_is_received(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[Reception] = []

    def noting(*arguments: object, **named: object) -> Reception:
        received.append(transmit(*arguments, **named))  # type: ignore[arg-type]
        return received[-1]

    monkeypatch.setattr(module, "transmit", noting)
    worker = Worker(setup)
    jobs = [job("jscgc", image, seed) for image in "ab" for seed in (0, 1)]
    jobs += [job("jscgc", rate=2), job("jscgc", steps=3), job("jscgc", dial=(1, 2)), job(FILES, snr_db=25.0, rate=60)]
    results = [worker.run(one) for one in jobs]
    assert len(received) == len(jobs)  # none beside the jobs'
    # Those of a new rate, of other steps; a codec's file is decoded by nothing that is counted.
    assert [result.warm for result in results] == [False, True, True, True, False, False, True, True]
    system = load_system("jscgc", setup.models)
    assert isinstance(system, LatentSystem)
    for one, result in zip(jobs[:6], results[:6], strict=True):
        sample = SAMPLE.model_copy(update={"steps": one.steps or SAMPLE.steps})
        with counted(system) as cost:
            transmit(system, worker.photo(one.image), Link("awgn", 5.0, one.rate), sample=sample, seed=0)
        assert (result.receiver_parameters, result.receiver_gflops) == (cost.parameters, cost.flops / 1e9)
        assert cost.flops > 0
    assert results[6].receiver_gflops == results[7].receiver_gflops == 0


def test_the_systems_compute_in_the_setup_s_precision_and_the_metrics_do_not(setup: Setup) -> None:
    full, half = Worker(setup), Worker(replace(setup, precision="bfloat16"))
    one = job("mambajscc_psnr")
    scores = [worker.run(one).scores["psnr"] for worker in (full, half)]
    assert scores[0] != scores[1] and scores[0] == pytest.approx(scores[1], abs=0.1)
    originals = [worker.run(job(ORIGINAL)) for worker in (full, half)]
    same(*originals)


def test_a_memory_makes_a_value_once_and_forgets_what_was_asked_for_longest_ago() -> None:
    memory: Memory[str] = Memory(6, len)
    made: list[str] = []

    def get(key: str, value: str = "xx") -> str:
        def make() -> str:
            made.append(key)
            return value

        return memory.get(key, make)

    for key in ("a", "b", "c", "a"):  # 6 bytes: all three stay
        get(key)
    assert made == ["a", "b", "c"]
    get("d")  # b goes
    for key in ("a", "c", "d"):
        get(key)
    assert made == ["a", "b", "c", "d"]
    get("b")
    assert made[4:] == ["b"]
    assert get("large", "x" * 9) == get("large") == "x" * 9  # it alone is more than fits, and it is here all the same
    get("d")
    assert made[5:] == ["large", "d"]
    get("b")
    assert made[7:] == ["b"]


def test_an_encoder_knows_photos_by_their_content(models: Path, encoded: list[tuple[float, int]]) -> None:
    first, second = (load_system("mambajscc_psnr", models) for _ in range(2))
    assert isinstance(first, LatentSystem) and isinstance(second, LatentSystem)
    encoder, link = Encoder(), Link("awgn", 5.0, 4)
    photo = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    sent = encoder(first, photo, link)
    for other in (photo, photo.clone(), photo.mT.contiguous().mT):
        assert encoder(first, other, Link("rayleigh_fast", 5.0, 4)) is sent
    assert len(encoded) == 1
    turned = photo.reshape(3, 48, 32)  # the same numbers
    photo[0, 0, 0] += 1e-3  # the same tensor
    for system, picture, asked in (
        (first, photo, link), (first, turned, link), (second, photo, link),
        (first, photo, Link("awgn", 6.0, 4)), (first, photo, Link("awgn", 5.0, 2)),
    ):  # fmt: skip
        before = len(encoded)
        symbols = encoder(system, picture, asked).symbols
        assert len(encoded) == before + 1
        with torch.no_grad():
            expected = system.encode(picture[None], torch.tensor([asked.snr_db]), asked.rate)
        assert torch.equal(symbols, expected)


def test_an_encoder_forgets_when_its_memory_is_full(models: Path, encoded: list[tuple[float, int]]) -> None:
    system = load_system("mambajscc_psnr", models)
    assert isinstance(system, LatentSystem)
    photos = [torch.full((3, 32, 48), 0.1 * shade) for shade in range(3)]
    one = 8 * 4 * 2 * 3  # bytes: complex64, 4 symbols at 2 x 3 positions
    encoder = Encoder(2 * one)
    for photo in (*photos, photos[2], photos[1], photos[0]):
        encoder(system, photo, Link("awgn", 5.0, 4))
    assert len(encoded) == 3 + 1
