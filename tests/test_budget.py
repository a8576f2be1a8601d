"""What training costs: held against the very step of a small network, and against the rules by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from changed_params import changed
from torch.utils.flop_counter import FlopCounterMode

from jscgc.budget import _kept, budget, memory, phases, step_of
from jscgc.channel.receiver import Received
from jscgc.cli import main
from jscgc.costs import Sketch, costs, sketch
from jscgc.generator.lora import set_trained
from jscgc.latent.autoencoder import LatentStatistics
from jscgc.layers import measured
from jscgc.params import Params, load_params
from jscgc.systems.store import Architecture, build

ROOT = Path(__file__).parents[1]


@pytest.fixture
def drawn(params: Params) -> Sketch:
    return sketch(params)


def test_operations_and_memory_are_those_of_a_real_step(params, drawn):
    """The same step with numbers in it: as many operations, as many bytes kept for the gradient."""
    step = step_of(params, drawn)
    net = build(Architecture.of("jscgc", params), LatentStatistics([0.0] * 4, [1.0] * 4, 8, ""))
    set_trained(net.receiver.prior, params.jscgc.generator_learns)
    net.train()
    latents, one = torch.randn(1, 4, params.latents.crop // 8, params.latents.crop // 8), torch.ones(1)

    def loss() -> torch.Tensor:
        symbols = net.encoder(latents, one, max(params.link.rates))
        received = Received(symbols, symbols.real.abs(), one)
        rng = torch.Generator().manual_seed(0)
        given = net.condition(received), received, params.jscgc, params.objective, rng
        return net.receiver.loss(latents, *given)["loss"]

    with FlopCounterMode(display=False) as counter:
        kept, value = _kept(loss, net)
        assert step.forward_gflops == pytest.approx(counter.get_total_flops() / 1e9)
        value.backward()
        assert step.gflops == pytest.approx(counter.get_total_flops() / 1e9)
    assert step.gflops > 2 * step.forward_gflops * 0.8
    assert step.kept_mb == pytest.approx(kept / 1e6, rel=0.05)
    assert step.inputs_mb == step.layer_mb == 0


def test_recomputation_costs_operations_and_saves_memory(params, drawn):
    plain = step_of(params, drawn)
    again = changed(params, generator={"gradient_checkpointing": True})
    step = step_of(again, sketch(again))
    assert step.gflops > plain.gflops and step.forward_gflops == pytest.approx(plain.forward_gflops)
    assert step.kept_mb < plain.kept_mb and step.inputs_mb > 0 and step.layer_mb > 0
    layers = len(drawn.net.receiver.prior.backbone.points) - 1
    assert step.kept_mb + layers * step.layer_mb == pytest.approx(plain.kept_mb)


def rows(params: Params, drawn: Sketch) -> dict[str, float]:
    return {row["what"]: row["gb"] for row in memory(params, drawn.net, step_of(params, drawn))}


def test_ddp_holds_everything_and_fsdp_its_share(params, drawn):
    alone = rows(params, drawn)
    shares = {"train": {"parts": 4, **{k: v for k, v in params.jscgc.train.model_dump().items() if k != "parts"}}}
    four = {"workers": 4}
    keys = {"jscgc": shares, "codec": {"parts": 4}, "distributed": four}
    content = params.model_dump(mode="json")
    for name in ("vae", "generator", "few_step"):
        if content[name] and content[name].get("train"):
            keys[name] = {"train": content[name]["train"] | {"parts": 4}}
    baselines = {}
    for name, own in content["baselines"].items():
        baselines[name] = own | ({"train": own["train"] | {"parts": 4}} if "train" in own else {})
    keys["baselines"] = baselines
    keys["finetune"] = {"train": content["finetune"]["train"] | {"parts": 4}}
    ddp = changed(params, **keys)
    fsdp = changed(params, **(keys | {"distributed": four | {"strategy": "fsdp"}}))
    held, shared = rows(ddp, drawn), rows(fsdp, drawn)
    trained = sum(p.numel() for p in drawn.net.parameters() if p.requires_grad)
    assert alone["gradients"] == held["gradients"] == held["buckets of gradients"] == pytest.approx(4e-9 * trained)
    assert alone["AdamW's two moments"] == pytest.approx(8e-9 * trained)
    assert "buckets of gradients" not in alone and "buckets of gradients" not in shared
    for what in ("frozen weights", "trained weights", "gradients", "AdamW's two moments", "averaged weights"):
        assert shared[what] == pytest.approx(held[what] / 4)
    assert 0 < shared["blocks gathered"] < held["frozen weights"] + 2 * held["trained weights"]
    for found in (alone, held, shared):
        assert found["all"] == pytest.approx(sum(found.values()) - found["all"])
    batch = params.jscgc.train.batch_size
    assert alone[f"other activations, {batch} images"] == held[f"other activations, {batch} images"]


def test_hours_follow_from_operations(params, drawn):
    found = budget(params, drawn, tflops=100.0, utilisation=0.5)
    half = budget(params, drawn, tflops=100.0, utilisation=0.25)
    by_name = {row["name"]: row for row in found["phases"]}
    jscgc = by_name["jscgc"]
    train = params.jscgc.train
    images = train.batch_size * train.parts
    assert (jscgc["steps"], jscgc["images"], jscgc["batch"]) == (train.steps, images, train.batch_size)
    assert jscgc["pflop"] == pytest.approx(found["step"]["gflops"] * images * train.steps / 1e6)
    assert jscgc["gpu_hours"] == pytest.approx(jscgc["pflop"] * 1e15 / 50e12 / 3600)
    assert half["gpu_hours"] == pytest.approx(2 * found["gpu_hours"]) and found["gpu_hours"] > 0
    assert by_name["vae"]["gpu_hours"] is None  # its step is not counted, and nothing is made up for it


def test_phases_are_what_is_trained(params):
    named = {phase.name for phase in phases(params)}
    assert {"vae", "flow", "mambajscc_psnr", "jscgc"} <= named
    shipped = load_params(ROOT / "params.yaml")
    assert not {"vae", "flow"} & {phase.name for phase in phases(shipped)}
    paper = load_params(ROOT / "params.yaml", ROOT / "pipeline/profiles/paper8.yaml")
    of = {phase.name: phase for phase in phases(paper)}
    assert not {"vae", "flow"} & of.keys()
    assert (of["jscgc"].steps, of["jscgc"].images, of["jscgc"].batch) == (100_000, 64, 8)
    tuned = of["jscgc, fine-tuned"]
    assert (tuned.network, tuned.steps, tuned.images) == ("jscgc", 20_000, 64)
    assert tuned.trainings == len(paper.finetune.links) == of["diffjscc, fine-tuned"].trainings


def test_the_paper_on_eight_gpus():
    """By hand: three passes of the generator's 3303 GFLOP, three of the adapter's 766, less what passes none on."""
    params = load_params(ROOT / "params.yaml", ROOT / "pipeline/profiles/paper8.yaml")
    drawn = sketch(params)
    found = budget(params, drawn)
    step = found["step"]
    assert step["forward_gflops"] == pytest.approx(3303 + 766 + 3, rel=0.01)
    assert 0.9 * 3 * step["forward_gflops"] < step["gflops"] < 3 * step["forward_gflops"]
    assert found["workers"] == 8 and found["strategy"] == "ddp"
    held = {row["what"]: row["gb"] for row in found["memory"]}
    assert held["frozen weights"] == pytest.approx(2e-9 * 6.15e9, rel=0.01)
    assert held["inputs of recomputed layers, 8 images"] == pytest.approx(8 * 30 * 256 * 3840 * 2e-9, rel=0.01)
    assert held["all"] < 80
    assert found["hours"] == pytest.approx(found["gpu_hours"] / 8)


def test_layers_are_the_network_s_own_and_are_timed(params, drawn):
    found = list(measured(params, drawn, rounds=1))
    assert [row["layer"] for row in found if row["precision"] == "float32"][-1] == "Mamba block"
    for row in found:
        assert row["seconds"] > 0 and row["gflops_per_second"] == pytest.approx(row["gflop"] / row["seconds"])
    block = sum(p.numel() for p in drawn.net.encoder.stages[-1].blocks[-1].parameters())
    assert found[-1]["parameters"] == block
    stages = [sum(p.numel() for p in stage.parameters()) for stage in drawn.net.receiver.adapter.stages]
    assert found[0]["parameters"] > 0 and min(stages) > 0


def test_costs_take_what_is_drawn_already(params, drawn):
    assert costs(params, 64, 64, drawn) == costs(params, 64, 64)


@pytest.mark.parametrize("wrong", [["--utilisation", "1.5"], ["--utilisation", "0"], ["--tflops", "-1"]])
def test_a_share_is_a_share(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plan", *wrong])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and f"argument {wrong[0]}" in said


def test_the_command(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = ["plan", "--profile", "pipeline/profiles/smoke.yaml", "--side", "64"]
    assert main([*arguments, "--measure", "--json", "--tflops", "10", "--utilisation", "0.2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["training"]["tflops"] == 10 and document["training"]["utilisation"] == 0.2
    assert {row["layer"] for row in document["measured"]} >= {"unet block", "Mamba block"}
    assert main(arguments) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "GPU hours" in said and "with backward pass and recomputation" in said and "measured here" not in said
