"""What a configuration costs: against the very networks of a small one, and the published sizes of the paper's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from jscgc.costs import PUBLISHED_PARAMETERS, costs
from jscgc.latent.autoencoder import LatentStatistics
from jscgc.latent.nano_vae import NanoVae
from jscgc.params import load_params
from jscgc.systems.store import Architecture, build

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("papers", [False, True])
def test_a_small_configuration_is_what_is_built(params, papers):
    if papers:  # none of our additions
        adapter = params.jscgc.adapter.model_copy(update={"reading": False, "refiner_decoder": False})
        jscgc, encoder = (
            params.jscgc.model_copy(update={"adapter": adapter}),
            params.encoder.model_copy(update={"linear": False}),
        )
        params = params.model_copy(update={"jscgc": jscgc, "encoder": encoder})
    found = costs(params, 40, 70)
    assert (found["height"], found["width"]) == (48, 80)
    parts = {row["part"]: row for row in found["parts"]}
    vae, statistics = NanoVae(4, 8, 1), LatentStatistics([0.0] * 4, [1.0] * 4, 8, "")
    net = build(Architecture.of("jscgc", params), statistics)
    whole = sum(p.numel() for module in (vae, net) for p in module.parameters())
    assert found["total"]["parameters"] == whole
    assert found["total"]["weights_mb"] == pytest.approx(4e-6 * whole)
    # The tests' configuration freezes the generator; Adam, gradient and average are 16 bytes a parameter.
    assert parts["generator"]["trained"] == 0 < parts["encoder"]["trained"] == parts["encoder"]["parameters"]
    assert parts["encoder"]["training_mb"] == pytest.approx(16e-6 * parts["encoder"]["parameters"])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.receiver.prior.backbone(torch.zeros(1, 4, 6, 10), torch.zeros(1))
    assert parts["generator"]["gflops"] == pytest.approx(counter.get_total_flops() / 1e9)


def test_the_paper_s_configuration_has_about_the_published_size_asks_nobody_and_allocates_nothing(monkeypatch, caplog):
    import resource
    import socket

    asked: list[object] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # which the tests set, and would hide it
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: asked.append(a))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = costs(load_params(ROOT / "params.yaml", ROOT / "pipeline/profiles/paper.yaml"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000  # KiB; the weights would be 19 GB
    assert not asked and "can't be reached" not in caplog.text
    assert found["total"]["parameters"] == pytest.approx(PUBLISHED_PARAMETERS, rel=0.02)
    parts = {row["part"]: row for row in found["parts"]}
    assert parts["generator"]["parameters"] == pytest.approx(6.15e9, rel=0.01)
    assert parts["generator"]["weights_mb"] == pytest.approx(2e-6 * parts["generator"]["parameters"])
    assert parts["generator"]["trained"] == 0
    # Published: MambaJSCC's widths and depths; the VAE's 84 M.
    assert parts["VAE encoder"]["parameters"] + parts["VAE decoder"]["parameters"] == pytest.approx(83.8e6, rel=0.01)
