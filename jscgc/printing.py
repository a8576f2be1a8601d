"""What is printed for people: tables that cut nothing, and bars on stderr. Lines are Python's own `print`.

The one module that knows rich, whose console takes `[brackets]` and `:names:` in any text for markup: a photograph called
`IMG [final].png` was printed as `IMG .png`. Here what a user named is printed as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

Item = TypeVar("Item")


def console(*, stderr: bool = False) -> Console:
    """On stdout or stderr; text has no markup in it."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def table(*columns: str, title: str | None = None) -> Table:
    """A table whose cells are folded where they are too long; rich would end them with an ellipsis."""
    from rich.table import Column, Table

    return Table(*(Column(name, overflow="fold") for name in columns), title=title, title_justify="left")


def show(made: Table) -> None:
    """Print a table on stdout."""
    console().print(made)


def bar(left: str = "", *, hidden: bool = False) -> Progress:
    """A progress bar on stderr: the task's description, how many are done, the time passed, and what is left.

    Args:
        left: how the latter is said, with `{task...}` in it; rich's own estimate unless told otherwise.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(left, markup=False) if left else TimeRemainingColumn(),
        console=console(stderr=True),
        refresh_per_second=1,
        disable=hidden,
    )


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say `what` and the time passed, in a line on a terminal, until the block ends, and then take it back; elsewhere nothing."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    said, where = TextColumn("{task.description}", markup=False), console(stderr=True)
    with Progress(said, TimeElapsedColumn(), console=where, transient=True, disable=not where.is_terminal) as progress:
        progress.add_task(what, total=None)
        yield


def track(items: Sequence[Item], what: str, silent_up_to: int) -> Iterator[Item]:
    """Iterate with a bar if there are more items than that."""
    with bar(hidden=len(items) <= silent_up_to) as progress:
        yield from progress.track(items, description=what)
