"""Stage train_baselines@METHOD: one competitor, named on the command line."""

import sys

from jscgc.systems import store
from jscgc.training.recipes import read_statistics, train_codec, train_diffjscc
from pipeline.stage import LATENTS, MODELS, stage

METHODS = ("mambajscc_psnr", "diffjscc")
if len(sys.argv) != 2 or sys.argv[1] not in METHODS:
    sys.exit(f"usage: python -m pipeline.train_baselines {{{','.join(METHODS)}}}")
method = sys.argv[1]

with stage(f"train_baselines_{method}") as running:
    flow, codec = MODELS / "flow", MODELS / "mambajscc_psnr"
    if method == "mambajscc_psnr":
        with running.training(LATENTS, *running.start("mambajscc_psnr")) as train:
            codec_net = train(train_codec, LATENTS)
            architecture = store.Architecture.of("mambajscc_psnr", running.params)
            store.save(codec, architecture, read_statistics(LATENTS), codec_net)
    else:
        with running.training(LATENTS, flow, codec, *running.start("diffjscc")) as train:
            net = train(train_diffjscc, LATENTS, flow, codec)
            architecture = store.Architecture.of("diffjscc", running.params)
            store.save(MODELS / "diffjscc", architecture, read_statistics(LATENTS), net)
    running.trained(MODELS / method)
