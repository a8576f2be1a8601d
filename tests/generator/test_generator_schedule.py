"""The scheduler beside a pretrained generator: its shift is read, and our sampler is what it and its pipeline do."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from jscgc.flow.samplers import Grid, sample
from jscgc.generator.backbones import build_backbone
from jscgc.generator.params import GeneratorParams
from jscgc.generator.schedule import FILE, read_shift
from jscgc.params import Params

CAPTION = 8
STEPS = 6


@pytest.fixture(scope="module", params=[3.0, 6.0, 1.0])
def pipeline(request, tmp_path_factory) -> SimpleNamespace:
    """A tiny random ZImagePipeline of the very classes, without what reads text, as diffusers saves it."""
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel
    from diffusers.pipelines.z_image.pipeline_z_image import ZImagePipeline

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ZImageTransformer2DModel(
            in_channels=4, dim=64, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=CAPTION,
            axes_dims=[8, 12, 12],
        ).eval()  # fmt: skip
        vae = AutoencoderKL(
            block_out_channels=(8,) * 4, down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=4,
        )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, use_dynamic_shifting=False, shift=request.param
    )
    whole = ZImagePipeline(scheduler=scheduler, vae=vae, text_encoder=None, tokenizer=None, transformer=net)
    folder = tmp_path_factory.mktemp("pipeline")
    net.save_pretrained(folder / "transformer")
    scheduler.save_pretrained(folder / "scheduler")
    return SimpleNamespace(folder=folder, whole=whole, shift=request.param)


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_our_samples_are_the_pipeline_s(pipeline, noise):
    """The same model, noise and caption: diffusers' pipeline, its own scheduler stepping, and ours."""
    caption = torch.randn(5, CAPTION, generator=torch.Generator().manual_seed(2))
    theirs = pipeline.whole(
        prompt_embeds=[caption, caption], negative_prompt_embeds=[], latents=noise.clone(), height=64, width=64,
        num_inference_steps=STEPS, guidance_scale=0.0, output_type="latent",
    ).images  # fmt: skip
    shift = read_shift(str(pipeline.folder))
    assert shift == pipeline.shift
    params = {"backbone": "zimage", "source": "pretrained", "pretrained_path": str(pipeline.folder / "transformer")}
    train = {"steps": 1, "batch_size": 1, "learning_rate": 0.1}
    backbone = build_backbone(
        4, GeneratorParams.model_validate(params | {"widths": [1], "depth": 1, "train": train})
    ).eval()
    backbone.caption.features = caption
    ours = sample(backbone, noise, Grid(STEPS, shift))
    assert ours.nfe == STEPS
    assert (theirs - noise).std() > 0.05
    assert torch.allclose(ours.x0, theirs.reshape(ours.x0.shape), atol=2e-5, rtol=1e-4)
    if shift != 1:
        unshifted = sample(backbone, noise, Grid(STEPS)).x0
        assert (unshifted - theirs.reshape(unshifted.shape)).abs().max() > 100 * (
            ours.x0 - theirs.reshape(unshifted.shape)
        ).abs().max()


def test_the_grid_is_the_scheduler_s(pipeline):
    from diffusers.pipelines.z_image.pipeline_z_image import get_default_z_image_sigmas

    scheduler = pipeline.whole.scheduler
    scheduler.set_timesteps(sigmas=get_default_z_image_sigmas(50))
    assert torch.allclose(scheduler.sigmas.double(), torch.tensor(Grid(50, pipeline.shift).times).double(), atol=1e-6)


def test_it_is_read_beside_the_transformer_too(pipeline):
    assert read_shift(str(pipeline.folder / "transformer")) == pipeline.shift


def written(folder: Path, **changes: object) -> str:
    content = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_dynamic_shifting": False} | changes
    (folder / "scheduler").mkdir()
    (folder / FILE).write_text(json.dumps(content))
    return str(folder)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"_class_name": "DDIMScheduler"}, "its class 'DDIMScheduler' is none of FlowMatchEuler"),
        ({"use_dynamic_shifting": True}, "use_dynamic_shifting is set, .*; state time_shift as a number"),
        ({"shift_terminal": 0.02}, "shift_terminal is set"),
        ({"invert_sigmas": True}, "invert_sigmas is set"),
        ({"shift": 0}, "shift is 0, not a positive number"),
        ({"shift": True}, "shift is True"),
        ({"shift": "3"}, "shift is '3'"),
    ],
)
def test_what_is_no_constant_shift_of_our_time_is_refused(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said) as error:
        read_shift(written(tmp_path, **changes))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_a_missing_or_broken_file_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=f"generator.pretrained_path .*: no {FILE} can be read beside it"):
        read_shift(str(tmp_path))
    with pytest.raises(ValueError, match="no/such-model.*state time_shift as a number") as error:
        read_shift("no/such-model")
    assert "\n" not in str(error.value)
    Path(written(tmp_path), FILE).write_text("{")
    with pytest.raises(ValueError, match="can be read"):
        read_shift(str(tmp_path))


def scheduled(params: Params, path: str, **generator: object) -> Params:
    content = params.model_dump(mode="json")
    content["generator"] |= {"backbone": "zimage", "source": "pretrained", "pretrained_path": path, **generator}
    content["latents"] |= {"normalise": False}
    content["sample"] |= {"time_shift": "scheduler"}
    content["few_step"] |= {"time_shift": "scheduler"}
    content["objective"] |= {"time_law": "shifted", "time_shift": "scheduler"}
    return Params.model_validate(content)


def test_it_is_read_once_and_kept(params, tmp_path):
    """settled() has numbers, which protocol and model.json get; what was read before is not read again."""
    from jscgc.systems.store import Architecture

    asked = scheduled(params, written(tmp_path, shift=6.0))
    assert asked.scheduled == ("objective", "few_step", "sample")
    settled = asked.settled()
    assert settled.sample.time_shift == settled.objective.time_shift == settled.few_step.time_shift == 6.0
    assert settled.generator.scheduler_shift == 6.0 and not settled.scheduled
    assert Params.model_validate(settled.model_dump(mode="json")) == settled
    recorded = Architecture.of("jscgc", settled).model_dump(mode="json")["network"]["generator"]
    assert recorded["scheduler_shift"] == 6.0
    elsewhere = scheduled(params, "/no/such/folder", scheduler_shift=6.0).settled()
    assert elsewhere.sample.time_shift == 6.0
    with pytest.raises(ValueError, match="no scheduler/scheduler_config.json can be read"):
        scheduled(params, "/no/such/folder").settled()


@pytest.mark.parametrize("section", ["sample", "few_step"])
def test_only_a_pretrained_generator_has_a_scheduler(params, section):
    content = params.model_dump(mode="json")
    content[section] |= {"time_shift": "scheduler"}
    with pytest.raises(ValueError, match=f"{section}.time_shift scheduler needs generator.source pretrained"):
        Params.model_validate(content)
    content[section] |= {"time_shift": "sheduler"}
    with pytest.raises(ValueError, match="expected a positive number, or scheduler"):
        Params.model_validate(content)
    content[section] |= {"time_shift": 1.0}
    content["generator"] |= {"scheduler_shift": 3.0}
    with pytest.raises(ValueError, match="scheduler_shift is for source pretrained only"):
        Params.model_validate(content)


@torch.no_grad()
def test_a_receiver_samples_on_its_generator_s_grid(pipeline, noise):
    """Where nobody settled it, as `--time-shift scheduler` of a command: by what its model.json has kept."""
    from jscgc.flow.params import SampleParams
    from jscgc.generator.params import AdapterParams
    from jscgc.systems.base import Sampling
    from jscgc.systems.receiver import GenerativeReceiver, Prior

    where = {"backbone": "zimage", "source": "pretrained", "pretrained_path": str(pipeline.folder / "transformer")}
    train = {"steps": 1, "batch_size": 1, "learning_rate": 0.1}
    shape = GeneratorParams.model_validate(
        where | {"widths": [1], "depth": 1, "train": train, "scheduler_shift": pipeline.shift}
    )
    prior = Prior(4, shape.shape)
    receiver = GenerativeReceiver(prior, 8, 4, AdapterParams(width=64, refiner_depth=1)).eval()
    condition, link = torch.zeros(1, 8, 8, 8), SimpleNamespace(snr_db=torch.zeros(1), bits=torch.ones(1))

    def sampled(shift: float | str) -> Tensor:
        params = SampleParams(steps=3, guidance=0.0, time_shift=shift)
        return receiver.sample(condition, link, Sampling(params, torch.Generator().manual_seed(0))).x0

    assert torch.equal(sampled("scheduler"), sampled(pipeline.shift))
    prior.scheduler_shift = None
    with pytest.raises(ValueError, match="this one has none; state a number"):
        sampled("scheduler")
