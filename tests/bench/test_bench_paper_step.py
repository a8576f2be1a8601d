"""`jscgc bench paper-step` in small: the rehearsal of what a lent GPU is for."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from jscgc.bench import paper_step
from jscgc.cli import main

ROOT = Path(__file__).parents[2]
SMALL = ["bench", "paper-step", "--scale", "small", "--batch", "2", "--steps", "2", "--sample-steps", "2"]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_every_part_is_run_and_recorded(tmp_path: Path, noise_photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "rows.json", tmp_path / "checkpoints"
    image = str(noise_photos / "0.png")
    assert main([*SMALL, "--json", "--out", str(out), "--folder", str(folder), "--image", image]) == 0
    document = json.loads(capsys.readouterr().out)
    written = json.loads(out.read_text())
    assert written["rows"] == document["rows"] and written["machine"]["scale"] == "small"
    by_name = {row["what"]: row for row in document["rows"]}
    assert list(by_name) == [
        "networks made",
        "2 steps of 2 images, and two checkpoints",
        "a checkpoint",
        "resumed after step 1, and the last step again",
        "a photograph received in 2 steps",
    ]
    assert by_name["resumed after step 1, and the last step again"]["note"] == "bitwise equal"
    assert "frozen (float32)" in by_name["networks made"]["note"]
    assert "90x70 pixels, 2 evaluations, 2/768" in by_name["a photograph received in 2 steps"]["note"]
    for row in document["rows"]:
        assert row["what"] == "a checkpoint" or (row["seconds"] > 0 and row["peak_gb"] > 0)
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        "step-00000001.safetensors",
        "step-00000002.safetensors",
    ]


def test_sizes_can_be_chosen_and_rows_written_as_csv(
    tmp_path: Path, noise_photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.csv"
    arguments = [*SMALL, "--layers", "3", "--width", "32", "--out", str(out), "--image", str(noise_photos / "0.png")]
    assert main(arguments) == 0
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 5 and rows[0]["what"] == "networks made" and float(rows[0]["seconds"]) > 0
    assert "bitwise equal" in capsys.readouterr().out


def test_a_resume_that_differs_is_told(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    one = {"a": torch.tensor([1.0, 4.0]), "b": torch.zeros(2)}
    for name, changed in (("one", {}), ("same", {}), ("other", {"a": torch.tensor([1.0, 4.004])})):
        save_file({**one, **changed}, tmp_path / name)
    assert paper_step._same(tmp_path / "one", tmp_path / "same") == "bitwise equal"
    assert paper_step._same(tmp_path / "one", tmp_path / "other") == "largest relative difference 1.00e-03"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["bench", "paper-step"], "needs a GPU, and torch sees none; --scale small"),
        ([*SMALL, "--out", "rows.txt"], "name a .json or a .csv file"),
        ([*SMALL, "--folder", "docs"], "--folder docs: not empty"),
        ([*SMALL, "--width", "33"], "multiple of 32"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_at_least_two_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "paper-step", "--steps", "1"])
    assert "1 is too few" in capsys.readouterr().err


def test_networks_of_the_released_classes_in_half_precision(tmp_path: Path) -> None:
    """As at full size: pretrained classes by their configuration, frozen in bfloat16, layers recomputed; no weights are read."""
    from jscgc.generator import tiny
    from jscgc.params import Params, load_params

    tiny.write(tmp_path / "zimage")
    for file in (tmp_path / "zimage").rglob("*.safetensors"):
        file.unlink()
    content = load_params(Path("params.yaml"), Path("pipeline/profiles/paper_small.yaml")).model_dump(mode="json")
    content["vae"] |= {"pretrained_path": str(tmp_path / "zimage")}
    content["generator"] |= {"pretrained_path": str(tmp_path / "zimage"), "caption_path": ""}
    params = Params.model_validate(content)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    photo = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    rows = list(
        paper_step.bench_paper_step(
            params, photo, folder, batch=2, steps=2, sample_steps=2, device="cpu", precision="float32"
        )
    )
    assert params.generator.gradient_checkpointing and "frozen (bfloat16)" in rows[0]["note"]
    assert rows[3]["note"] == "bitwise equal" and rows[-1]["note"].startswith("64x64 pixels, 2 evaluations")
