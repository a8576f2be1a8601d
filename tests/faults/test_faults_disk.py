"""A disk that is full: a line that says so, no half-written file, and what was there before is as it was.

Two ways to the same errors: a file system of a few megabytes (where the tests may mount one), and the kernel's limit of a
file's size (everywhere).
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from jscgc import tracking
from jscgc.config import TrainParams
from jscgc.data.images import save_png
from jscgc.files import atomic, save_tensors, write_json
from jscgc.training import checkpoint
from jscgc.training.loop import train

Fill = Callable[[int], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill it up to so many bytes."""
    free = shutil.disk_usage(disk).free
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(free - leave))
    return ballast


def there(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "ballast"
    }


BIG = torch.arange(300_000.0)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: write_json(path, list(range(300_000))), id="json"),
        pytest.param(
            lambda path: save_png(np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8), path), id="png"
        ),
        pytest.param(lambda path: _tensors(path), id="tensors"),
        pytest.param(lambda path: _table(path), id="table"),
    ],
)
def test_a_file_is_the_old_one_or_the_new_one(disk: Path, write: Callable[[Path], None]) -> None:
    path = disk / "file"
    path.write_bytes(b"old")
    ballast = fill(disk, leave=200_000)
    with pytest.raises(OSError, match="space"):
        write(path)
    assert there(disk) == {"file": b"old"}
    ballast.unlink()
    write(path)
    assert len(path.read_bytes()) > 200_000


def _tensors(path: Path) -> None:
    with atomic(path) as temporary:
        save_tensors({"big": BIG}, temporary)


def _table(path: Path) -> None:
    with atomic(path) as temporary:
        pd.DataFrame({"value": np.arange(100_000)}).to_csv(temporary)


TRAIN = TrainParams(steps=12, batch_size=1, learning_rate=0.01, checkpoint_every=4, log_every=4, warmup_steps=0)


def loss_on(net: torch.nn.Module) -> Callable[[int], dict[str, torch.Tensor]]:
    def loss(draw: int) -> dict[str, torch.Tensor]:
        x = torch.randn(4, 200, generator=torch.Generator().manual_seed(draw))
        return {"loss": (net(x) - x.flip(1)).square().mean()}

    return loss


def fresh() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(200, 200)


def ignore(step: int, metrics: object) -> None:
    """No log."""


def test_a_training_keeps_its_last_checkpoint_and_goes_on_once_there_is_room(disk: Path, tmp_path: Path) -> None:
    whole = fresh()
    train(whole, loss_on(whole), TRAIN, tmp_path / "elsewhere", ignore, "whole")
    net, place = fresh(), disk / "run"

    def fills_up(step: int, metrics: object) -> None:
        if step == 8:
            fill(disk, leave=100_000)

    with pytest.raises(OSError, match=r"run: can't write weights: .*space") as error:
        train(net, loss_on(net), TRAIN, place, fills_up, "full")
    assert "\n" not in str(error.value)
    assert [p.name for p in place.glob("*.safetensors")] == ["step-00000004.safetensors"]
    assert not list(place.glob(".*.tmp"))
    load_file(place / "step-00000004.safetensors")
    (disk / "ballast").unlink()
    again = fresh()
    train(again, loss_on(again), TRAIN, place, ignore, "again")
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_a_checkpoint_that_does_not_fit_leaves_the_others(disk: Path) -> None:
    net = fresh()
    optimiser = torch.optim.AdamW(net.parameters())
    checkpoint.save(disk, 1, net, {}, optimiser)
    checkpoint.save(disk, 2, net, {}, optimiser)
    before = there(disk)
    fill(disk)
    with pytest.raises(OSError, match="space"):
        checkpoint.save(disk, 3, net, {}, optimiser)
    assert there(disk) == before
    assert checkpoint.restore(disk, net, {}, optimiser) == 2


def test_a_spool_on_a_full_disk_does_not_end_the_training(disk: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with tracking.stage_run("train_vae", params={}, tags={}, root=disk) as run:
        fill(disk)
        for step in range(200):
            run.log(step, {"loss": 1.0})
    assert capfd.readouterr().err.count("No space left") == 1


def limited(size: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "photo.png"
    save_png(np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8), path)
    return path


TRANSMIT = "transmit PHOTO --method mambajscc_psnr --snr-db 5 --cbr 8/768 --out OUT/sent"
EVALUATE = (
    "evaluate --images FOLDER --methods mambajscc_psnr --snr-db 5 --cbr 8/768 --draws 1 --metrics psnr --out OUT/r.csv"
)


@pytest.mark.parametrize(
    ("how", "command"), [("full", TRANSMIT), ("limit", TRANSMIT), ("full", EVALUATE)], ids=["full", "limit", "evaluate"]
)
def test_commands_say_so_in_one_line(
    request: pytest.FixtureRequest, tmp_path: Path, photo: Path, how: str, command: str
) -> None:
    out = request.getfixturevalue("disk") if how == "full" else tmp_path
    if how == "full":
        fill(out)
    before = there(out)
    names = {"PHOTO": str(photo), "FOLDER": str(photo.parent)}
    given = [names.get(part, part.replace("OUT", str(out))) for part in command.split()]
    ended = subprocess.run(
        [sys.executable, "-m", "jscgc.cli", *given],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        preexec_fn=limited(500) if how == "limit" else None,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert ("No space left" if how == "full" else "File too large") in last and "Traceback" not in ended.stderr
    assert {k: v for k, v in there(out).items() if not k.startswith(".jscgc/")} == before
