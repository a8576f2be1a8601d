"""Jobs on two nodes: each exactly once, whatever dies in between."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jscgc import cluster
from jscgc.cluster.progress import Eta

TWO = cluster.Workers(2)


def make(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What makes runners that do `act` with a job."""

    class Acting:
        def __init__(self, here: Callable[[Path], Path]) -> None:
            self._here = here

        def run(self, job: Any) -> Any:
            return act(job)

    return Acting


def node_of(job: Any) -> str:
    import ray

    time.sleep(0.2)
    return ray.get_runtime_context().get_node_id()


def test_every_job_once_on_both_nodes(nodes):
    found = list(cluster.run_jobs(make(node_of), range(12), TWO, "t"))
    assert sorted(job for job, _ in found) == list(range(12))
    assert len({node for _, node in found}) == 2


def test_no_jobs_no_ray(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.255.255.1:1")
    assert list(cluster.run_jobs(make(node_of), [], TWO, "t")) == []


def test_an_error_of_a_job_is_its_own_in_one_line(nodes):
    def fail(job: int) -> int:
        if job == 1:
            raise ValueError("photo a.png: no such thing")
        return job

    with pytest.raises(ValueError) as raised:
        list(cluster.run_jobs(make(fail), range(3), TWO, "t"))
    assert str(raised.value) == "photo a.png: no such thing"


def test_a_killed_worker_is_replaced_and_its_job_run_again(nodes, tmp_path, caplog):
    marks = tmp_path / "marks"
    marks.mkdir()

    def act(job: int) -> int:
        with (marks / str(job)).open("a") as file:
            file.write("x")
        if job in (0, 5) and len((marks / str(job)).read_text()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return job * job

    found = list(cluster.run_jobs(make(act), range(8), TWO, "t"))
    assert sorted(found) == [(n, n * n) for n in range(8)]
    ran = {n: len((marks / str(n)).read_text()) for n in range(8)}
    assert ran == {n: 2 if n in (0, 5) else 1 for n in range(8)}
    assert caplog.text.count("a worker died at") == 2


def test_a_job_that_kills_every_worker_is_named_and_the_others_are_kept(nodes):
    def act(job: str) -> str:
        if job == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    found = []
    with pytest.raises(cluster.WorkersDied, match="3 workers died at poison"):
        for job, _ in cluster.run_jobs(make(act), ["a", "b", "poison", "c", "d"], TWO, "t"):
            found.append(job)
    assert {"a", "b"} <= set(found) and len(found) == len(set(found))


def test_files_reach_other_nodes_once_and_keep_their_places(nodes, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    (folder / "a").mkdir(parents=True)
    (folder / "a/weights").write_bytes(os.urandom(300_000))
    (folder / "left_out").write_text("not asked for")
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"png")

    class Reading:
        def __init__(self, here: Callable[[Path], Path]) -> None:
            self.models, self.photo = here(folder), here(photo)

        def run(self, job: int) -> tuple[str, bytes, bytes, bool]:
            time.sleep(0.2)
            weights = self.models / "a/weights"
            return str(weights), weights.read_bytes(), self.photo.read_bytes(), (self.models / "left_out").exists()

    content = (folder / "a/weights").read_bytes()
    places: list[set[str]] = []
    for _ in range(2):
        found = [r for _, r in cluster.run_jobs(Reading, range(8), TWO, "t", files=[folder / "a", photo])]
        assert all(weights == content and png == b"png" for _, weights, png, _ in found)
        places.append({path for path, *_ in found})
        own, other = sorted(places[-1], key=lambda path: path != str(folder / "a/weights"))
        assert own == str(folder / "a/weights") and other.endswith(own) and "jscgc-" in other
        assert {left for path, *_, left in found if path == other} == {False}
    assert places[0] == places[1]  # the second evaluation finds the first one's copy
    (folder / "a/weights").write_bytes(b"new")
    found = [r for _, r in cluster.run_jobs(Reading, range(8), TWO, "t", files=[folder / "a", photo])]
    assert {weights for _, weights, *_ in found} == {b"new"}


def test_a_node_that_dies_takes_no_result_with_it(nodes):
    """The second node goes while both are at work; a third comes later and is used."""
    node = nodes.add_node(num_cpus=1, resources={"doomed": 1}, object_store_memory=150_000_000)

    def act(job: int) -> tuple[int, str]:
        return job, node_of(job)

    found, seen = [], set()
    for job, (_, at) in cluster.run_jobs(make(act), range(40), cluster.Workers(3), "t"):
        found.append(job)
        seen.add(at)
        if len(seen) == 3 and node is not None:
            nodes.remove_node(node, allow_graceful=False)
            node = None
    assert node is None and sorted(found) == list(range(40))


def test_more_workers_than_room_are_not_waited_for(nodes):
    found = list(cluster.run_jobs(make(node_of), range(4), cluster.Workers(9), "t"))
    assert sorted(job for job, _ in found) == list(range(4))


@pytest.mark.parametrize(
    "address, said",
    [
        ("ray://head:10001", "Ray's client is not supported"),
        ("nonsense", "not HOST:PORT or auto"),
        ("host:port", "not HOST:PORT or auto"),
    ],
)
def test_an_address_that_cannot_be_is_one_line(address, said, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match=f"RAY_ADDRESS={address}: .*{said}"):
        list(cluster.run_jobs(make(node_of), [1], TWO, "t"))


def test_an_address_where_nobody_listens_fails_at_once(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    start = time.monotonic()
    with pytest.raises(ValueError, match=f"RAY_ADDRESS={address}: nobody answers there .*unset RAY_ADDRESS"):
        list(cluster.run_jobs(make(node_of), [1], TWO, "t"))
    assert time.monotonic() - start < 10


class TestWorkers:
    @pytest.mark.parametrize(
        "workers, resources, count",
        [
            (cluster.Workers(), {"CPU": 8.0}, 8),
            (cluster.Workers(cpus=3), {"CPU": 8.0}, 2),
            (cluster.Workers(gpus=0.5), {"CPU": 8.0, "GPU": 2.0}, 4),
            (cluster.Workers(gpus=0.14), {"CPU": 64.0, "GPU": 0.98}, 7),
            (cluster.Workers(gpus=1.0), {"CPU": 2.0, "GPU": 8.0}, 2),
            (cluster.Workers(5), {"CPU": 0.0}, 5),
        ],
    )
    def test_fill_the_room(self, workers, resources, count):
        assert workers.fitting(resources) == count

    def test_no_room_is_said(self):
        with pytest.raises(ValueError, match="Ray has 4 CPUs and 0 GPUs now, a worker needs 1 and 1"):
            cluster.Workers(gpus=1).fitting({"CPU": 4.0})

    def test_two_gpus_are_refused(self):
        with pytest.raises(ValueError, match="a share from 0 to 1, got 2"):
            cluster.Workers(gpus=2)


def kinds() -> Iterator[str]:
    yield from ["slow"] * 4
    yield from ["fast"] * 10


def test_remaining_time_counts_each_kind_with_its_own_mean():
    eta = Eta(list(kinds()))
    assert eta.remaining_s(2) is None
    eta.done("slow", 10.0)
    assert eta.remaining_s(1) == pytest.approx(3 * 10 + 10 * 10)  # of the fast ones nothing is known yet
    eta.done("fast", 1.0)
    eta.done("fast", 3.0)
    assert eta.remaining_s(2) == pytest.approx((3 * 10 + 8 * 2) / 2)
