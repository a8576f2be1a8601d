"""`jscgc bench evaluate`: every job in every run, and what its columns mean."""

from __future__ import annotations

import json

import pytest

from jscgc import cluster
from jscgc.bench import evaluating
from jscgc.cli import main


def test_the_loop_and_ray_run_the_same_jobs(models, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    ran: list[tuple[int, int]] = []

    def run_jobs(make_runner, jobs, workers, title, **rest):
        """In this process: only the first worker comes to the meeting, so it must not wait for others."""
        runner = make_runner(lambda path: path)
        for job in jobs:
            meeting = isinstance(job, evaluating._Meet)
            if meeting:
                (job.folder / "others").touch()
            ran.append((workers.count, 0 if meeting else 1))
            yield job, runner.run(job)

    monkeypatch.setattr(cluster, "run_jobs", run_jobs)
    arguments = ["--models", str(models), "--methods", "mambajscc_psnr", "--snr-db", "5", "--cbr", "2/768"]
    assert main(["bench", "evaluate", *arguments, "--draws", "1", "--max-side", "64", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["run"] for row in rows] == [evaluating.LOOP, "Ray, 1 worker", "Ray, 2 workers"]
    jobs = rows[0]["jobs"]
    assert jobs > 1 and {row["jobs"] for row in rows} == {jobs}
    for count in (1, 2):
        assert sum(n for workers, n in ran if workers == count) == jobs
        assert sum(1 for workers, n in ran if workers == count and not n) == count
    loop, one, two = rows
    assert one["overhead"] == pytest.approx(one["s"] / loop["s"] - 1)
    assert two["speed_up"] == pytest.approx(one["s"] / two["s"])
    assert loop["overhead"] is loop["speed_up"] is one["speed_up"] is two["overhead"] is None
