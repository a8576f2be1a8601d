"""Finished jobs on disk, found again by everything that their results depend on (see `identity`).

    FOLDER/METHOD/KEY.parquet      one finished job: a row with identity, scores, patch features, picture and times
    FOLDER/.claims/NAME.json       what a running evaluation is at; its lock ends with it, however it ends

A file is whole or not there, so a killed evaluation leaves finished jobs only and the next one goes on from there. All of it is
one table: `pandas.read_parquet(FOLDER)`. Whatever is deleted is computed again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jscgc.channel.spec import file_name
from jscgc.evaluation.identity import JobKey
from jscgc.evaluation.jobs import Job, JobResult
from jscgc.files import atomic

log = logging.getLogger(__name__)
Features = dict[str, np.ndarray]


class ResultStore:
    """A folder of finished jobs; many processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: JobKey) -> JobResult | None:
        """The finished job of that key; None if there is none, or its file is damaged (a warning says so)."""
        # Not before: pyarrow takes half a second, and nobody needs it for --help.
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._path(key)
        if not path.is_file():
            return None
        try:
            row = pq.read_table(path, page_checksum_verification=True, partitioning=None).to_pylist()[0]
            if row["identity"] != key.identity:
                raise ValueError("it belongs to another job")
            return _from_row(row)
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError) as error:
            log.warning("%s: damaged, the job is run again (%s)", path, str(error).splitlines()[0][:200])
            return None

    def save(self, key: JobKey, job: Job, result: JobResult, protocol: str) -> None:
        """Keep a finished job; `protocol` is the hash of the one that it was run for (others may use it too)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._path(key)
        with atomic(path) as temporary:
            table = pa.Table.from_pylist([_to_row(key, job, result, protocol)], schema=_schema())
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True, write_statistics=False)

    def __len__(self) -> int:
        return len(list(self._folder.glob("*/*.parquet")))

    @contextmanager
    def claim(self, wanted: set[str]) -> Iterator[set[str]]:
        """Those of the wanted keys that no other running evaluation is at; they are this one's until the block ends."""
        claims = self._folder / ".claims"
        claims.mkdir(parents=True, exist_ok=True)
        with (claims / "lock").open("a") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            others = [self._alive(path) for path in sorted(claims.glob("*.json"))]
            if all(keys is None for keys in others):
                self._sweep()
            free = wanted.difference(*(keys for keys in others if keys is not None))
            claim_file = claims / f"{os.getpid()}-{uuid.uuid4().hex}.json"
            file = claim_file.open("w+")
            fcntl.flock(file, fcntl.LOCK_EX)
            json.dump(sorted(free), file)
            file.flush()
        try:
            yield free
        finally:
            claim_file.unlink(missing_ok=True)
            file.close()

    def _alive(self, path: Path) -> set[str] | None:
        """What a running evaluation has claimed; None, and the claim removed, if it runs no more."""
        try:
            with path.open("r") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return set(json.load(file))
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return None

    def _sweep(self) -> None:
        """Remove what killed processes had begun to write."""
        for path in self._folder.glob("*/.*.tmp"):
            path.unlink(missing_ok=True)

    def _path(self, key: JobKey) -> Path:
        return self._folder / file_name(key.method) / f"{key.key}.parquet"


def _schema() -> Any:
    import pyarrow as pa

    scores = pa.map_(pa.string(), pa.float64())
    features = pa.list_(
        pa.struct(
            [
                ("metrics", pa.list_(pa.string())),
                ("rows", pa.int64()),
                ("columns", pa.int64()),
                ("type", pa.string()),
                ("data", pa.binary()),
            ]
        )
    )
    means = pa.list_(pa.struct([("count", pa.int64()), ("scores", scores), ("features", features)]))
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    return pa.schema(
        [
            *[(name, text) for name in ("key", "identity", "protocol", "method", "label", "channel", "image")],
            *[
                ("snr_db", real),
                ("rate", whole),
                ("seed", whole),
                ("steps", whole),
                ("height", whole),
                ("width", whole),
            ],
            *[("encode_ms", real), ("decode_ms", real), ("receiver_parameters", whole), ("receiver_gflops", real)],
            ("warm", pa.bool_()),
            *[("scores", scores), ("features", features), ("means", means), ("png", pa.binary())],
        ]
    )


def _to_row(key: JobKey, job: Job, result: JobResult, protocol: str) -> dict[str, Any]:
    return {
        "key": key.key,
        "identity": key.identity,
        "protocol": protocol,
        "method": job.method,
        "label": job.label,
        "channel": job.channel,
        "image": job.image,
        "snr_db": job.snr_db,
        "rate": job.rate,
        "seed": job.seed,
        "steps": result.steps,
        "height": result.height,
        "width": result.width,
        "encode_ms": result.encode_ms,
        "decode_ms": result.decode_ms,
        "receiver_parameters": result.receiver_parameters,
        "receiver_gflops": result.receiver_gflops,
        "warm": result.warm,
        "scores": list(result.scores.items()),
        "features": _pack(result.features),
        "means": [
            {"count": count, "scores": list(scores.items()), "features": _pack(features)}
            for count, (scores, features) in result.means.items()
        ],
        "png": result.png,
    }


def _from_row(row: Mapping[str, Any]) -> JobResult:
    return JobResult(
        dict(row["scores"]),
        _unpack(row["features"]),
        row["png"],
        row["steps"],
        row["encode_ms"],
        row["decode_ms"],
        row["height"],
        row["width"],
        {mean["count"]: (dict(mean["scores"]), _unpack(mean["features"])) for mean in row["means"]},
        row["receiver_parameters"],
        row["receiver_gflops"],
        row["warm"],
    )


def _pack(features: Features) -> list[dict[str, Any]]:
    """Arrays [N,D], each once (FID and KID share them), in single precision where that loses nothing."""
    packed: dict[tuple[Any, ...], list[str]] = {}
    for name, array in features.items():
        short = array.astype(np.float32)
        kept = short if np.array_equal(short.astype(array.dtype), array) else array
        packed.setdefault((*array.shape, f"{kept.dtype.str}{array.dtype.str}", kept.tobytes()), []).append(name)
    return [
        {"metrics": names, "rows": rows, "columns": columns, "type": types, "data": data}
        for (rows, columns, types, data), names in packed.items()
    ]


def _unpack(packed: list[dict[str, Any]]) -> Features:
    features: Features = {}
    for part in packed:
        kept, whole = part["type"][:3], part["type"][3:]
        array = np.frombuffer(part["data"], dtype=kept).reshape(part["rows"], part["columns"]).astype(whole)
        features |= dict.fromkeys(part["metrics"], array)
    return features
