"""The extras of pyproject.toml: what needs one says so in one line before it starts to work."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

Needs = Mapping[str, tuple[str, ...]]
"""Extra -> those of its modules that are needed, by their import names."""


def need(what: str, needs: Needs) -> None:
    """Refuse to go on where modules are not installed; none is imported.

    Args:
        what: that needs them, for the message, such as a command.
        needs: which.

    Raises:
        ValueError: some are not; the message has their extras and the installation.
    """
    lacking = [extra for extra, modules in needs.items() if not all(map(find_spec, modules))]
    if lacking:
        names = " and ".join(map(repr, lacking))
        raise ValueError(
            f"{what} needs the extra{'s' * (len(lacking) > 1)} {names}: pip install 'jscgc[{','.join(lacking)}]'"
        )
