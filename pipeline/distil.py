"""Stage distil: a receiver of few steps, taught by JSCGC's."""

from jscgc.systems import store
from jscgc.training.recipes import distil, read_statistics
from pipeline.stage import LATENTS, MODELS, stage

with stage("distil") as running:
    teacher = MODELS / "jscgc"
    with running.training(LATENTS, teacher) as train:
        net = train(distil, LATENTS, teacher)
        architecture = store.Architecture.of("jscgc_fast", running.params)
        store.save(MODELS / "jscgc_fast", architecture, read_statistics(LATENTS), net)
    running.trained(MODELS / "jscgc_fast")
