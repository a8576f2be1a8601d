"""What is missing is said before anything is trained: all of it, in one line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from changed_params import changed

from jscgc import preflight
from jscgc.params import Params, load_params

ROOT = Path(__file__).parents[1]
PAPER = ["psnr", "lpips_alex", "dists", "clip_score", "dino_score", "dreamsim", "fid_inception"]


@pytest.fixture
def pretrained(params: Params):
    """Parameters with a pretrained generator and VAE."""

    def make(path: str, subfolder: str = "", **generator: object) -> Params:
        where = {"source": "pretrained", "pretrained_path": path, "pretrained_subfolder": subfolder}
        return changed(
            params,
            vae={"source": "pretrained", "pretrained_path": path, "pretrained_subfolder": "vae", "channels": 4},
            generator={"backbone": "zimage", **where, **generator},
            latents={"normalise": False},
        )

    return make


def model(folder: Path, *files: str) -> Path:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return folder


WHOLE = ("vae/config.json", "vae/a.safetensors", "transformer/config.json", "transformer/a.safetensors")


def test_what_is_all_there_passes(params, pretrained, tmp_path):
    preflight.check(params)
    preflight.check(pretrained(str(model(tmp_path, *WHOLE)), "transformer"))


def test_everything_that_is_missing_is_one_line(params, pretrained, tmp_path, monkeypatch):
    monkeypatch.setenv("JSCGC_WEIGHTS", str(tmp_path / "no-weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("jscgc.metrics.weights.CLEAN_FID_FOLDER", tmp_path)
    folder = model(tmp_path / "model", "vae/config.json", "vae/a.safetensors")
    lacking = changed(
        pretrained(str(folder), "transformer", caption_path="nobody/no-model"), evaluate={"metrics": PAPER}
    )
    with pytest.raises(ValueError) as error:
        preflight.check(lacking)
    said = str(error.value)
    assert "\n" not in said
    for name in PAPER[1:]:
        assert f"{name} lacks " in said
    assert (
        "`jscgc weights fetch alexnet vgg16 clip_convnext_large dinov2_vitl14 dreamsim_ensemble dino_vitb16 inception`"
        in said
    )
    assert f"generator.pretrained_path {str(folder)!r}: the folder has no transformer/config.json" in said
    assert "generator.caption_path 'nobody/no-model': no such folder, the hub's cache" in said
    assert "HF_HUB_OFFLINE is set; where there is a network: `hf download nobody/no-model`" in said
    assert "vae.pretrained_path" not in said
    rehearsal = changed(params, evaluate={"metrics": PAPER, "metric_weights": "random"})
    preflight.check(rehearsal)  # nothing of it is downloaded


@pytest.mark.parametrize(
    "files, said",
    [
        (WHOLE[:3], "transformer has no \\*.safetensors"),
        ((*WHOLE[:3], "transformer/x.safetensors.index.json"), "has no x.safetensors.index.json"),
    ],
)
def test_a_model_without_its_weights_is_no_model(pretrained, tmp_path, files, said):
    with pytest.raises(ValueError, match=said):
        preflight.check(pretrained(str(model(tmp_path, *files)), "transformer"))


def test_every_shard_must_be_there(pretrained, tmp_path):
    folder = model(tmp_path, *WHOLE[:3], "transformer/one.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "transformer" / "m.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="transformer has no two.safetensors"):
        preflight.check(pretrained(str(folder), "transformer"))


def test_the_hub_s_cache_counts(monkeypatch, tmp_path):
    needed = preflight.Needed("vae.pretrained_path", "some/model", "vae")
    snapshot = model(tmp_path, *WHOLE[:1])
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda path, inside: str(snapshot / inside))
    assert "has no *.safetensors of it" in (preflight._missing(needed) or "")
    model(tmp_path, *WHOLE)
    assert preflight._missing(needed) is None


def test_a_hub_that_can_not_be_reached_is_said(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    said = preflight._missing(preflight.Needed("vae.pretrained_path", "some/model", "vae"))
    assert said is not None and "the hub can't be asked for it (ConnectionError: no route to host)" in said
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: None)
    assert preflight._missing(preflight.Needed("vae.pretrained_path", "some/model", "vae")) is None


@pytest.mark.parametrize("name, warned", [("Z-Image-Turbo", True), ("Z-Image", False)])
def test_a_distilled_generator_is_said_once(pretrained, tmp_path, caplog, name, warned):
    folder = model(tmp_path / "models" / name, *WHOLE)
    with caplog.at_level(logging.WARNING):
        preflight.check(pretrained(str(folder), "transformer"))
    assert [("distilled to few steps" in line) for line in caplog.messages] == [True] * warned


def test_a_copy_under_another_name_is_known_by_its_index(pretrained, tmp_path, caplog):
    folder = model(tmp_path / "mine", *WHOLE)
    (folder / "model_index.json").write_text(json.dumps({"_name_or_path": "Tongyi-MAI/Z-Image-Turbo"}))
    preflight.check(pretrained(str(folder), "transformer"))
    assert "distilled to few steps" in caplog.text


def test_the_scheduler_is_asked_for_where_it_is_wanted(pretrained, tmp_path):
    folder = model(tmp_path, *WHOLE)
    wanting = changed(pretrained(str(folder), "transformer"), sample={"time_shift": "scheduler"})
    with pytest.raises(ValueError, match=r"no scheduler/scheduler_config.json can be read beside it"):
        preflight.check(wanting)


def test_reproduce_says_it_before_dvc_starts(tmp_path):
    text = (ROOT / "params.yaml").read_text().replace("  metrics: []", "  metrics: [psnr, clip_score, dreamsim]")
    (tmp_path / "params.yaml").write_text(text)
    told = subprocess.run(
        [sys.executable, "-m", "pipeline.reproduce"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "JSCGC_WEIGHTS": str(tmp_path), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert told.returncode == 1 and told.stdout == ""
    assert told.stderr.count("\n") == 1 and "clip_score lacks" in told.stderr and "dreamsim lacks" in told.stderr
    assert not (tmp_path / "dvc.yaml").exists()


def test_it_imports_no_torch():
    code = (
        "import sys; from jscgc import preflight; from jscgc.params import load_params; preflight.check(load_params()); "
        "print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert told.stdout == "False\n"
    assert load_params(ROOT / "params.yaml")
