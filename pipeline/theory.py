"""Stage theory: every statement of the theory beside what the code measures, and what the latents' spectrum predicts."""

import logging

from jscgc.files import read_json, write_json
from jscgc.latent.cache import cached
from jscgc.latent.spectrum import spectrum
from jscgc.theory import run
from pipeline.stage import LATENTS, REPORTS, stage

with stage("theory") as running:
    found = spectrum(cached(LATENTS).values(), read_json(LATENTS / "statistics.json")["factor"])
    checked = run(found.variances, found.positions)
    write_json(REPORTS / "theory.json", checked)
    rows = checked["rows"]
    wrong = [row["check"] for row in rows if not row["ok"]]
    running.metrics |= {"checks": len(rows), "missed": len(wrong)}
    if wrong:
        # The report shows it; `jscgc theory` and the tests fail by it.
        logging.warning("%d of %d statements missed their tolerance: %s", len(wrong), len(rows), "; ".join(wrong))
