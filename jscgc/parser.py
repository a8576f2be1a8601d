"""The parser of every command: filled when the command is asked for, --json, --plugin, `~` in paths, one line for a mistake.

Nothing here knows a method, a channel or torch, so that --help is quick.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Descriptions as they are written, and every default."""


class Parser(argparse.ArgumentParser):
    """Arguments of `jscgc`, or of one of its commands.

    Args:
        fill: adds the arguments, once they are to be parsed.
    """

    def __init__(self, *args: Any, fill: Callable[[Parser], None] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.formatter_class = Help
        self.register("type", Path, user_path)  # for every `type=Path`, of plugins' benchmarks, too
        self._fill = fill
        text = "its methods, channels and metrics, too: a module or a script's file; may be given again"
        self.add_argument("--plugin", type=_plugin, default=argparse.SUPPRESS, metavar="MODULE", help=text)

    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print all of the command's arguments first."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Plugins come first, wherever they are named: commands have the names of their methods as arguments."""
        given = sys.argv[1:] if args is None else list(args)
        for name in _plugins(given):
            try:
                _plugin(name)
            except argparse.ArgumentTypeError as error:
                self.error(f"argument --plugin: {error}")
        return super().parse_args(given, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse calls it of a command's parser, which is now filled."""
        if self._fill:
            fill, self._fill = self._fill, None
            fill(self)
        return super().parse_known_args(args, namespace)


def user_path(text: str) -> Path:
    """A path as a shell would have it: `--images=~/photos` and `'~/my photos'` arrive here with their `~`."""
    if not text:
        raise argparse.ArgumentTypeError("a path must not be empty")
    return Path(os.path.expanduser(text))


def _plugins(arguments: Sequence[str]) -> Iterator[str]:
    """What --plugin names."""
    for text, after in zip(arguments, [*arguments, "-"][1:], strict=True):
        if text == "--":
            return
        name, equals, value = text.partition("=")
        value = value if equals else after
        if name == "--plugin" and not value.startswith("-"):
            yield value


def _plugin(text: str) -> str:
    from jscgc.registry import add_plugin

    try:
        add_plugin(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_json(sub: argparse.ArgumentParser) -> None:
    """The option --json."""
    sub.add_argument("--json", action="store_true", help="one JSON document on stdout; logs go to stderr")


def emit(document: Any) -> None:
    """The one JSON document of --json."""
    print(json.dumps(document, indent=2, allow_nan=False))
