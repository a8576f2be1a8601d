"""Stages train_vae, pretrain_flow and train_METHOD: one network, named on the command line."""

import sys
from contextlib import suppress

from jscgc.config import ParamsError
from jscgc.latent.autoencoder import load_vae
from jscgc.method import trainable
from jscgc.params import load_params
from jscgc.training import make
from pipeline.graph import name_of
from pipeline.stage import MODELS, stage

with suppress(ParamsError):  # which the stage says
    load_params()  # the plugins that it names declare methods, too
known = ("vae", *trainable())
if len(sys.argv) != 2 or sys.argv[1] not in known:
    sys.exit(f"usage: python -m pipeline.train {{{','.join(known)}}}")
result = sys.argv[1]

with stage(name_of(result)) as running:
    with running.training(result) as (train, inputs):
        net = train(make.train_on, result, inputs)
        make.save(result, running.params, inputs, net, MODELS / result)
    if result == "vae":
        running.metrics |= {"channels": load_vae(MODELS / result).channels}
    running.trained(MODELS / result)
