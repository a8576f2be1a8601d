"""Stage report: summary, still grid and page, from the results alone."""

from pathlib import Path

from jscgc import tracking
from jscgc.files import read_json, write_json
from jscgc.report import build_page, load_results, picture_grid, summarise
from pipeline.stage import PHOTOS, REPORTS, ROOT, stage

with stage("report") as running:
    results = load_results(REPORTS / "results.csv")
    write_json(REPORTS / "summary.json", summarise(results))
    picture_grid(REPORTS / "pictures", results, REPORTS / "grid.png")
    build_page(
        REPORTS,
        params_text=Path("params.yaml").read_text(encoding="utf-8"),
        manifest=read_json(PHOTOS / "manifest.json"),
        commit=tracking.commit(ROOT),
        profile=running.params.profile,
    )
    for name in ("summary.json", "grid.png", "index.html"):
        running.run.artifact(REPORTS / name)
