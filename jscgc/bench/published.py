"""`jscgc bench published`: separation beside what others published for it, and 5G's LDPC codes beside the theory.

If HEVC with an ideal code, or LDPC with QAM, were weaker here than in the literature, every comparison with them would flatter
the learned methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from jscgc import cluster
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.classical.finite_length import required_snr_db
from jscgc.classical.ldpc import transport_block
from jscgc.classical.mcs import Mcs, segments
from jscgc.data.images import open_photo, to_tensor
from jscgc.files import atomic
from jscgc.flow.params import SampleParams
from jscgc.metrics import pair_metric
from jscgc.seeding import stream
from jscgc.systems.base import Link
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit

RATE = 48
"""CBR 1/16."""
BLOCK_ERROR = 0.1
"""Block error rate at which a waterfall's place is read."""
WATERFALLS = (Mcs(2, 308 / 1024), Mcs(2, 602 / 1024), Mcs(4, 490 / 1024), Mcs(6, 666 / 1024), Mcs(8, 754 / 1024))
WATERFALL_TOLERANCE_DB = 0.5
LONGEST_BLOCK_BITS = 8200
"""5G's longest code block has 8448 bits, checksum included."""
THEORY = "normal approximation for bit-interleaved coded modulation (Polyanskiy, Poor & Verdu 2010)"


@dataclass(frozen=True)
class Anchor:
    """Published PSNRs in dB on Kodak at CBR 1/16 over AWGN, by SNR in dB, and how far ours may be from them."""

    method: str
    source: str
    published: dict[float, float]
    tolerance_db: float


ANCHORS = (
    Anchor(
        "hevc_capacity",
        "BPG 4:4:4 + capacity: CompressAI's BPG curve at bpp = 3 CBR log2(1 + SNR); the plot of WITT (arXiv 2205.13727)",
        {1: 29.85, 4: 31.47, 7: 33.17, 10: 34.59, 13: 35.97},
        0.4,
    ),
    Anchor(
        "hevc_ldpc",
        "BPG + LDPC: the plot of WITT (arXiv 2205.13727)",
        {2: 29.25, 6: 30.25, 8: 31.95, 10: 33.3, 13: 35.45},
        1.2,
    ),
)


Measured = dict[tuple[str, float], float]
"""By method and SNR in dB: the PSNR of one photo in dB."""


class _Worker:
    """Either the PSNRs of one photo over AWGN, or the place of one code's waterfall in dB."""

    def __init__(self, here: Callable[[Path], Path]) -> None:
        self._here = here
        torch.set_num_threads(1)

    def run(self, job: Path | Mcs) -> Measured | float:
        return waterfall_db(job) if isinstance(job, Mcs) else _psnrs(self._here(job))


def _psnrs(path: Path) -> Measured:
    photo = to_tensor(open_photo(path))
    sample = SampleParams(steps=1, guidance=1.0)  # nothing is sampled here
    psnrs = {}
    for anchor in ANCHORS:
        system = load_system(anchor.method)
        for snr_db in anchor.published:
            received = transmit(system, photo, Link("awgn", snr_db, RATE), sample=sample, seed=0, key=path.name).photo
            psnrs[anchor.method, snr_db] = float(pair_metric("psnr")(photo[None], received[None])[0])
    return psnrs


def bench_published(photos: Sequence[Path], workers: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of figure, source, setting, published, ours, difference, tolerance; the last four in dB.

    Args:
        photos: the 24 images of Kodak, for the comparison to mean anything.
        workers: processes; 0: one per core.

    Raises:
        CannotOperate: a photo that does not fit.
    """
    absolute = [photo.absolute() for photo in photos]
    jobs: list[Path | Mcs] = [*absolute, *WATERFALLS]
    results = dict(cluster.run_jobs(_Worker, jobs, cluster.Workers(workers), "published", files=absolute))
    done = [(job, results[job]) for job in jobs]
    measured = [values for _, values in done if isinstance(values, dict)]
    for anchor in ANCHORS:
        for snr_db, published in anchor.published.items():
            psnrs = [values[anchor.method, snr_db] for values in measured]
            setting = f"Kodak ({len(psnrs)} images), CBR 1/16, AWGN {snr_db:g} dB"
            figure, mean = f"PSNR of {anchor.method} (dB)", sum(psnrs) / len(psnrs)
            yield _row(figure, anchor.source, setting, published, mean, anchor.tolerance_db)
    for job, value in done:
        if isinstance(job, Mcs) and isinstance(value, float):
            setting = f"{2**job.order}QAM, rate {job.code_rate:.3f}, one code block, AWGN, block error {BLOCK_ERROR:g}"
            expected = expected_db(job)
            yield _row("SNR that 5G's LDPC code needs (dB)", THEORY, setting, expected, value, WATERFALL_TOLERANCE_DB)


def _row(figure: str, source: str, setting: str, published: float, ours: float, tolerance: float) -> dict[str, Any]:
    return {
        "figure": figure,
        "source": source,
        "setting": setting,
        "published": round(published, 2),
        "ours": round(ours, 2),
        "difference": round(ours - published, 2),
        "tolerance": tolerance,
    }


def one_block(scheme: Mcs) -> int:
    """Symbols of a transport block that is one code block, nearly as long as there are."""
    return int(LONGEST_BLOCK_BITS / scheme.efficiency)


def expected_db(scheme: Mcs) -> float:
    """The SNR in dB at which the normal approximation has a share BLOCK_ERROR of such blocks lost."""
    symbols = one_block(scheme)
    cut = segments(scheme, symbols)
    assert cut.blocks == 1
    return required_snr_db(scheme.order, cut.block_bits / (scheme.order * symbols), symbols, BLOCK_ERROR)


def waterfall_db(scheme: Mcs, trials: int = 60, step_db: float = 0.1) -> float:
    """The SNR in dB at which a share BLOCK_ERROR of blocks is lost; upwards from theory's in steps, then interpolated."""
    snr_db = expected_db(scheme)
    before = block_error(scheme, snr_db, trials)
    while before > BLOCK_ERROR:
        snr_db += step_db
        after = block_error(scheme, snr_db, trials)
        if after <= BLOCK_ERROR:
            return snr_db - step_db * (BLOCK_ERROR - after) / (before - after)
        before = after
    return snr_db


def block_error(scheme: Mcs, snr_db: float, trials: int) -> float:
    """Share of `trials` random blocks over AWGN whose checksum fails.

    Raises:
        ValueError: a block arrives wrong with its checksum right.
    """
    block = transport_block(scheme, one_block(scheme))
    rng = stream(0, "waterfall", scheme.order, round(1024 * scheme.code_rate), f"{snr_db:.3f}")
    channel, lost = get_channel("awgn"), 0
    for _ in range(trials):
        message = torch.randint(2, (block.payload_bits,), generator=rng).numpy().astype(np.uint8)
        received = equalise(channel(block.encode(message)[None], torch.tensor([snr_db]), rng))
        arrived = block.decode(received.estimate[0], received.reliability[0])
        if arrived is not None and not np.array_equal(arrived, message):
            raise ValueError(f"{scheme}: a wrong block passed its checksum at {snr_db:g} dB")
        lost += arrived is None
    return lost / trials


def write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The rows as CSV, whole or not at all."""
    with atomic(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
