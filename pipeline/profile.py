"""Select a profile: `python -m pipeline.profile smoke` lays an overlay over params.yaml, `nano` takes it off again.
A file, such as a sweep's, is laid over params.yaml as it is: `python -m pipeline.profile .jscgc/sweeps/jscgc/best.yaml`.

The params.yaml of before is kept in .jscgc/, so that one's own changes to it come back with `nano`.
"""

import sys
from pathlib import Path

from ruamel.yaml import YAML

from jscgc.config import ParamsError, overlay, read_yaml
from jscgc.files import atomic
from jscgc.params import load_params
from jscgc.parser import user_path
from pipeline import graph

PARAMS = Path("params.yaml")
KEPT = Path(".jscgc/params.nano.yaml")
PROFILES = Path("pipeline/profiles")


def select(name: str) -> None:
    """Make params.yaml the named profile's, or lay a file (`*.yaml`) over it as it is, such as the best values of a sweep.

    Raises:
        ParamsError: no such profile or file, or the result is not valid.
    """
    if name.endswith(".yaml"):
        _lay(user_path(name), load_params(PARAMS).profile)
        return
    known = ["nano", *sorted(path.stem for path in PROFILES.glob("*.yaml"))]
    if name not in known:
        raise ParamsError(f"unknown profile {name!r}; available: {', '.join(known)}, or a file *.yaml")
    current = load_params(PARAMS).profile
    if current == name:
        return
    if current != "nano":
        if not KEPT.exists():
            raise ParamsError(f"{KEPT} is gone, which held params.yaml of before; run: git checkout params.yaml")
        KEPT.replace(PARAMS)
    if name != "nano":
        _lay(PROFILES / f"{name}.yaml", "nano")


def _lay(file: Path, current: str) -> None:
    """Lay a file over params.yaml, which is a profile's now; what it was as nano's is kept."""
    yaml = YAML()  # keeps comments and order
    content, changes = yaml.load(PARAMS.read_text(encoding="utf-8")), read_yaml(file)
    if not isinstance(changes, dict) or changes.get("profile") in (None, "nano"):
        raise ParamsError(f"{file}: not a profile: expected sections of params.yaml, and profile: NAME")
    overlay(content, changes)
    with atomic(PARAMS) as temporary:
        with temporary.open("w", encoding="utf-8") as stream:
            yaml.dump(content, stream)
        try:
            load_params(temporary)
        except ParamsError as error:
            raise ParamsError(str(error).replace(str(temporary), str(file))) from None
        if current == "nano":
            with atomic(KEPT) as kept:
                kept.write_bytes(PARAMS.read_bytes())


if __name__ == "__main__":
    usage = "usage: python -m pipeline.profile NAME (nano, a name in pipeline/profiles, or a file *.yaml)"
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(usage)
        sys.exit()
    if len(sys.argv) != 2:
        sys.exit(usage)
    try:
        select(sys.argv[1])
        params = load_params(PARAMS)
        graph.write(params)
    except ValueError as error:
        sys.exit(str(error))
    print(f"params.yaml is now profile {params.profile}")
