"""Which sources a computation can run: the closure of its imports, read off the source and not off a run.

Imports count wherever they stand, in functions too, and so do strings that name a module of ours (`jscgc.x.y`,
`jscgc.x.y:callable`); those for types only do not. Of a module that declares methods, channels or metrics only the functions
asked for count, and what they use of it: what builds a network is there to receive with, what trains it is not. What a registry
finds by name is nobody's import; who asks for it by name (`jscgc.stages`, `evaluation.identity`) names it here, too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from jscgc.files import sha256

PACKAGE = Path(__file__).parent
ORCHESTRATION = (
    "api",
    "bench",
    "cli",
    "cluster",
    "commands",
    "demo",
    "options",
    "printing",
    "report",
    "signals",
    "sweep",
    "tracking",
)
"""Folders and modules that say where and when something runs and how it is shown, and can reach no result: left out, unless
they are asked for by name."""
DECLARING = ("methods", "channel.kinds", "metrics.kinds", "generator.kinds", "flow.solvers")
"""Packages whose modules declare; of them single functions are asked for."""
_NAMED = re.compile(r"jscgc(\.\w+)+(:\w+)?")


def entry(function: Callable[..., Any]) -> str:
    """`module:function` of what a declaration names."""
    while isinstance(function, partial):
        function = function.func
    return f"{function.__module__}:{function.__qualname__.split('.')[0]}"


@cache
def closure(*entries: str) -> tuple[Path, ...]:
    """The files of ours, and of the packages of plugins that `entries` name, that these can run or read, sorted.

    Args:
        entries: `module:function`, `module` for all of it, or `module:<outside>` for what stands outside of its functions.
    """
    roots = {name.partition(":")[0].split(".")[0] for name in entries} | {PACKAGE.name}
    asked = {name.partition(":")[0].split(".")[1] for name in entries if name.startswith(f"{PACKAGE.name}.")}
    functions: dict[str, set[str]] = {}
    left = list(entries)
    while left:
        module, _, function = left.pop().partition(":")
        if module.split(".")[0] not in roots or _exempt(module, asked) or (path := _path(module)) is None:
            continue
        names = functions.setdefault(module, set())
        if (function or "*") in names or "*" in names:
            continue
        first = not names
        names.add(function or "*")
        left += _reached(path, module, function if _declares(module) else "")
        if first and "." in module:
            left.append(module.rpartition(".")[0])  # the package is imported before it
    files = {path for module in functions if (path := _path(module)) is not None}
    # Tables and the like lie beside the module that reads them.
    files |= {path for folder in {file.parent for file in files} for path in folder.iterdir() if _is_data(path)}
    return tuple(sorted(files))


def _is_data(path: Path) -> bool:
    left = path.name.startswith(".") or path.name.endswith((".py", ".pyc", "py.typed", "~", ".orig", ".rej", ".swp"))
    return path.is_file() and path.is_relative_to(PACKAGE) and not left


def code(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """What stands for sources in a key: place and meaning of each."""
    ours = PACKAGE.parent

    def place(path: Path) -> str:
        return path.relative_to(ours).as_posix() if path.is_relative_to(ours) else "/".join(path.parts[-2:])

    return [(place(path), meaning(path)) for path in sorted(paths)]


def meaning(path: Path) -> str:
    """Digest of what a source means: comments, docstrings and layout do not count. Of another file its SHA-256."""
    status = path.stat()
    return _meaning(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _meaning(path: Path, written_ns: int, size: int) -> str:
    if path.suffix != ".py":
        return sha256(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def packages(paths: Iterable[Path]) -> set[str]:
    """Names of the packages of others that these sources import."""
    return set().union(*(_packages(path) for path in paths if path.suffix == ".py")) - {PACKAGE.name}


@cache
def _packages(path: Path) -> frozenset[str]:
    return frozenset(name.split(".")[0] for name in _imports(_tree(path)))


def _exempt(module: str, asked: set[str]) -> bool:
    parts = module.split(".")
    return parts[0] == PACKAGE.name and len(parts) > 1 and parts[1] in ORCHESTRATION and parts[1] not in asked


def _declares(module: str) -> bool:
    """Whether its functions are asked for one by one."""
    return module.rpartition(".")[0] in {f"{PACKAGE.name}.{package}" for package in DECLARING}


@cache
def _path(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # a name in a module, and no module
            return None
        return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
    base = PACKAGE.joinpath(*parts[1:])
    file = base.with_suffix(".py") if len(parts) > 1 else PACKAGE / "__init__.py"
    return next((path for path in (file, base / "__init__.py") if path.is_file()), None)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _reached(path: Path, module: str, function: str) -> tuple[str, ...]:
    """What a module imports; with a function: what stands outside of all functions, and in those that this one uses."""
    tree, package = _tree(path), module if path.name == "__init__.py" else module.rpartition(".")[0]
    if not function:
        return tuple(_imports(tree, package))
    outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    definitions = _definitions(tree)
    # What is imported of modules that declare: nothing of it runs before a function uses it.
    known = {alias: name for node in outside for alias, name in _of_declaring(node)}
    reached = [name for node in outside for name in _imports(node, package) if not _declares(name.partition(":")[0])]
    reached += [f"{name.partition(':')[0]}:<outside>" for name in known.values()]
    used: set[str] = set()
    left = [function]
    while left:
        name = left.pop()
        if name in used:
            continue
        used.add(name)
        for definition in definitions.get(name, ()):
            inside = list(ast.walk(definition))
            declaring = known | {alias: of for child in inside for alias, of in _of_declaring(child)}
            reached += [of for of in _imports(definition, package) if not _declares(of.partition(":")[0])]
            for child in inside:
                if (
                    isinstance(child, ast.Attribute)
                    and isinstance(child.value, ast.Name)
                    and child.value.id in declaring
                ):
                    reached.append(f"{declaring[child.value.id]}:{child.attr}")
                elif isinstance(child, ast.Name):
                    left.append(child.id)
                    if ":" in declaring.get(child.id, ""):
                        reached.append(declaring[child.id])
    return tuple(reached)


def _definitions(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """By name: functions, classes, and what is assigned and called nothing, such as another name of a function; all lambdas."""
    found: dict[str, list[ast.AST]] = {"<lambda>": [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = [node]
        elif isinstance(node, ast.Assign) and (
            # A declaration calls its type, with all functions: asking for one of them asks for no other.
            isinstance(node.value, ast.Lambda) or not any(isinstance(child, ast.Call) for child in ast.walk(node.value))
        ):
            found |= {target.id: [node.value] for target in node.targets if isinstance(target, ast.Name)}
    return found


def _of_declaring(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(the name it has here, `module` or `module:name`) of what is imported of modules that declare."""
    if isinstance(node, ast.Import):
        yield from ((alias.asname, alias.name) for alias in node.names if alias.asname and _declares(alias.name))
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            if _declares(node.module):
                yield alias.asname or alias.name, f"{node.module}:{alias.name}"
            elif _declares(name) and _path(name):
                yield alias.asname or alias.name, name


def _imports(node: ast.AST, package: str = "") -> Iterator[str]:
    """Every module that may be imported below a node, or that a string names; `package` is what relative imports start from."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for line in node.orelse:
            yield from _imports(line, package)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAMED.fullmatch(node.value):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, package)


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
