"""A Ray session: the cluster that RAY_ADDRESS names, or one of this machine's cores that ends with us."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OBJECT_STORE_BYTES = 200_000_000


@contextmanager
def session(cores: int = 0) -> Iterator[dict[str, float]]:
    """Be connected to Ray; yields the cluster's resources ("CPU", "GPU", ...).

    Args:
        cores: that a local session may use at least, 0 for this machine's; a running cluster has its own.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    settings: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": True}
    if not os.environ.get("RAY_ADDRESS"):
        count = max(cores, os.cpu_count() or 1)
        settings |= {"address": "local", "num_cpus": count, "include_dashboard": False}
        settings |= {"object_store_memory": OBJECT_STORE_BYTES}
    ray.init(**settings)
    try:
        yield ray.cluster_resources()  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()
