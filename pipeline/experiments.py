"""`make experiments`: `dvc exp show` in short: the headline of a method, then what of params.yaml differs; METHOD=jscgc_fast,
METRICS='psnr|lpips_alex', ALL=1 for the experiments of every commit. What follows is given to `dvc exp show`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HEADLINE = Path("reports/headline")
SHORT = "psnr|lpips_alex|feature_distance_efficientnet_lite2|semantic_cosine_efficientnet_lite2|fid_efficientnet_lite2"


def command(method: str, metrics: str, every: bool, further: list[str]) -> list[str]:
    """The command: DVC puts metrics before parameters, and drops what the pattern matches and what does not differ."""
    kept = rf"reports/headline/[^/]+/{re.escape(method)}\.json:({metrics})$"
    dropped = rf"^(?!{kept})(reports|data|jscgc|pipeline)/"
    sources = r"|^(profile|plugins)$"
    scope = ["--all-commits"] if every else []
    return [
        sys.executable,
        "-m",
        "dvc",
        "exp",
        "show",
        "--only-changed",
        *scope,
        "--drop",
        dropped + sources,
        "--keep",
        kept,
        *further,
    ]


def main() -> int:
    """The status of dvc."""
    method = os.environ.get("METHOD") or "jscgc"
    known = sorted({path.stem for path in HEADLINE.glob("*/*.json")})
    if known and method not in known:
        sys.exit(f"experiments: no headline of {method!r}; there are {', '.join(known)}")
    return subprocess.run(
        command(method, os.environ.get("METRICS") or SHORT, bool(os.environ.get("ALL")), sys.argv[1:])
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
