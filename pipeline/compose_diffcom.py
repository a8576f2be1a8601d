"""Stage compose_diffcom: the competitor that learns nothing beyond the codec and the prior."""

from jscgc.systems.store import Architecture, save
from jscgc.training.recipes import compose_diffcom, read_statistics
from pipeline.stage import LATENTS, MODELS, stage

with stage("compose_diffcom") as running:
    net = compose_diffcom(running.params, LATENTS, MODELS / "flow", MODELS / "mambajscc_psnr")
    save(MODELS / "diffcom", Architecture.of("diffcom", running.params), read_statistics(LATENTS), net)
    running.trained(MODELS / "diffcom")
