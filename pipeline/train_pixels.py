"""Stage train_pixels@CODEC: one reconstruction codec on pixels, named on the command line."""

import sys

from jscgc.latent.pixels import PIXELS
from jscgc.methods import PIXEL
from jscgc.systems.store import Architecture, save
from jscgc.training.recipes import train_pixel_codec
from pipeline.stage import MODELS, PHOTOS, stage

if len(sys.argv) != 2 or sys.argv[1] not in PIXEL:
    sys.exit(f"usage: python -m pipeline.train_pixels {{{','.join(PIXEL)}}}")
(codec,) = (name for name in PIXEL if name == sys.argv[1])

with stage(f"train_{codec}") as running, running.training(PHOTOS) as train:
    net = train(train_pixel_codec, codec, PHOTOS)
    save(MODELS / codec, Architecture.of(codec, running.params), PIXELS, net)
    running.trained(MODELS / codec)
