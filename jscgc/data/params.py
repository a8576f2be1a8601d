"""Section `data` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jscgc.config import Section


class DataParams(Section):
    """Where photographs come from and how they are split (always by photograph)."""

    source: Literal["builtin", "folder", "kodak", "cifar10", "div2k"]
    train: list[str] = Field(default=[])
    """Folders of training photographs (source: folder)."""
    validation: list[str] = Field(default=[])
    """Folders of validation photographs; empty: a seeded share of `train` is set aside."""
    test: list[str] = Field(default=[])
    """Folders of test photographs; empty: a seeded share of `train` is set aside."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    max_photos: Annotated[int, Field(ge=0)] = 0
    """Upper bound of photographs per split, 0 for all."""
    test_max_side: Annotated[int, Field(ge=0)] = 0
    """Validation and test photographs are reduced (Lanczos) to this longer side in pixels, 0 to keep their size."""
