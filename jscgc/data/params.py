"""Section `data` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jscgc.config import Section, UserPath


class DataParams(Section):
    """Where photographs come from and how they are split (always by photograph)."""

    source: Literal["builtin", "folder", "kodak", "cifar10", "div2k"]
    train: list[str] = Field(default=[])
    """Folders of training photographs (source: folder)."""
    list_file: UserPath = ""
    """CSV or TSV file that says which photographs of `train` are used, one a line: ids or relative paths, and, where there are
    such columns, rotation, split and licence (`data.listing`); empty: all are. A list with splits states the whole split: nothing
    is set aside then."""
    validation: list[str] = Field(default=[])
    """Folders of validation photographs; empty: a seeded share of `train` is set aside."""
    test: list[str] = Field(default=[])
    """Folders of test photographs; empty: a seeded share of `train` is set aside."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """0: none, and if nothing else says which they are, there are no validation photographs."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    max_photos: Annotated[int, Field(ge=0)] = 0
    """Upper bound of photographs per split, 0 for all."""
    test_max_side: Annotated[int, Field(ge=0)] = 0
    """Validation and test photographs are reduced (Lanczos) to this longer side in pixels, 0 to keep their size."""
    train_side: Annotated[int, Field(ge=0, le=2**14)] = 0
    """Training photographs are reduced (Lanczos) to this shorter side in pixels and kept in shards (`data.shards`), for hundreds
    of thousands of them; 0: they keep their size, one PNG each."""
