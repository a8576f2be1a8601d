"""Whether a head of Ray answers at an address, and if not, why: in seconds. Ray itself tries for half a minute and says less."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ANSWER_S = 3
"""Seconds that a head has to answer; it takes a hundredth of one."""
START_S = 60.0
"""Seconds that a machine under load has to start the process that asks."""
TOKENS = "https://docs.ray.io/en/latest/ray-security/token-auth.html"


@cache
def ask(address: str) -> None:
    """Ask the head at HOST:PORT (or `auto`: on this machine) who it is, in a process of its own: Ray's client can't be given up,
    and prints what it thinks.

    Raises:
        ValueError: why Ray would not connect; says what to do.
    """
    command = [sys.executable, "-m", "jscgc.cluster.head", address]
    environment = os.environ | {"RAY_ADDRESS": ""}
    if address == "auto" and _token_is_here():
        environment.setdefault("RAY_AUTH_MODE", "token")  # as Ray does, of heads on this machine alone
    elif os.environ.get("RAY_AUTH_MODE", "").lower() == "token" and not _token_is_here():
        raise ValueError(
            f"RAY_AUTH_MODE=token, but no token is here; bring the head's ~/.ray/auth_token to {_token_file()}"
        )
    asked = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False, env=environment)
    if asked.returncode == -signal.SIGALRM:
        which = (
            "; name it: RAY_ADDRESS=HOST:PORT"
            if address == "auto"
            else ", whoever listens there; is it its port (6379)?"
        )
        raise ValueError(f"no head of Ray answers within {ANSWER_S} s{which}")
    if asked.returncode:
        return  # Ray says what it is, at length
    told = json.loads(asked.stdout.splitlines()[-1])
    if told["nobody"]:
        raise ValueError(
            "no Ray runs on this machine; start a head (`ray start --head --port 6379`), or join one, or unset it"
        )
    if told["refused"]:
        raise ValueError(_token())
    theirs, ours = told["head"], told["here"]
    if theirs != ours:
        raise ValueError(
            f"its head runs Ray {theirs[0]} on Python {theirs[1]}, this machine Ray {ours[0]} on Python {ours[1]}; install the "
            "same on both (`make install` in the same checkout)"
        )


def _token() -> str:
    """Why a head refuses us that asks for a token."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        where = "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else _token_file()
        return f"its head asks for a token, and that in {where} is another; bring the head's ~/.ray/auth_token there"
    copy = "" if _token_is_here() else f" and bring the head's ~/.ray/auth_token to {_token_file()}"
    return f"its head asks for a token; set RAY_AUTH_MODE=token{copy} ({TOKENS})"


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def _token_is_here() -> bool:
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or _token_file().is_file()


def _main(address: str) -> None:
    """In the process that asks: one line of JSON; ended by SIGALRM where nobody answers."""
    import ray
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
    from ray.exceptions import AuthenticationError

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(ANSWER_S)
    told: dict[str, Any] = {"nobody": False, "refused": False, "here": [ray.__version__, platform.python_version()]}
    try:
        found = canonicalize_bootstrap_address(address)  # of `auto`, too
        known = json.loads(GcsClient(address=found).internal_kv_get(b"CLUSTER_METADATA", b"cluster"))
        told["head"] = [known["ray_version"], known["python_version"]]
    except AuthenticationError:
        told["refused"] = True
    except ConnectionError:
        told["nobody"] = True
    print(json.dumps(told))


if __name__ == "__main__":
    _main(sys.argv[1])
