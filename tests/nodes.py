"""A cluster of two nodes on this machine, one core each; the driver's is the first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jscgc.cluster.session import SOCKET
from jscgc.sockets import roomy

# A node's death is noticed within two seconds, not half a minute: a dead one refuses at once. One that is only slow, as all are
# beside other tests, is not taken for dead: the driver would end with its head.
QUICK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 20_000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """The cluster, to add nodes to and remove them from."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "cluster"))  # workers import what a test has them do
        patch.setenv("OMP_NUM_THREADS", "1")
        place = str(roomy(tempfile.gettempdir(), len(SOCKET) + len("_1")) / "ray")
        own = {"num_cpus": 1, "object_store_memory": 150_000_000, "include_dashboard": False, "temp_dir": place}
        cluster = Cluster(initialize_head=True, head_node_args={**own, "_system_config": QUICK})
        cluster.add_node(num_cpus=1, object_store_memory=150_000_000)
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()
