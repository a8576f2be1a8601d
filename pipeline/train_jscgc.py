"""Stage train_jscgc: encoder and adapter (and generator, if set) jointly, the gradient running through the channel."""

from jscgc.systems import store
from jscgc.training.recipes import read_statistics, train_jscgc
from pipeline.stage import LATENTS, MODELS, stage

with stage("train_jscgc") as running:
    flow, codec = MODELS / "flow", MODELS / "mambajscc_psnr"
    with running.training(LATENTS, flow, codec, *running.start("jscgc")) as train:
        net = train(train_jscgc, LATENTS, flow, codec)
        architecture = store.Architecture.of("jscgc", running.params)
        store.save(MODELS / "jscgc", architecture, read_statistics(LATENTS), net)
    running.trained(MODELS / "jscgc")
