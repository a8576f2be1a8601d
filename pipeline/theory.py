"""Stage theory: every statement of the theory beside what the code measures."""

import logging

from jscgc.files import write_json
from jscgc.theory import run
from pipeline.stage import REPORTS, stage

with stage("theory") as running:
    checked = run()
    write_json(REPORTS / "theory.json", checked)
    rows = checked["rows"]
    wrong = [row["check"] for row in rows if not row["ok"]]
    running.metrics |= {"checks": len(rows), "missed": len(wrong)}
    if wrong:
        # The report shows it; `jscgc theory` and the tests fail by it.
        logging.warning("%d of %d statements missed their tolerance: %s", len(wrong), len(rows), "; ".join(wrong))
