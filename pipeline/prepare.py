"""Stage prepare: photographs, split by photograph, with a manifest of checksums and licences."""

from jscgc.data.prepared import prepare
from pipeline.stage import PHOTOS, stage

with stage("prepare") as running:
    manifest = prepare(running.params.data, running.params.seed, PHOTOS)
    running.metrics |= manifest["counts"]
    running.run.artifact(PHOTOS / "manifest.json")
