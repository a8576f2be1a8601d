"""Which of a method's models sends over a link: the general one, or one that was fine-tuned for it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jscgc.channel.params import LinkParams
from jscgc.evaluation.jobs import Job
from jscgc.evaluation.nodes import needed
from jscgc.evaluation.run import at_their_models
from jscgc.evaluation.worker import Setup, Worker
from jscgc.files import read_json, write_json
from jscgc.flow.params import SampleParams
from jscgc.systems.load import finetuned, load_system, model_for, sender, trained_systems

LINKS = {
    "weak": {"channels": ["awgn"], "snr_db": [0, 0], "rates": [2]},
    "range": {"channels": ["awgn", "rayleigh_fast"], "snr_db": [-5, 10], "rates": [2]},
    "blind": {"channels": ["tdl_a:csi=lmmse"], "snr_db": [5, 5], "rates": [2]},
}


@pytest.fixture
def tuned(models: Path, tmp_path: Path) -> Path:
    """A general JSCGC for rate 4 alone, and fine-tuned ones; their weights are the same."""
    shutil.copytree(models, tmp_path / "models")
    general = tmp_path / "models" / "jscgc"
    for name, link in LINKS.items():
        place = general.with_name(f"jscgc-{name}")
        shutil.copytree(general, place)
        content = read_json(place / "model.json")
        content["architecture"] |= {"link": link, "rates": link["rates"]}
        write_json(place / "model.json", content)
    content = read_json(general / "model.json")
    content["architecture"]["rates"] = [4]
    write_json(general / "model.json", content)
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("channel", "snr_db", "rate", "model"),
    [
        ("awgn", 0, 2, "jscgc-weak"),
        ("awgn", 1, 2, "jscgc-range"),
        ("rayleigh_fast", 0.0, 2, "jscgc-range"),
        ("tdl_a:csi=lmmse", 5, 2, "jscgc-blind"),
        ("awgn:snr=blind", 0, 2, "jscgc-weak"),
        ("awgn", 0, 4, "jscgc"),
        ("rayleigh_block", 0, 4, "jscgc"),
    ],
)
def test_the_narrowest_model_that_covers_a_link_sends_over_it(tuned, channel, snr_db, rate, model):
    assert model_for("jscgc", tuned, channel, snr_db, rate) == model


def test_where_no_model_sends_a_rate_it_is_said_and_what_there_is(tuned):
    said = r"no model of jscgc sends 2/768 over awgn at 15 dB; fine-tuned are blind, range, weak, the general one sends 4/768"
    with pytest.raises(ValueError, match=said):
        model_for("jscgc", tuned, "awgn", 15, 2)
    # A method without fine-tuned models has its own check, when it sends.
    assert model_for("mambajscc_psnr", tuned, "awgn", 15, 60) == "mambajscc_psnr"


def test_a_cbr_as_a_user_writes_it(tuned):
    assert sender("jscgc", tuned, "awgn", 0, "2/768") == "jscgc-weak"
    assert sender("mambajscc_psnr", tuned, "awgn", 0, "no CBR") == "mambajscc_psnr"
    with pytest.raises(ValueError, match="CBR|cbr"):
        sender("jscgc", tuned, "awgn", 0, "no CBR")


def test_what_a_link_left_that_is_gone_does_not_count(tuned):
    assert model_for("jscgc", tuned, "awgn", 0, 2, among=["jscgc-range"]) == "jscgc-range"
    assert model_for("jscgc", tuned, "awgn", 0, 4, among=[]) == "jscgc"


def test_fine_tuned_models_are_no_methods_and_can_be_named(tuned):
    assert "jscgc-weak" not in trained_systems(tuned)
    system = load_system("jscgc-weak", tuned)
    assert (system.name, system.rates) == ("jscgc", (2,))
    assert dict(finetuned("jscgc", tuned))["jscgc-weak"] == LinkParams.model_validate(LINKS["weak"])


def test_an_evaluation_runs_each_job_on_the_model_of_its_link_and_ships_it_to_nodes(tuned, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(path)
    setup = Setup(tuned, (("a", path),), 0, SampleParams(steps=1, guidance=1.0), 64, "cpu", ("psnr",))
    weak = Job("jscgc", "none", "awgn", 0.0, 2, "a", 0, picture=False)
    asked = [weak, replace(weak, rate=4), replace(weak, method="mambajscc_psnr"), replace(weak, method="klt")]
    jobs = at_their_models(asked, setup)
    assert [job.sender for job in jobs] == ["jscgc-weak", "jscgc", "mambajscc_psnr", "klt"]
    assert {"jscgc-weak", "jscgc", "vae"} < {found.name for found in needed(setup, jobs)}
    assert [job.sender for job in at_their_models(asked[:1], setup, ["jscgc-range"])] == ["jscgc-range"]
    worker = Worker(setup)
    scored = [worker.run(job).scores for job in jobs]
    assert all("psnr" in scores for scores in scored)
    # Equal weights, equal draws: named otherwise, received the same.
    again = worker.run(replace(jobs[0], model="jscgc-range")).scores
    assert again == scored[0]
