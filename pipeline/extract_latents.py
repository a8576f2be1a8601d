"""Stage extract_latents: normalised latents of random crops, cached, with their statistics."""

from jscgc.training.latents import extract_latents
from pipeline.stage import LATENTS, MODELS, PHOTOS, stage

with stage("extract_latents") as running, running.work("latents") as folder:
    statistics = extract_latents(running.params, PHOTOS, MODELS / "vae", LATENTS, folder)
    running.metrics |= {"crops": running.params.latents.crops, "channels": statistics.channels}
    running.run.artifact(LATENTS / "statistics.json")
