"""Commands that are no folder's own: arguments, and what is printed.

`evaluation`, `demo`, `sweep`, `report`, `bench` and `metrics` have theirs with them; what `evaluate` prints is here, because
evaluation knows nothing of the report.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from jscgc.options import Help


def emit(document: Any) -> None:
    """The one JSON document of --json."""
    print(json.dumps(document, indent=2, allow_nan=False))


def command(commands: Any, name: str, short: str, text: str) -> argparse.ArgumentParser:
    """Add a command with --json to the command line."""
    sub: argparse.ArgumentParser = commands.add_parser(name, help=short, description=text, formatter_class=Help)
    sub.add_argument("--json", action="store_true", help="one JSON document on stdout; logs go to stderr")
    return sub
