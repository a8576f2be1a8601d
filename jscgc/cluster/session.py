"""A Ray session: the cluster that RAY_ADDRESS names, or one of this machine's cores that ends with us."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from jscgc.cluster.head import ask
from jscgc.machine import cores, memory_bytes
from jscgc.signals import deferred
from jscgc.sockets import roomy

OBJECT_STORE_BYTES = 200_000_000
WORKER_BYTES = 1_250_000_000
"""Memory that a worker needs at least: torch, a model, the metrics."""
SOCKET = "/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""Of a local session, in the folder for temporary files."""
TOKEN = "RAY_AUTH_TOKEN"
ANSWER_S = 5.0
"""Seconds that a head has to take up a connection; Ray itself would try for minutes."""


def on_a_cluster() -> bool:
    """Whether RAY_ADDRESS names one: its nodes may have neither our files nor our devices."""
    return bool(os.environ.get("RAY_ADDRESS"))


@contextmanager
def _left_alone() -> Iterator[None]:
    """Ray sets handlers of SIGTERM: one of Python's that exits before what it has started can be ended, and one of C++ that dumps
    its stack. The former is not set here, and the latter, which comes last, is replaced by what was there."""
    from ray._private import utils

    before, setting = signal.getsignal(signal.SIGTERM), utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = setting
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _token() -> Iterator[None]:
    """For a local session where the home, in which Ray would keep the token that guards it, can't be written: one in memory."""
    if on_a_cluster() or TOKEN in os.environ or os.access(os.path.expanduser("~"), os.W_OK):
        yield
        return
    os.environ[TOKEN] = secrets.token_hex(32)
    try:
        yield
    finally:
        del os.environ[TOKEN]


@contextmanager
def session(least: int = 0, quiet: bool = False) -> Iterator[dict[str, float]]:
    """Be connected to Ray; yields the cluster's resources ("CPU", "GPU", "memory", ...). A local session listens on loopback.

    Args:
        least: cores of a local session, where it is more than there are; a running cluster has its own.
        quiet: what workers print stays in Ray's log files.

    Raises:
        ValueError: nothing answers at RAY_ADDRESS.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    settings: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": not quiet}
    if on_a_cluster():
        _check_address(os.environ["RAY_ADDRESS"])
    else:
        # Ray's own switch (made for firewalls that ask): its processes then listen at 127.0.0.1 instead of every address.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        count = max(least, cores())
        settings |= {"address": "local", "num_cpus": count, "include_dashboard": False}
        settings |= {"object_store_memory": OBJECT_STORE_BYTES}
        settings |= {"_temp_dir": _place()}
    import ray

    # That a local session is guarded by a token is as it should be, and no warning.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    try:
        with _token(), _left_alone(), nullcontext() if on_a_cluster() else deferred():
            ray.init(**settings)
    except (ConnectionError, RuntimeError) as error:
        if not on_a_cluster():
            raise
        reason = " ".join(str(error).split())
        raise ValueError(f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: {reason:.300}") from None
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield resources if on_a_cluster() else resources | {"memory": memory_bytes()}
    finally:
        ray.shutdown()


def check() -> None:
    """Whether a session can be begun later: what would only be met after hours of training is said now.

    Raises:
        ValueError: nothing answers at RAY_ADDRESS, or no place for temporary files is short enough.
    """
    if on_a_cluster():
        _check_address(os.environ["RAY_ADDRESS"])
    else:
        _place()


def _place() -> str:
    """For a local session's temporary files."""
    return str(roomy(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), len(SOCKET)) / "ray")


def memory_for(resources: dict[str, float]) -> int:
    """Workers that there is memory for, one at least; any number where nothing is known of it."""
    return max(1, int(resources.get("memory", sys.maxsize) // WORKER_BYTES))


def device(name: str) -> str:
    """`cpu` or `cuda` for workers on the cluster, whatever this machine has.

    Args:
        name: as asked for; `auto` is a GPU if the cluster has one now (one that grows on demand may not, so name it).

    Raises:
        ValueError: nothing answers at RAY_ADDRESS.
    """
    if name != "auto":
        return name
    with session() as resources:
        return "cuda" if resources.get("GPU", 0.0) else "cpu"


def _check_address(address: str) -> None:
    """Raise ValueError unless `address` is `auto`, `local`, or a HOST:PORT where somebody listens."""
    if address == "local":
        return
    how = "start a head (`ray start --head --port 6379`), or unset RAY_ADDRESS to use this machine's cores"
    if "://" in address:
        raise ValueError(
            f"RAY_ADDRESS={address}: Ray's client is not supported; run on a machine of the cluster, with RAY_ADDRESS=auto"
        )
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"RAY_ADDRESS={address}: not HOST:PORT or auto; {how}")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
        except (OSError, OverflowError) as error:
            raise ValueError(f"RAY_ADDRESS={address}: nobody answers there ({error}); {how}") from None
    try:
        ask(address)
    except ValueError as error:
        raise ValueError(f"RAY_ADDRESS={address}: {error}") from None
