"""Stages train_vae, pretrain_flow and train_METHOD: one network, named on the command line."""

import sys

from jscgc.latent.autoencoder import load_vae
from jscgc.method import trainable
from jscgc.stages import name_of
from jscgc.training import make
from pipeline.stage import MODELS, stage

if len(sys.argv) != 2:
    sys.exit("usage: python -m pipeline.train NAME (vae, flow or a method)")
result = sys.argv[1]

with stage(name_of(result), networks=True) as running:
    # params.yaml has been read, and the plugins that it names
    if result not in (known := ("vae", *trainable(), *running.params.finetuned)):
        raise ValueError(f"nothing trains {result!r}; choose from {', '.join(known)}")
    with running.training(result) as (train, inputs):
        net = train(make.train_on, result, inputs)
        make.save(result, running.params, inputs, net, MODELS / result)
    if result == "vae":
        running.metrics |= {"channels": load_vae(MODELS / result).channels}
    running.trained(MODELS / result)
