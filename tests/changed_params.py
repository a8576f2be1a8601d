"""Parameters that differ from others in a few keys."""

from __future__ import annotations

from jscgc.params import Params


def changed(params: Params, **sections: dict[str, object]) -> Params:
    """Sections by name, each with the keys that differ; the result is validated."""
    content = params.model_dump(mode="json")
    for name, values in sections.items():
        content[name] |= values
    return Params.model_validate(content)
