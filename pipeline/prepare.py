"""Stage prepare: photographs, split by photograph, with a manifest of checksums and licences."""

if __name__ == "__main__":  # the processes that read photographs import this file, too, and need none of what follows
    from jscgc.data.prepared import prepare
    from jscgc.machine import cores
    from pipeline.stage import PHOTOS, stage

    with stage("prepare") as running, running.work("photos") as folder:
        readers = running.params.distributed.readers or cores()
        manifest = prepare(running.params.data, running.params.seed, PHOTOS, readers, folder)
        running.metrics |= manifest["counts"]
        running.run.artifact(PHOTOS / "manifest.json")
