"""The weights that come with the package: what they are, what they do (golden values), and that each lies there once.

The golden values are the canary for upgrades of dependencies. After `make ship` renew them from what this prints:

    python -m pytest tests/systems/test_pretrained.py --override-ini addopts= -k golden -rP
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from jscgc.bench.velocity import bench_velocity
from jscgc.data.builtin import builtin_photos
from jscgc.data.crops import centre_crop
from jscgc.data.images import open_photo, reduce, to_tensor
from jscgc.files import SHIPPED
from jscgc.flow.params import SampleParams
from jscgc.latent.autoencoder import load_vae
from jscgc.metrics import pair_metric
from jscgc.metrics.scoring import score
from jscgc.systems import store
from jscgc.systems.base import Link
from jscgc.systems.load import load_system, trained_systems
from jscgc.systems.transmit import transmit

PSNR, FEATURE = "psnr", "feature_distance_efficientnet_lite0"
# AWGN, 5 dB, CBR 8/768, seed 0, 2 steps, guidance 1.5; the photograph reduced to a longer side of 256 pixels.
GOLDEN: dict[tuple[str, str], tuple[float, float]] = {
    ("jscgc", "chelsea"): (22.6417, 4.0737),
    ("jscgc", "coffee"): (19.1299, 4.1251),
    ("diffjscc", "chelsea"): (22.8631, 4.0866),
    ("diffjscc", "coffee"): (19.6647, 4.0251),
    ("diffcom", "chelsea"): (23.1884, 4.0896),
    ("diffcom", "coffee"): (20.0615, 4.1809),
    ("mambajscc_psnr", "chelsea"): (22.9705, 4.2699),
    ("mambajscc_psnr", "coffee"): (19.6016, 4.3914),
}
SQUARES = ("astronaut", "coffee", "chelsea", "rocket", "china", "flower")
# Another BLAS or processor moves a received pixel by rounding; a changed default of a library moves the image.
TOLERANCE = {PSNR: 0.02, FEATURE: 0.01}


@pytest.fixture(scope="module")
def photos() -> dict[str, torch.Tensor]:
    """Photographs that scikit-image packs, which no shipped weight was trained on."""
    paths = {photo.name: photo.path for photo in builtin_photos()}
    return {name: to_tensor(reduce(open_photo(paths[name]), 256)) for name in ("chelsea", "coffee")}


@pytest.mark.parametrize("method", ["jscgc", "diffjscc", "diffcom", "mambajscc_psnr"])
def test_golden_values(photos, method):
    system, metrics = load_system(method), [pair_metric(PSNR), pair_metric(FEATURE)]
    for name, photo in photos.items():
        sample = SampleParams(steps=2, guidance=1.5)
        received = transmit(system, photo, Link("awgn", 5.0, 8), sample=sample, seed=0, key=name)
        found = score(metrics, photo, received.photo)
        print(f'    ("{method}", "{name}"): ({found[PSNR]:.4f}, {found[FEATURE]:.4f}),')
        for metric, value in zip((PSNR, FEATURE), GOLDEN[method, name], strict=True):
            assert found[metric] == pytest.approx(value, abs=TOLERANCE[metric]), (name, metric)


def test_the_vae_alone_is_a_better_picture_than_anything_sent(photos):
    vae = load_vae(SHIPPED / "vae")
    for name, photo in photos.items():
        height, width = (side // 8 * 8 for side in photo.shape[1:])
        cropped = photo[:, :height, :width]
        error = float(((vae.decode(vae.encode(cropped[None]))[0].clamp(0, 1) - cropped) ** 2).mean())
        assert -10 * np.log10(error) > max(psnr for (_, of), (psnr, _) in GOLDEN.items() if of == name)


def test_a_photograph_larger_than_any_training_crop_loses_nothing_by_it():
    """Whole, against the same in pieces of a training crop's size: scans along whole photographs once cost a decibel."""
    paths = {photo.name: photo.path for photo in builtin_photos()}
    photo = to_tensor(open_photo(paths["astronaut"]))
    system, link, sample = load_system("mambajscc_psnr"), Link("awgn", 5.0, 8), SampleParams(steps=1, guidance=1)

    def received(piece: torch.Tensor) -> torch.Tensor:
        return transmit(system, piece, link, sample=sample, seed=0).photo

    assert photo.shape == (3, 512, 512)
    pieces = [torch.cat([received(piece) for piece in row.split(128, 2)], 2) for row in photo.split(128, 1)]
    whole, cut = (float(-10 * torch.log10(((x - photo) ** 2).mean())) for x in (received(photo), torch.cat(pieces, 1)))
    print(f"{whole:.2f} dB whole, {cut:.2f} dB in pieces")
    assert whole > cut - 0.3


@pytest.mark.parametrize("snr_db", [-5.0, 5.0])
def test_sampling_starts_from_an_estimate_nearly_as_good_as_a_codec_s(snr_db):
    """At t = 1, from the symbols alone. A law of t that left t = 1 out once cost JSCGC 36 to 52% against DiffJSCC."""
    photos = [to_tensor(centre_crop(open_photo(p.path), 256)) for p in builtin_photos() if p.name in SQUARES]
    assert len(photos) == len(SQUARES)
    systems = {name: load_system(name) for name in ("jscgc", "diffjscc")}
    rows = list(bench_velocity(systems, torch.stack(photos), [Link("awgn", snr_db, rate) for rate in (2, 8)], [1.0], 0))
    for ours, theirs in zip(rows[:2], rows[2:], strict=True):
        print(f"{ours['cbr']}, {snr_db} dB: {ours['error']:.4f} to {theirs['error']:.4f}")
        assert ours["error"] < 1.15 * theirs["error"]


def test_all_that_ships_is_within_its_limit_and_half_precision():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 45e6
    assert {path.suffix for path in files} == {".json", ".safetensors", ".md"}
    for model in ("vae", *trained_systems(SHIPPED)):
        weights = store.load_file(SHIPPED / model / "weights.safetensors")
        assert all(value.dtype == torch.float16 for value in weights.values())


def test_the_card_has_every_model_and_its_checksum():
    from jscgc.files import sha256

    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for folder in SHIPPED.iterdir():
        if folder.is_dir():
            assert f"`{folder.name}`" in card and sha256(folder / "weights.safetensors")[:16] in card, folder.name


@pytest.fixture
def shared(models: Path, tmp_path: Path) -> Path:
    """Tiny models, DiffCom's parts those of the models beside it."""
    shutil.copytree(models, tmp_path / "models")
    folder = tmp_path / "models"
    found = store.load(folder / "diffcom")
    found.net.codec.load_state_dict(store.load(folder / "mambajscc_psnr").net.state_dict())
    found.net.prior.load_state_dict(store.load(folder / "flow").net.state_dict())
    store.save(folder / "whole", found.architecture, found.latents, found.net)
    parts = {"codec": "mambajscc_psnr", "prior": "flow"}
    store.save(folder / "diffcom", found.architecture, found.latents, found.net, parts)
    return folder


def test_shared_parts_lie_once_and_are_the_same_network(shared):
    whole, parts = store.load(shared / "whole").net.state_dict(), store.load(shared / "diffcom").net.state_dict()
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    assert store.load_file(shared / "diffcom" / "weights.safetensors") == {}


def test_a_part_that_differs_is_not_shared(shared):
    found = store.load(shared / "diffjscc")
    with torch.no_grad():
        next(found.net.codec.parameters()).add_(1e-3)
    with pytest.raises(ValueError, match="its codec is not the mambajscc_psnr beside it"):
        store.save(shared / "diffjscc", found.architecture, found.latents, found.net, {"codec": "mambajscc_psnr"})
    assert "shared" not in json.loads((shared / "diffjscc" / "model.json").read_text())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shutil.rmtree(f / "flow"), "its prior is the flow beside it"),
        (lambda f: shutil.copy(f / "jscgc/weights.safetensors", f / "flow/weights.safetensors"), "not the flow that"),
        (lambda f: _rename(f, "../flow"), "not a model description"),
        (lambda f: _rename(f, "/etc/passwd"), "not a model description"),
        (lambda f: _part(f, "nothing"), "has no part 'nothing'"),
    ],
)  # fmt: skip
def test_a_shared_part_that_is_not_there_is_one_line(shared, damage, message):
    damage(shared)
    with pytest.raises(ValueError, match=message) as caught:
        store.load(shared / "diffcom")
    assert "\n" not in str(caught.value)


def _rename(folder: Path, model: str) -> None:
    path = folder / "diffcom" / "model.json"
    content = json.loads(path.read_text())
    content["shared"]["prior"]["model"] = model
    path.write_text(json.dumps(content))


def _part(folder: Path, name: str) -> None:
    path = folder / "diffcom" / "model.json"
    content = json.loads(path.read_text())
    content["shared"][name] = content["shared"].pop("prior")
    path.write_text(json.dumps(content))
