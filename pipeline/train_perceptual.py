"""Stage train_perceptual@DISTANCE (and train_perceptual_pixels): MambaJSCC trained on for a perceptual distance."""

import sys

from jscgc.methods import PERCEPTUAL
from jscgc.systems.store import Architecture, load, perceptual_start, save
from jscgc.training.recipes import train_perceptual_codec
from pipeline.stage import MODELS, PHOTOS, stage

if len(sys.argv) != 2 or sys.argv[1] not in PERCEPTUAL:
    sys.exit(f"usage: python -m pipeline.train_perceptual {{{','.join(PERCEPTUAL)}}}")
(codec,) = (name for name in PERCEPTUAL if name == sys.argv[1])
start = MODELS / perceptual_start(codec)

with stage(f"train_{codec}") as running, running.training(PHOTOS, start) as train:
    net = train(train_perceptual_codec, codec, PHOTOS, MODELS)
    save(MODELS / codec, Architecture.of(codec, running.params), load(start).latents, net)
    running.trained(MODELS / codec)
