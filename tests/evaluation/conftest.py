"""Two small photographs, a protocol over them, and evaluations in this process instead of on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_photos import save_photo

from jscgc import cluster
from jscgc.evaluation.jobs import Job
from jscgc.evaluation.params import EvaluateParams
from jscgc.evaluation.protocol import Protocol
from jscgc.flow.params import SampleParams

METRICS = ["psnr", "fid_efficientnet_lite0", "kid_efficientnet_lite0"]


@pytest.fixture
def photos(tmp_path: Path) -> list[tuple[str, Path]]:
    return [(name, save_photo(tmp_path / "photos" / f"{name}.png", seed)) for seed, name in enumerate("ab")]


def grid(**changes: Any) -> EvaluateParams:
    """One condition of a codec, two draws."""
    wanted = {"methods": ["mambajscc_psnr"], "channels": ["awgn"], "snr_db": [5], "rates": [2], "seeds": 2, "patch": 64}
    return EvaluateParams.model_validate(wanted | {"metrics": METRICS} | changes)


Maker = Callable[..., Protocol]


@pytest.fixture
def protocol(photos: list[tuple[str, Path]]) -> Maker:
    """The protocol of `grid` on the two photographs, with changes."""

    def make(**changes: Any) -> Protocol:
        outer = {key: changes.pop(key) for key in ("seed", "max_side", "controls") if key in changes}
        sample = changes.pop("sample", SampleParams(steps=1, guidance=1.0))
        given = changes.pop("photos", photos)
        return Protocol.of(given, grid(**changes), sample, **({"seed": 0} | outer))

    return make


@pytest.fixture
def jobs_run(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Evaluations run in this process; the list gets every job that is run."""
    ran: list[Job] = []

    def run_jobs(make_runner: Any, jobs: Sequence[Job], workers: Any, title: str, **rest: Any) -> Iterator[Any]:
        worker = make_runner(lambda path: path)
        for job in jobs:
            ran.append(job)
            yield job, worker.run(job)

    monkeypatch.setattr(cluster, "run_jobs", run_jobs)
    return ran
