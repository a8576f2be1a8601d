"""`make lock`: requirements.lock from what .venv holds. CUDA wheels are pinned where they exist, on Linux x86-64."""

import re
from importlib.metadata import distributions
from pathlib import Path

from jscgc.files import atomic

HEADER = "# Every package of the environment, pinned. Made by `make lock` from what .venv holds.\n"
OWN = {"jscgc", "mamba-ssm", "pip", "setuptools", "wheel"}  # the Makefile pins mamba-ssm and setuptools
CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
LINUX = ' ; sys_platform == "linux" and platform_machine == "x86_64"'
MARKERS = {"rapidocr-onnxruntime": ' ; python_version < "3.13"'}  # there is none for later ones

if __name__ == "__main__":
    installed = {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in distributions()}
    marked = {name: LINUX if CUDA.fullmatch(name) else MARKERS.get(name, "") for name in installed}
    lines = [f"{n}=={v}{marked[n]}\n" for n, v in sorted(installed.items()) if n not in OWN]
    with atomic(Path("requirements.lock")) as temporary:
        temporary.write_text(HEADER + "".join(lines), encoding="utf-8")
