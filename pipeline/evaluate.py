"""Stage evaluate: the grid of methods x channels x SNRs x rates x test photographs x seeds, on Ray."""

from jscgc.data.prepared import split_files
from jscgc.evaluation.run import evaluate
from jscgc.evaluation.table import write_csv
from jscgc.files import write_json
from jscgc.precision import resolve_precision
from jscgc.project import main_checkout
from jscgc.stages import name_of
from pipeline.stage import MODELS, PHOTOS, REPORTS, stage

with stage("evaluate", networks=True) as running:
    p = running.params
    for result in p.finetuned:
        if not (MODELS / result / "model.json").exists():
            raise ValueError(f"{MODELS / result}: no model here; run: dvc repro {name_of(result)}")
    evaluation = evaluate(
        MODELS,
        split_files(PHOTOS, "test"),
        p.evaluate,
        p.sample,
        seed=p.seed,
        device=p.device,
        out=REPORTS / "results.csv",
        pictures=REPORTS / "pictures",
        controls=True,
        store=main_checkout() / p.evaluate.store if p.evaluate.store else None,
        precision=resolve_precision(p.precision, p.device),
        conditions=() if p.evaluate.conditions == "all" else p.conditions,
        tuned=p.finetuned,
    )
    evaluation.protocol.write(REPORTS / "protocol.json")
    write_json(REPORTS / "timing.json", evaluation.timing)
    for step, scalars in evaluation.curves():
        running.run.log(step, scalars)
    headline = evaluation.headline()
    headline.write(REPORTS / "headline")
    write_csv(evaluation.by_snr(), REPORTS / "by_snr.csv")
    running.run.headline(headline.scalars())
    running.evaluated(headline, evaluation.protocol.hash)
    running.metrics |= {"jobs": evaluation.jobs, "jobs_stored": evaluation.stored}
    table = evaluation.by_snr()
    running.run.table("results_by_snr.json", list(table.columns), table.values.tolist())
    running.run.tag("step", "SNR in hundredths of a dB; 0 for scalars of no curve")
    running.run.artifact(REPORTS / "results.csv")
    running.run.artifact(REPORTS / "protocol.json")
    running.run.artifact(REPORTS / "pictures")
