"""Stage report: summary, page, and figures, tables and a PDF for a paper, from the results alone."""

from pathlib import Path

from jscgc import tracking
from jscgc.files import read_json
from jscgc.report.build import build_report
from jscgc.report.headline import description
from pipeline.stage import PHOTOS, REPORTS, ROOT, stage

with stage("report") as running:
    manifest = read_json(PHOTOS / "manifest.json")
    counts = manifest["counts"]
    few = (
        f"Trained on {counts['train']} photographs and tested on {counts['test']} others: intervals over so few "
        "photographs are too narrow, and say little about other photographs."
    )
    written = build_report(
        REPORTS,
        params_text=Path("params.yaml").read_text(encoding="utf-8"),
        manifest=manifest,
        commit=tracking.commit(ROOT),
        profile=running.params.profile,
        notes=[few],
    )
    running.run.describe(description(read_json(REPORTS / "summary.json")))
    for name in written:
        running.run.artifact(REPORTS / name)
