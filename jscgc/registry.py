"""What can be said by name: methods, channels, metrics, found by looking into a folder, and what other packages add.

    built-in    every module of a package of ours that holds a declaration at its top level: a new file is a new name
    installed   entry points of the registry's group, such as `jscgc.methods`: `repeat = my_package.repeat:REPEAT`
    for a run   modules that `--plugin` or JSCGC_PLUGINS names (of a script: its file), searched like ours

A declaration is found by its type, alone or in a tuple. Reading a registry imports the modules that declare, so these keep
heavy imports inside of their functions.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar

log = logging.getLogger(__name__)
PLUGINS = "JSCGC_PLUGINS"
"""Environment variable: modules or files of a run, separated as PATH is. Workers on this machine inherit it."""


class Declared(Protocol):
    """Something with a name; `order` says where it is listed, equal ones by name."""

    @property
    def name(self) -> str: ...
    @property
    def order(self) -> int: ...


T = TypeVar("T", bound=Declared)
_EVERY: list[Registry[Any]] = []


class Registry(Generic[T]):
    """Declarations of one type by name.

    Args:
        what: for errors, such as `method`.
        declared: the type.
        package: whose modules declare.
        group: of entry points.
    """

    def __init__(self, what: str, declared: type[T], package: str, group: str) -> None:
        self.what, self.package, self.group = what, package, group
        self._declared = declared
        _EVERY.append(self)

    @cached_property
    def _entries(self) -> dict[str, tuple[T, str]]:
        """Name -> declaration and the module that it was found in."""
        entries: dict[str, tuple[T, str]] = {}
        for declaration, module in [*self._built_in(), *self._installed(), *self._asked()]:
            known = entries.setdefault(declaration.name, (declaration, module))
            if known[0] is not declaration:
                raise ValueError(f"duplicate {self.what} {declaration.name!r}: declared by {known[1]} and by {module}")
        return dict(sorted(entries.items(), key=lambda item: (item[1][0].order, item[0])))

    def _built_in(self) -> Iterator[tuple[T, str]]:
        package = importlib.import_module(self.package)
        for module in sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg):
            yield from self._in(importlib.import_module(f"{self.package}.{module}"))

    def _installed(self) -> Iterator[tuple[T, str]]:
        from importlib import metadata  # not before: 20 ms

        for point in metadata.entry_points(group=self.group):
            try:
                loaded = point.load()
            except Exception as error:  # of whatever kind: others' code, which must not stop ours
                log.warning("%s %s (%s) can't be loaded: %s", self.what, point.name, point.value, error)
                continue
            yield from ((declaration, point.module) for declaration in self._declarations(loaded))

    def _asked(self) -> Iterator[tuple[T, str]]:
        for name in plugins():
            yield from self._in(_load(name))

    def _in(self, module: ModuleType) -> Iterator[tuple[T, str]]:
        for value in list(vars(module).values()):
            yield from ((declaration, module.__name__) for declaration in self._declarations(value))

    def _declarations(self, value: Any) -> Iterator[T]:
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, self._declared):
                yield one

    def __iter__(self) -> Iterator[T]:
        return (declaration for declaration, _ in self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, in order."""
        return tuple(self._entries)

    def __getitem__(self, name: str) -> T:
        """What is declared under a name.

        Raises:
            ValueError: nothing is; the message has the nearest name and all that there are.
        """
        self.check(name)
        return self._entries[name][0]

    def check(self, name: str) -> str:
        """The name, if there is one such.

        Raises:
            ValueError: as for `registry[name]`.
        """
        if name not in self._entries:
            hint = nearest(str(name), self._entries)
            raise ValueError(f"unknown {self.what} {name!r}: {hint}available: {', '.join(self._entries)}")
        return name

    def module(self, name: str) -> str:
        """The module that declares a name."""
        self.check(name)
        return self._entries[name][1]

    def forget(self) -> None:
        """Look again at the next use."""
        self.__dict__.pop("_entries", None)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint for an error, if one is near."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.4)
    return f"did you mean {near[0]}? " if near else ""


def plugins() -> list[str]:
    """The plugins of this run."""
    return list(dict.fromkeys(name for name in os.environ.get(PLUGINS, "").split(os.pathsep) if name))


def add_plugin(name: str) -> None:
    """Use the declarations of a module, or of a script's file, in this process and in those that it starts.

    Raises:
        ValueError: it can't be imported.
    """
    name = os.path.expanduser(name) if name.endswith(".py") else name
    _load(name)
    name = str(Path(name).absolute()) if name.endswith(".py") else name  # workers may stand in another folder
    os.environ[PLUGINS] = os.pathsep.join(dict.fromkeys([*plugins(), name]))
    for registry in _EVERY:
        registry.forget()


def _load(name: str) -> ModuleType:
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(f"plugin {name}: no such file")
        name = path.stem
        if (folder := str(path.absolute().parent)) not in sys.path:
            sys.path.insert(0, folder)
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"plugin {name}: can't be imported: {type(error).__name__}: {error}") from None
    if path.suffix == ".py" and path.resolve() != Path(module.__file__ or "").resolve():
        raise ValueError(
            f"plugin {path}: {name} is already the name of {module.__file__ or 'a module'}; rename the file"
        )
    return module
