"""Stage report: summary, page, and figures, tables and a PDF for a paper, from the results alone."""

from datetime import UTC, datetime
from pathlib import Path

from jscgc import tracking
from jscgc.files import read_json, write_json
from jscgc.report import build_page, load_results, picture_grid, summarise
from jscgc.report.booklet import save_paper
from jscgc.report.comparison import write_comparisons
from pipeline.stage import PHOTOS, REPORTS, ROOT, stage

with stage("report") as running:
    results = load_results(REPORTS / "results.csv")
    summary = summarise(results)
    write_json(REPORTS / "summary.json", summary)
    write_comparisons(summary, REPORTS)
    picture_grid(REPORTS / "pictures", results, REPORTS / "grid.png")
    manifest = read_json(PHOTOS / "manifest.json")
    measured = datetime.fromtimestamp((REPORTS / "results.csv").stat().st_mtime, UTC)
    counts = manifest["counts"]
    made = {"commit": tracking.commit(ROOT), "profile": running.params.profile}
    notes = [
        f"Trained on {counts['train']} photographs and tested on {counts['test']} others: intervals over so few "
        "photographs are too narrow, and say little about other photographs.",
        "DiffJSCC here is our two-stage system on the same generator and adapter, not its authors' code; "
        "MambaJSCC works on the VAE's latents, so that all methods share the VAE's error (but those named pixels, DeepJSCC, "
        "SwinJSCC and the image codecs, which know no VAE). Deviations from the papers: docs/baselines.md.",
    ]
    build_page(
        REPORTS,
        params_text=Path("params.yaml").read_text(encoding="utf-8"),
        manifest=manifest,
        date=f"{measured:%Y-%m-%d}",
        notes=notes,
        summary=summary,
        **made,
    )
    save_paper(REPORTS, results, summary, notes=notes, **made)
    for name in ("summary.json", "paired.csv", "bd_rate.csv", "grid.png", "index.html", "report.pdf"):
        running.run.artifact(REPORTS / name)
