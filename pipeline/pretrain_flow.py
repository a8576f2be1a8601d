"""Stage pretrain_flow: the unconditional latent flow."""

from jscgc.systems import store
from jscgc.training.recipes import pretrain_flow, prior_architecture, read_statistics
from pipeline.stage import LATENTS, MODELS, stage

with stage("pretrain_flow") as running:
    with running.training(LATENTS, *running.start("flow")) as train:
        net = train(pretrain_flow, LATENTS)
        store.save(MODELS / "flow", prior_architecture(running.params), read_statistics(LATENTS), net)
    running.trained(MODELS / "flow")
