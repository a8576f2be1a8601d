"""Select a profile: `python -m pipeline.profile smoke` lays an overlay over params.yaml, `nano` takes it off again.

The params.yaml of before is kept in .jscgc/, so that one's own changes to it come back with `nano`.
"""

import sys
from pathlib import Path

from ruamel.yaml import YAML

from jscgc.config import ParamsError, load_params, overlay, read_yaml
from jscgc.files import atomic

PARAMS = Path("params.yaml")
KEPT = Path(".jscgc/params.nano.yaml")
PROFILES = Path("pipeline/profiles")


def select(name: str) -> None:
    """Make params.yaml the named profile's.

    Raises:
        ParamsError: no such profile, or the result is not valid.
    """
    known = ["nano", *sorted(path.stem for path in PROFILES.glob("*.yaml"))]
    if name not in known:
        raise ParamsError(f"unknown profile {name!r}; available: {', '.join(known)}")
    current = load_params(PARAMS).profile
    if current == name:
        return
    if current != "nano":
        if not KEPT.exists():
            raise ParamsError(f"{KEPT} is gone, which held params.yaml of before; run: git checkout params.yaml")
        KEPT.replace(PARAMS)
    if name != "nano":
        yaml = YAML()  # keeps comments and order
        content = yaml.load(PARAMS.read_text(encoding="utf-8"))
        overlay(content, read_yaml(PROFILES / f"{name}.yaml"))
        with atomic(KEPT) as temporary:
            temporary.write_bytes(PARAMS.read_bytes())
        with atomic(PARAMS) as temporary, temporary.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
        load_params(PARAMS)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m pipeline.profile NAME (nano, or a file in pipeline/profiles)")
    try:
        select(sys.argv[1])
    except ParamsError as error:
        sys.exit(str(error))
    print(f"params.yaml is now profile {sys.argv[1]}")
