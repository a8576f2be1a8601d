"""What callers tell apart from other mistakes."""

from __future__ import annotations


class CannotOperate(ValueError):
    """Even the smallest file is larger than what the link carries."""
