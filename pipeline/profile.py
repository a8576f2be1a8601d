"""Select a profile: `python -m pipeline.profile smoke` lays an overlay over params.yaml, `nano` takes it off again.
A file, such as a sweep's, is laid over params.yaml as it is: `python -m pipeline.profile .jscgc/sweeps/jscgc/best.yaml`.

The params.yaml of before is kept in .jscgc/, so that one's own changes to it come back with `nano`; where it is gone, as
in a clone of a committed smoke, nano is the profile's own file.
"""

import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from jscgc.config import ParamsError, overlay, read_profile
from jscgc.files import atomic
from jscgc.generator import tiny
from jscgc.params import Params, load_params
from jscgc.parser import user_path
from jscgc.project import home
from pipeline import graph

PARAMS = Path("params.yaml")
PROFILES = Path("pipeline/profiles")
NANO = PROFILES / "nano.yaml"
"""Whole, and equal to params.yaml as it is committed; the other profiles say what differs from it."""


def committed(name: str) -> Params:
    """A profile as it is committed, without one's own changes.

    Raises:
        ParamsError: it has no file.
    """
    return load_params(NANO, None if name == "nano" else PROFILES / f"{name}.yaml")


def select(name: str) -> None:
    """Make params.yaml the named profile's, or lay a file (`*.yaml`) over it as it is, such as the best values of a sweep.

    Raises:
        ParamsError: no such profile or file, or the result is not valid.
    """
    if name.endswith(".yaml"):
        _lay(user_path(name), load_params(PARAMS).profile)
        return
    known = ["nano", *sorted(path.stem for path in PROFILES.glob("*.yaml") if path != NANO)]
    if name not in known:
        raise ParamsError(f"unknown profile {name!r}; available: {', '.join(known)}, or a file *.yaml")
    current = load_params(PARAMS).profile
    if current == name:
        return
    if current != "nano":
        kept = _kept()
        with atomic(PARAMS) as temporary:
            temporary.write_bytes((kept if kept.exists() else NANO).read_bytes())
        kept.unlink(missing_ok=True)
    if name != "nano":
        _lay(PROFILES / f"{name}.yaml", "nano")


def _kept() -> Path:
    return home() / "params.nano.yaml"


def _lay(file: Path, current: str) -> None:
    """Lay a file over params.yaml, which is a profile's now; what it was as nano's is kept."""
    changes = read_profile(file)
    if changes.get("profile") in (None, "nano"):
        raise ParamsError(f"{file}: not a profile: expected sections of params.yaml, and profile: NAME")
    load_params(PARAMS, file)
    yaml = YAML()  # keeps comments and order, and writes as DVC does
    yaml.default_flow_style = False
    content = yaml.load(PARAMS.read_text(encoding="utf-8"))
    overlay(content, _plain(changes))
    with atomic(PARAMS) as temporary:
        with temporary.open("w", encoding="utf-8") as stream:
            yaml.dump(content, stream)
        load_params(temporary)
        if current == "nano":
            with atomic(_kept()) as kept:
                kept.write_bytes(PARAMS.read_bytes())


def _plain(value: Any) -> Any:
    """Without the style of the file that it is from."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


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
        if str(tiny.PLACE) in (params.vae.pretrained_path, params.generator.pretrained_path):
            tiny.write()
    except ValueError as error:
        sys.exit(str(error))
    print(f"params.yaml is now profile {params.profile}")
