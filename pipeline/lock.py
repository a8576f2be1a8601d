"""`make lock`: requirements.lock from what .venv holds. CUDA wheels are pinned where they exist, on Linux x86-64."""

import re
from importlib.metadata import distributions
from pathlib import Path

from jscgc.files import atomic

HEADER = "# Every package of the environment, pinned. Made by `make lock` from what .venv holds.\n"
OWN = {"jscgc", "mamba-ssm", "pip", "setuptools", "wheel"}  # the Makefile pins mamba-ssm and setuptools
CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
MARKER = ' ; sys_platform == "linux" and platform_machine == "x86_64"'

if __name__ == "__main__":
    installed = {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in distributions()}
    lines = [f"{n}=={v}{MARKER if CUDA.fullmatch(n) else ''}\n" for n, v in sorted(installed.items()) if n not in OWN]
    with atomic(Path("requirements.lock")) as temporary:
        temporary.write_text(HEADER + "".join(lines), encoding="utf-8")
