"""Files of the driver's machine for workers on any node: through Ray's object store, and once per node onto its disk.

On the driver's own node, and so in every session without a cluster, files are used where they lie.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jscgc.cluster.session import on_a_cluster

UNUSED_S = 24 * 3600
"""Seconds after which a node forgets files that no worker has asked for."""


@dataclass(frozen=True)
class Sharing:
    """Travels to every worker: the driver's node, and for other nodes a reference to each file's bytes.

    digest: of all names and contents; empty where nothing has to travel.
    """

    node: str
    digest: str
    files: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Sharing:
        """Put files, and what is below folders, into the object store (nothing without a cluster).

        Args:
            paths: absolute.
        """
        import ray

        node = ray.get_runtime_context().get_node_id()
        if not on_a_cluster():
            return cls(node, "", ())
        total, files = hashlib.sha256(), []
        for path in sorted(set(paths)):
            for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
                content = file.read_bytes()
                total.update(os.fsencode(file) + f"\0{len(content)}\0".encode() + hashlib.sha256(content).digest())
                files.append((str(file), ray.put(content)))
        return cls(node, total.hexdigest(), tuple(files))

    def here(self, path: Path) -> Path:
        """Where on this node a shared path lies, or a folder above shared ones."""
        import ray

        if not self.digest or ray.get_runtime_context().get_node_id() == self.node:
            return path
        return self._mirror() / path.relative_to(path.anchor)

    def _mirror(self) -> Path:
        """This node's copy of the driver's tree; written by the first worker that asks, kept for the next evaluation."""
        import ray

        base = Path(tempfile.gettempdir()) / f"jscgc-{getpass.getuser()}"
        base.mkdir(mode=0o700, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise ValueError(f"{base}: belongs to somebody else; remove it on this node, or set TMPDIR")
        tree = base / self.digest
        with (base / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not tree.is_dir():
                _forget(base)
                beginning = base / f"{self.digest}.tmp"
                shutil.rmtree(beginning, ignore_errors=True)
                for name, reference in self.files:
                    file = beginning / Path(name).relative_to(Path(name).anchor)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(ray.get(reference))
                beginning.rename(tree)
            os.utime(tree)
        return tree


def _forget(base: Path) -> None:
    for tree in base.iterdir():
        if tree.is_dir() and time.time() - tree.stat().st_mtime > UNUSED_S:
            shutil.rmtree(tree, ignore_errors=True)
