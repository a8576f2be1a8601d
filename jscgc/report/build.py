"""The whole report of a folder of results: summary, comparisons, page, still grid, and figures, tables and a PDF for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jscgc.files import read_json, write_json
from jscgc.report.booklet import save_paper
from jscgc.report.comparison import write_comparisons
from jscgc.report.headline import receiver_costs
from jscgc.report.page import build_page
from jscgc.report.pictures import picture_grid
from jscgc.report.reading import load_results
from jscgc.report.summary import matrices, summarise

NOTES = (
    "DiffJSCC here is our two-stage system on the same generator and adapter, not its authors' code; "
    "MambaJSCC works on the VAE's latents, so that all methods share the VAE's error (but those named pixels, DeepJSCC, "
    "SwinJSCC and the image codecs, which know no VAE). Deviations from the papers: docs/baselines.md.",
)
"""What holds of every report."""


def build_report(
    folder: Path,
    *,
    params_text: str,
    manifest: Mapping[str, Any] | None,
    commit: str,
    profile: str,
    notes: Sequence[str] = (),
) -> list[str]:
    """Write all parts beside `folder`/results.csv; the same results give the same bytes.

    Args:
        folder: with results.csv and, where they exist, pictures/, curves/, metrics/ and timing.json.
        params_text, manifest, commit, profile: see `build_page`.
        notes: known limits of the run, before those of every report.

    Returns:
        Names of the files written, but for the folders figures/ and tables/.

    Raises:
        ValueError: results.csv is missing or breaks its contract.
    """
    results = load_results(folder / "results.csv")
    timing = folder / "timing.json"
    cells = matrices(results)
    summary = summarise(results, cells) | {"costs": receiver_costs(read_json(timing) if timing.is_file() else [])}
    write_json(folder / "summary.json", summary)
    write_comparisons(summary, folder)
    grid = picture_grid(folder / "pictures", results, folder / "grid.png")
    measured = datetime.fromtimestamp((folder / "results.csv").stat().st_mtime, UTC)
    said = [*notes, *NOTES]
    build_page(
        folder,
        params_text=params_text,
        manifest=manifest,
        date=f"{measured:%Y-%m-%d}",
        notes=said,
        summary=summary,
        cells=cells,
        commit=commit,
        profile=profile,
    )
    save_paper(folder, cells, summary, notes=said, commit=commit, profile=profile)
    names = ["index.html", "report.pdf", "summary.json", "paired.csv", "bd_rate.csv"]
    return [*names, "grid.png"] if grid else names
