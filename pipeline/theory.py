"""Stage theory: every statement of the theory beside what the code measures."""

from jscgc.files import write_json
from jscgc.theory import run
from pipeline.stage import REPORTS, stage

with stage("theory") as running:
    found = run()
    write_json(REPORTS / "theory.json", found)
    wrong = [row["check"] for row in found["rows"] if not row["ok"]]
    running.metrics |= {"checks": len(found["rows"]), "missed": len(wrong)}
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(found['rows'])} checks missed their tolerance: {'; '.join(wrong)}")
