"""What makes a job another job, and that nothing a job runs is left out of its key."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from jscgc import sources
from jscgc.evaluation import identity
from jscgc.evaluation.identity import PACKAGE, Identities, code_digest, entries, packages, weights_digest
from jscgc.evaluation.jobs import ORIGINAL, Job
from jscgc.evaluation.worker import Setup, Worker
from jscgc.files import SHIPPED
from jscgc.flow.params import SampleParams
from jscgc.metrics.registry import pair_names, set_names

CODEC = Job("mambajscc_psnr", "none", "awgn", 5.0, 2, "a", 0, False)
JSCGC = replace(CODEC, method="jscgc")
IDEAL = replace(CODEC, method="jpeg_capacity", rate=24)
ORIGINAL_JOB = Job(ORIGINAL, "none", "", 0.0, 0, "a", 0, False)
SAMPLE = SampleParams(steps=1, guidance=1.5)
METRICS = ("psnr", "fid_efficientnet_lite0")
KINDS = {
    "original": entries(ORIGINAL, "", METRICS, SHIPPED / "jscgc", SAMPLE),
    "classical": entries("jpeg_capacity", "awgn", METRICS, SHIPPED / "jscgc", SAMPLE),
    "learned": entries("jscgc", "awgn", METRICS, SHIPPED / "jscgc", SAMPLE),
}


def forget() -> None:
    """Look at the sources again."""
    for cached in (sources.closure, sources._path, sources._tree, sources._reached, code_digest):
        cached.cache_clear()


@pytest.fixture
def trained(models: Path, tmp_path: Path) -> Path:
    """Models of one's own to change."""
    for name in ("vae", "mambajscc_psnr", "jscgc", "deepjscc"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    return tmp_path / "models"


@pytest.mark.parametrize(
    "change",
    [
        {"control": "unconditional"},
        {"channel": "rayleigh_fast"},
        {"snr_db": 5.5},
        {"rate": 4},
        {"image": "b"},
        {"seed": 1},
        {"dial": (1, 2)},
        {"steps": 3},
        {"guidance": 2.0},
        {"information_points": 4},
        {"method": "deepjscc"},
    ],
    ids=str,
)
def test_every_part_of_a_job_counts(protocol, trained, change: dict[str, Any]):
    identities = Identities(protocol(), trained, "cpu")
    assert identities.of(replace(JSCGC, **change)) != identities.of(JSCGC) == identities.of(replace(JSCGC))


def test_a_zero_is_one_snr_whatever_its_sign(protocol, trained):
    identities = Identities(protocol(snr_db=[-0.0]), trained, "cpu")
    assert identities.of(replace(JSCGC, snr_db=-0.0)) == identities.of(replace(JSCGC, snr_db=0.0))


@pytest.mark.parametrize(
    "change",
    [
        {"patch": 128},
        {"metrics": ["psnr"]},
        {"max_side": 64},
        {"sample": SampleParams(steps=2, guidance=1.0)},
        {"sample": SampleParams(steps=1, guidance=1.0, solver="sde")},
    ],
    ids=str,
)
def test_what_the_protocol_says_of_a_job_counts(protocol, trained, change: dict[str, Any]):
    assert Identities(protocol(**change), trained, "cpu").of(JSCGC) != Identities(protocol(), trained, "cpu").of(JSCGC)


def test_what_else_is_in_the_grid_does_not(protocol, photos, trained):
    known = Identities(protocol(), trained, "cpu")
    more = Identities(protocol(snr_db=[5, 9], seeds=3, photos=[*photos, ("c", photos[0][1])]), trained, "cpu")
    wrong = replace(JSCGC, control="wrong_symbols", image="b")
    for job in (CODEC, JSCGC, IDEAL, ORIGINAL_JOB):
        assert more.of(job) == known.of(job)
    # But where another photograph's symbols are sent, that photograph is part of the job.
    assert more.of(wrong).identity != known.of(replace(wrong, image="a")).identity
    alone = Identities(protocol(photos=photos[1:]), trained, "cpu")
    assert alone.of(wrong) != known.of(wrong)
    assert known.of(replace(JSCGC, picture=True)) == known.of(JSCGC)
    assert known.of(replace(ORIGINAL_JOB, seed=7)) == known.of(ORIGINAL_JOB)


def test_the_sampler_counts_for_methods_that_sample_only(protocol, trained):
    slow = Identities(protocol(sample=SampleParams(steps=9, guidance=1.0)), trained, "cpu")
    quick = Identities(protocol(), trained, "cpu")
    for job in (CODEC, IDEAL, ORIGINAL_JOB):
        assert slow.of(job) == quick.of(job)
    # The settings that act count, not where they are said.
    assert quick.of(replace(JSCGC, steps=9)) == slow.of(JSCGC) != quick.of(JSCGC)


def test_the_precision_counts_for_networks_and_float32_is_what_it_was(protocol, trained):
    full, half = protocol(), protocol().model_copy(update={"precision": "bfloat16"})
    keys, halves = (Identities(one, trained, "cpu") for one in (full, half))
    for job in (CODEC, JSCGC):
        assert halves.of(job) != keys.of(job)
        assert json.loads(halves.of(job).identity) == json.loads(keys.of(job).identity) | {"precision": "bfloat16"}
    for job in (ORIGINAL_JOB, IDEAL):  # no network: the same job, whatever the others compute in
        assert halves.of(job) == keys.of(job)


def test_a_photograph_s_content_and_the_device_count(protocol, photos, trained):
    before = Identities(protocol(), trained, "cpu").of(CODEC)
    assert Identities(protocol(), trained, "cuda").of(CODEC) != before
    photos[0][1].write_bytes(photos[1][1].read_bytes())
    assert Identities(protocol(), trained, "cpu").of(CODEC) != before


def test_retrained_weights_are_another_method(protocol, trained):
    def keys() -> list[str]:
        identities = Identities(protocol(), trained, "cpu")
        return [identities.of(replace(CODEC, method=name)).key for name in ("mambajscc_psnr", "deepjscc", "jpeg_ldpc")]

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    before = keys()
    flip(trained / "mambajscc_psnr/weights.safetensors")
    after = keys()
    assert after[0] != before[0] and after[1:] == before[1:]
    # The VAE belongs to those that decode with it.
    flip(trained / "vae/weights.safetensors")
    assert keys()[0] != after[0] and keys()[1:] == before[1:]
    shutil.rmtree(trained / "deepjscc")
    with pytest.raises(ValueError, match="no trained model here; train with"):
        keys()


def test_a_training_is_known_by_its_weights_not_by_its_number(protocol, trained, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    weights = other / "jscgc/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    both = Identities(protocol(), trained, "cpu", (other,))
    alone = Identities(protocol(), other, "cpu")
    assert both.of(replace(JSCGC, training=1)) == alone.of(JSCGC) != both.of(JSCGC)
    assert both.of(JSCGC) == Identities(protocol(), trained, "cpu").of(JSCGC)
    assert both.of(replace(CODEC, training=1)) == both.of(CODEC)


def test_a_pretrained_model_elsewhere_counts_by_its_content(trained, tmp_path, monkeypatch):
    elsewhere = tmp_path / "generator"
    elsewhere.mkdir()
    (elsewhere / "model.safetensors").write_bytes(b"one")
    description = trained / "vae/model.json"
    description.write_text(f'{{"source": "pretrained", "pretrained_path": "{elsewhere}"}}')
    before = weights_digest(trained / "jscgc", "jscgc")
    (elsewhere / "model.safetensors").write_bytes(b"two")
    assert weights_digest(trained / "jscgc", "jscgc") != before
    # On the hub: by the commit that lies in its cache.
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    description.write_text('{"source": "pretrained", "pretrained_path": "someone/model"}')
    reference = tmp_path / "hub/models--someone--model/refs/main"
    reference.parent.mkdir(parents=True)
    unknown = weights_digest(trained / "jscgc", "jscgc")
    reference.write_text("c0ffee")
    first = weights_digest(trained / "jscgc", "jscgc")
    reference.write_text("decade")
    assert len({unknown, first, weights_digest(trained / "jscgc", "jscgc")}) == 3


def test_changed_code_counts_and_changed_words_do_not(tmp_path, monkeypatch, request):
    request.addfinalizer(forget)
    copy = tmp_path / "jscgc"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = {kind: code_digest(run) for kind, run in KINDS.items()}
    monkeypatch.setattr(identity, "PACKAGE", copy)
    monkeypatch.setattr(sources, "PACKAGE", copy)

    def digests() -> dict[str, str]:
        forget()
        return {kind: code_digest(run) for kind, run in KINDS.items()}

    assert before == digests()

    def changed(file: str, old: str, new: str) -> set[str]:
        path = copy / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        after = digests()
        path.write_text(text)
        return {kind for kind in before if before[kind] != after[kind]}

    psnr = "metrics/kinds/psnr.py"
    assert changed(psnr, '"""', '"""Other words. ') == set()
    assert changed(psnr, "import torch", "# A remark.\n\n        import torch") == set()
    assert changed("channel/noise.py", "import torch", "import math\nimport torch") == {"learned", "classical"}
    assert changed(psnr, "import torch", "import math, torch") == {"original", "learned", "classical"}
    assert changed("metrics/kinds/ms_ssim.py", "import torch", "import math, torch") == set()
    assert changed("config.py", "import json", "import json\nimport math") == {"learned", "classical"}
    assert changed("encoder/params.py", "= 0", "= 16") == {"learned"}
    assert changed("classical/codecs.py", "from typing", "import math\nfrom typing") == {"classical"}
    assert changed("flow/samplers.py", "import torch", "import math\nimport torch") == {"learned"}
    assert changed("channel/kinds/fading.py", "import", "import math\nimport") == set()
    assert changed("methods/diffcom.py", "8", "9") == set()
    assert changed("training/loop.py", "import math", "import cmath\nimport math") == set()
    assert changed("report/summary.py", "import math", "import cmath\nimport math") == set()
    # What is no source, such as a table of numbers, counts byte by byte.
    (copy / "classical" / "dictionary.bin").write_bytes(b"x")
    assert {kind for kind, found in digests().items() if found != before[kind]} == {"classical"}


def test_versions_of_what_the_sources_import_count(protocol, trained, monkeypatch):
    found = packages(KINDS["learned"])
    assert {"torch", "numpy", "PIL", "diffusers", "python"} <= found.keys()
    assert found["PIL"] == __import__("PIL").__version__ and "ray" not in found and "mlflow" not in found
    before = Identities(protocol(), trained, "cpu").of(JSCGC)
    monkeypatch.setattr(identity, "packages", lambda of: found | {"torch": "99"})
    assert Identities(protocol(), trained, "cpu").of(JSCGC) != before


@pytest.mark.parametrize(
    "job",
    [
        ORIGINAL_JOB,
        replace(IDEAL, channel="rayleigh_block"),
        replace(IDEAL, method="jp2k_ldpc", rate=40),
        CODEC,
        replace(CODEC, method="swinjscc", channel="rician_block:csi=lmmse"),
        replace(CODEC, method="mambajscc_feature_pixels"),
        replace(CODEC, method="diffcom"),
        replace(CODEC, method="diffjscc"),
        replace(CODEC, method="jscgc_fast"),
        replace(JSCGC, information_points=2, channel="awgn:snr=blind"),
        replace(JSCGC, control="wrong_symbols"),
        replace(JSCGC, dial=(1, 2)),
        replace(CODEC, channel="tdl_c:csi=lmmse"),
    ],
    ids=lambda job: f"{job.method}-{job.channel}-{job.control}",
)
def test_every_source_that_a_job_runs_is_in_its_key(models, photos, job):
    """Watches which of our files have a function called."""
    ran: set[str] = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            ran.add(frame.f_code.co_filename)

    setup = Setup(models, tuple(photos), 0, SampleParams(steps=1, guidance=1.5), 64, "cpu")
    worker = Worker(setup)
    sys.setprofile(watch)
    try:
        result = worker.run(job)
    finally:
        sys.setprofile(None)
    assert result.scores or result.features or result.means
    files = {Path(file) for file in ran}
    ours = {file.relative_to(PACKAGE).as_posix() for file in files if file.is_relative_to(PACKAGE)}
    run = entries(job.method, job.channel, [*pair_names(), *set_names()], models / job.sender, setup.sample)
    covered = {path.relative_to(PACKAGE).as_posix() for path in identity._sources(run)}
    assert "evaluation/worker.py" in ours
    # Looked up by jobs that do not need it: which methods there are.
    assert {path for path in ours - covered if not path.startswith("methods/")} == set()
