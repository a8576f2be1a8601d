"""The command line, in this process: channels by text, exact prices, and mistakes in one line."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jscgc.channel import declaration
from jscgc.channel.spec import names
from jscgc.cli import COMMANDS, build_parser, main
from jscgc.files import SHIPPED
from jscgc.systems.load import asked_systems


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def transmit(picture: Path, models: Path, *more: str) -> list[str]:
    out = str(picture.parent / "out")
    return ["transmit", str(picture), "--models", str(models), "--out", out, "--method", "mambajscc_psnr", *more]


def test_a_channel_with_options_is_priced_to_the_last_use(picture, models, capsys):
    channel = "rayleigh_block:csi=lmmse,pilots=5"
    assert main(transmit(picture, models, "--channel", channel, "--cbr", "4/768", "--device", "cpu", "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["channel"] == "rayleigh_block:pilots=5,csi=lmmse"
    (row,) = document["results"]
    assert (row["data_symbols"], row["overhead"], row["k"], row["side_information_bits"]) == (48, 5, 53, 0)
    assert row["n"] == 6000 and row["cbr_exact"] == 53 / 6000
    names = [Path(path).name for path in document["files"].values()]
    assert "photo_rayleigh_block--pilots-5--csi-lmmse_5dB_4-768.json" in names
    assert all(Path(path).is_file() for path in document["files"].values())


def test_people_read_the_same_numbers(picture, models, capsys):
    assert main(transmit(picture, models, "--channel", "tdl_c", "--cbr", "4/768", "--device", "cpu")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "k = 959 channel uses (48 data symbols, overhead 911) for n = 6000: CBR 0.15983" in said


@pytest.mark.parametrize("name", ["IMG [final].png", "photos[/red].png", ":smile:[bold].png", "[b]/a.png"])
def test_a_photo_s_name_is_printed_as_it_is(picture, models, capsys, name):
    named = picture.parent / name
    named.parent.mkdir(exist_ok=True)
    picture.rename(named)
    assert main(transmit(named, models, "--cbr", "4/768", "--device", "cpu")) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{named}  50x40, awgn")
    assert f"side_by_side: {named.parent / 'out' / named.stem}" in said


def test_a_zero_is_one_snr_and_one_transmission_however_it_is_written(picture, models, capsys):
    received = []
    for zero in ("0", "-0", "-0.0", "0e1"):
        given = [
            "--snr-db",
            zero,
            "--channel",
            "rician_block:k_db=" + zero,
            "--cbr",
            "4/768",
            "--device",
            "cpu",
            "--json",
        ]
        assert main(transmit(picture, models, *given)) == 0
        document = json.loads(capsys.readouterr().out)
        assert "_0dB_" in document["files"]["metrics"] and str(document["snr_db"]) == "0.0"
        received.append((document["channel"], document["results"][0]["metrics"]))
    assert received == [received[0]] * 4


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--channel", "awgm"], "did you mean awgn?"),
        (["--channel", "rician_block:kdb=3"], "did you mean k_db?"),
        (["--channel", "rayleigh_fast:csi=ls"], "allowed: perfect, none"),
        (["--channel", "tdl_a:speed_mps=inf"], "in 0..500 m/s"),
        (["--snr-db", "nan"], "must be finite"),
        (["--snr-db", "1000"], "out of range: -100 to 100"),
        (["--cbr", "3/768"], "it sends 2/768, 4/768"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(picture, models, capsys, arguments, said):
    try:
        status = main(transmit(picture, models, *arguments))
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    last = capsys.readouterr().err.splitlines()[-1]
    assert said in last
    assert not (picture.parent / "out").exists()


def test_info_lists_every_channel_and_why_one_cannot_run(models, capsys, monkeypatch):
    monkeypatch.setattr(declaration, "find_spec", lambda name: None)
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["info", "--models", str(models), "--json"]) == 0
    channels = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["channels"]}
    assert tuple(channels) == names()
    assert channels["awgn"] == {"name": "awgn", "options": "csi=perfect, snr=told|blind|+3|-3", "missing": None}
    assert channels["cdl_e"]["missing"] == "pip install 'jscgc[channels]'"
    assert "delay_spread_ns=100 (0..5000)" in channels["tdl_a"]["options"]
    assert main(["info", "--models", str(models)]) == 0
    assert "pip install 'jscgc[channels]'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments", [["nope"], ["transmit", "x.jpg", "--dry"], ["evaluate", "--images", "x", "--draws", "0"]]
)
def test_a_wrong_argument_is_one_line_that_names_the_help(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.startswith("jscgc") and said.endswith("--help\n") and said.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_filled_when_it_is_asked_for(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert caught.value.code == 0 and said.startswith(f"usage: jscgc {command} ") and "--plugin MODULE" in said


def test_the_help_of_all_imports_no_command():
    code = "import sys; from jscgc.cli import build_parser; build_parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    ours = {name for name in done.stdout.split() if name.startswith("jscgc.")}
    assert ours == {f"jscgc.{name}" for name in ("cli", "extras", "machine", "parser", "signals", "startup")}


HEAVY = {
    "accelerate", "diffusers", "matplotlib", "pandas", "peft", "ray", "scipy", "sympy", "torch._dynamo", "torchvision",
    "transformers",
}  # fmt: skip


@pytest.mark.parametrize(
    "arguments, more",
    [(["transmit", "--help"], {"PIL", "numpy", "rich", "torch"}), (["info"], {"PIL", "jscgc.systems.store"})],
    ids=["help", "info"],
)
def test_a_command_imports_nothing_heavy_that_it_does_not_use(arguments, more, tmp_path):
    """Each of these takes a tenth of a second to three seconds."""
    code = """
import json, sys
from jscgc.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps([*sys.modules]), file=sys.stderr)
"""
    environment = os.environ | {"JSCGC_WEIGHTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "jscgc.options" in loaded
    assert not loaded & (HEAVY | more)


BENCHMARK = """
from jscgc.bench.benchmark import Benchmark, Measurement

def run(a):
    return Measurement("counted", ({"i": i} for i in range(a.to)), lambda rows: {"rows_in_all": len(rows)})

COUNTING = Benchmark("counting", "count", lambda sub: sub.add_argument("--to", type=int, default=3), run, order=10)
"""


@pytest.mark.parametrize(
    "before, between, after, equals",
    [(True, False, False, False), (False, True, False, False), (False, False, True, False), (False, False, True, True)],
    ids=["before", "between", "after", "equals"],
)
def test_a_plugin_s_names_are_arguments_wherever_it_is_named(tmp_path, before, between, after, equals):
    script = tmp_path / "a_plugin.py"
    script.write_text(BENCHMARK)
    option = [f"--plugin={script}"] if equals else ["--plugin", str(script)]
    arguments = [*option * before, "bench", *option * between, "counting", "--to", "2", "--json", *option * after]
    # In a process of its own: what is added stays.
    done = subprocess.run([sys.executable, "-m", "jscgc.cli", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"benchmark": "counting", "rows": [{"i": 0}, {"i": 1}], "rows_in_all": 2}


@pytest.mark.parametrize(
    "name, said",
    [
        ("nowhere.py", "plugin nowhere.py: no such file"),
        ("no_such_module_x", "plugin no_such_module_x: can't be imported: ModuleNotFoundError: No module named"),
    ],
)
def test_a_plugin_that_is_not_there_is_one_line(name, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for arguments in (["--plugin", name, "info"], ["info", f"--plugin={name}"], ["info", "--plug", name]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        shown = capsys.readouterr().err
        assert caught.value.code == 2 and f"argument --plugin: {said}" in shown and shown.count("\n") == 1
    (tmp_path / "argparse.py").write_text("")
    with pytest.raises(SystemExit):
        main(["info", "--plugin", str(tmp_path / "argparse.py")])
    assert "argparse is already the name of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["info", "--plugin"])
    assert "argument --plugin: expected one argument" in capsys.readouterr().err


def test_all_are_those_that_are_trained_there(tmp_path):
    assert set(asked_systems(["all"], SHIPPED)) == {
        *("jscgc", "jscgc_one_step", "mambajscc_psnr", "diffjscc", "diffcom", "klt")
    }
    assert asked_systems(["hevc_ldpc", "jscgc", "all", "hevc_ldpc"], SHIPPED)[:2] == ["hevc_ldpc", "jscgc"]
    with pytest.raises(ValueError, match="no trained models here"):
        asked_systems(["all"], tmp_path)
    assert main(["evaluate", "--images", str(tmp_path), "--models", str(tmp_path)]) == 1


def test_the_help_says_the_grammar(capsys):
    with pytest.raises(SystemExit):
        main(["transmit", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "NAME:key=value,key=value" in said and all(name in said for name in names())


def test_several_samples_give_their_mean_and_what_is_made_up(picture, models, capsys):
    arguments = transmit(picture, models, "--cbr", "4/768", "--device", "cpu", "--samples", "3", "--json")
    assert main([*arguments, "--method", "jscgc", "--steps", "1", "--guidance", "1"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["results"]
    assert row["samples"] == row["nfe"] == 3 and row["spread_mean"] > 0
    # The mean of samples is nearer to the photo than one of them.
    assert row["mean_metrics"]["psnr"] > row["metrics"]["psnr"]
    files = {name: Path(path) for name, path in document["files"].items()}
    assert files.keys() == {
        "jscgc", "jscgc_sample_2", "jscgc_sample_3", "jscgc_mean", "jscgc_uncertainty", "side_by_side", "metrics",
    }  # fmt: skip
    samples = [
        np.asarray(Image.open(files[name]), dtype=float) for name in ("jscgc", "jscgc_sample_2", "jscgc_sample_3")
    ]
    mean = np.asarray(Image.open(files["jscgc_mean"]), dtype=float)
    assert np.abs(np.mean(samples, 0) - mean).max() <= 1
    assert Image.open(files["jscgc_uncertainty"]).size == (50, 40)
    assert main([*arguments[:-1], "--method", "jscgc", "--steps", "1"]) == 0
    said = capsys.readouterr().out
    assert "of the samples' mean" in said and "spread over error" in said and "guidance: 1.0" in said


@pytest.mark.parametrize(
    "given, steps, guidance, nfe",
    [
        ((), 4, 1.5, 8),
        (("--samples", "1"), 4, 1.5, 8),
        (("--samples", "2"), 16, 1.0, 32),
        (("--samples", "2", "--steps", "3"), 3, 1.0, 6),
        (("--samples", "2", "--guidance", "1.5"), 16, 1.5, 64),
        (("--samples", "2", "--guidance", "0:1", "10:2"), 16, [[0, 1], [10, 2]], 64),
        (("--samples", "2", "--steps", "4", "--guidance", "1.5"), 4, 1.5, 16),
    ],
)
def test_several_samples_are_drawn_by_calibrated_settings_unless_told_otherwise(
    picture, models, capsys, given, steps, guidance, nfe
):
    assert main(transmit(picture, models, "--cbr", "4/768", "--json", "--method", "jscgc", *given)) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["results"]
    assert (row["steps"], document["guidance"], row["nfe"]) == (steps, guidance, nfe)
    assert ("spread_over_error" in row) == ("2" in given) and "note" not in row and "calibrated" not in document


def test_a_student_keeps_its_own_steps_and_says_so(picture, models, capsys):
    arguments = transmit(picture, models, "--cbr", "4/768", "--method", "jscgc_fast", "--samples", "2")
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["steps"] == 3 and row["note"].startswith("takes 3 steps of its own")
    assert main(arguments) == 0
    assert "jscgc_fast: takes 3 steps of its own" in capsys.readouterr().out


def test_every_method_s_mean_and_uncertainty_are_in_the_row(picture, models, capsys):
    arguments = transmit(picture, models, "--cbr", "4/768", "--samples", "2", "--json")
    assert main([*arguments, "--method", "all", "--steps", "1"]) == 0
    document = json.loads(capsys.readouterr().out)
    # The original, every method, and of those that sample a mean and an uncertainty map; six a row.
    methods = [row["method"] for row in document["results"]]
    sampled = {row["method"] for row in document["results"] if "samples" in row}
    assert sampled == {"jscgc", "jscgc_fast", "diffjscc", "diffcom"} < set(methods)
    rows = -(-(1 + len(methods) + 2 * len(sampled)) // 6)
    width, height = Image.open(document["files"]["side_by_side"]).size
    assert width == 8 + 6 * (250 + 8) and height == 29 + rows * (29 + 200 + 8)


def test_the_solvers_are_the_same_everywhere(capsys):
    from jscgc.flow.params import SampleParams
    from jscgc.flow.solver import SOLVERS

    for name in SOLVERS.names:
        told = build_parser().parse_args(["transmit", "photo.jpg", "--solver", name])
        assert told.solver == SampleParams(steps=1, guidance=1, solver=name).solver == name
    with pytest.raises(ValueError, match="rk4"):
        SampleParams(steps=1, guidance=1, solver="rk4")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["transmit", "photo.jpg", "--solver", "rk4"])
    assert f"choose from {', '.join(SOLVERS.names)}" in capsys.readouterr().err


def test_sampling_options_reach_the_sampler(picture, models, capsys):
    def result(*more: str) -> dict:
        assert (
            main(transmit(picture, models, "--cbr", "4/768", "--json", "--method", "jscgc", "--steps", "2", *more)) == 0
        )
        return json.loads(capsys.readouterr().out)

    plain = result()
    assert plain["results"][0]["nfe"] == 4 and plain["guidance"] == 1.5 and plain["solver"] == "euler"
    for more, nfe in [
        (("--solver", "heun"), 6),
        (("--solver", "sde"), 4),
        (("--time-shift", "3"), 4),
        (("--guidance", "0:1", "10:4"), 4),
    ]:
        other = result(*more)
        assert other["results"][0]["nfe"] == nfe
        assert other["results"][0]["metrics"] != plain["results"][0]["metrics"], more
    # At 5 dB half way between 0 and 10 dB.
    assert result("--guidance", "-5:1.5", "10:1.5")["results"][0]["metrics"] == plain["results"][0]["metrics"]
    assert result("--guidance", "0:1", "10:2")["results"][0]["metrics"] == plain["results"][0]["metrics"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--solver", "rk4"], "choose from euler, heun, multistep, sde"),
        (["--time-shift", "0"], "must be above 0"),
        (["--guidance", "1", "2"], "give one weight, or points SNR_DB:WEIGHT"),
        (["--guidance", "1", "0:2"], "give one weight, or points SNR_DB:WEIGHT"),
        (["--guidance", "0:1", "0:2"], "every SNR once"),
        (["--guidance", "0:-1"], "must not be negative"),
        (["--samples", "0"], "must be a whole number from 1"),
    ],
)
def test_wrong_sampling_options_are_one_line(picture, models, capsys, arguments, said):
    try:
        status = main(transmit(picture, models, "--cbr", "4/768", *arguments))
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_defaults_are_those_of_the_committed_parameters():
    """What `jscgc transmit` does untold is what the report of `make reproduce` shows."""
    from jscgc.config import read_yaml
    from jscgc.options import sample
    from jscgc.params import Params

    root = Path(__file__).parents[1]
    kept = root / ".jscgc" / "params.nano.yaml"
    committed = Params.model_validate(read_yaml(kept if kept.exists() else root / "params.yaml"))
    assert sample(build_parser().parse_args(["transmit", "photo.jpg"])) == committed.sample


def test_the_theory_is_told_and_a_miss_is_status_one(capsys, monkeypatch):
    from jscgc import theory
    from jscgc.theory import Check

    checks = [Check("holds", 1, 1.0, 0.1, "eq. 1"), Check("does not", 1, 2.0, 0.1, "eq. 2")]
    monkeypatch.setitem(theory.run.__globals__, "CHECKS", {"subject": lambda: (checks[:1], {"f": 1})})
    assert main(["theory", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"] == [{"subject": "subject", **checks[0].row()}] and document["figures"] == {"f": 1}
    monkeypatch.setitem(theory.run.__globals__, "CHECKS", {"subject": lambda: (checks, {})})
    assert main(["theory"]) == 1
    shown = capsys.readouterr()
    assert "1 of 2 statements do not hold: does not" in shown.err and "NO" in shown.out


def test_a_plan_names_every_part(capsys):
    root = Path(__file__).parents[1]
    profile = ["--profile", str(root / "pipeline/profiles/smoke.yaml")]
    assert main(["plan", "--params", str(root / "params.yaml"), *profile, "--json", "--side", "96"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["part"] for row in document["parts"]] == [
        "VAE encoder", "encoder", "Refiner", "adapter", "generator", "VAE decoder",
    ]  # fmt: skip
    assert main(["plan", "--params", str(root / "params.yaml")]) == 0
    assert "7,725 M parameters" in capsys.readouterr().out
    assert main(["plan", "--params", "nowhere.yaml"]) == 1
    assert "nowhere.yaml: no such file" in capsys.readouterr().err


def test_classical_methods_need_no_models_and_say_when_they_cannot_operate(picture, models, tmp_path, capsys):
    smooth = tmp_path / "smooth.png"
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(smooth)
    out = ["--models", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    both = [
        "transmit",
        str(smooth),
        *out,
        "--method",
        "jp2k_capacity",
        "jp2k_ldpc",
        "--snr-db",
        "15",
        "--cbr",
        "40/768",
    ]
    assert main([*both, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    ideal, real = document["results"]
    assert ideal["format"]["budget_bits"] > real["format"]["budget_bits"] >= real["format"]["file_bits"] > 0
    assert real["format"]["modulation"].endswith("QAM") and not real["failed"] and document["cannot_operate"] == {}
    assert main(both) == 0
    assert "jp2k_ldpc: modulation" in " ".join(capsys.readouterr().out.split())

    alone = ["transmit", str(picture), *out, "--method", "jp2k_capacity", "--snr-db", "0", "--cbr", "1/768"]
    assert main(alone) == 1
    said = capsys.readouterr().err
    assert "the smallest file" in said and "raise the CBR or the SNR" in said and said.count("\n") == 1
    beside = [
        "transmit",
        str(picture),
        "--models",
        str(models),
        *out[2:],
        "--method",
        "mambajscc_psnr",
        "jp2k_capacity",
    ]
    assert main([*beside, "--cbr", "2/768", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in document["results"]] == ["mambajscc_psnr"]
    assert "smallest file" in document["cannot_operate"]["jp2k_capacity"]


def test_info_says_which_methods_can_run(models, capsys):
    assert main(["info", "--models", str(models), "--json"]) == 0
    methods = {row["name"]: row["missing"] for row in json.loads(capsys.readouterr().out)["methods"]}
    assert methods["jscgc"] is methods["hevc_ldpc"] is methods["jpeg_capacity"] is None
    assert methods["mambajscc_lpips"] == "not trained here"


def test_info_says_how_each_model_s_scans_run(models, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/model.json").write_text("[]")
    for name in ("jscgc", "flow", "swinjscc", "mambajscc_psnr_pixels"):
        shutil.copytree(models / name, tmp_path / name)
    assert main(["info", "--models", str(tmp_path), "--json"]) == 0
    scans = {row["name"]: row["scans"] for row in json.loads(capsys.readouterr().out)["models"]}
    # No windows here: 96 x 64 positions of latents, a quarter of them after the second stage's down-sampling.
    assert [(stage["steps"], stage["implementation"]) for stage in scans["jscgc"]] == [
        (6144, "chunked"),
        (1536, "chunked"),
    ]
    assert [stage["steps"] for stage in scans["mambajscc_psnr_pixels"]] == [384 * 256, 192 * 128, 96 * 64, 48 * 32]
    assert scans["flow"] is scans["swinjscc"] is scans["broken"] is None
    assert main(["info", "--models", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "scan of a 768x512 photo" in said and "chunked, 6144 and 1536 steps" in said


def test_models_are_those_named_or_trained_or_shipped(tmp_path, monkeypatch):
    from jscgc.files import SHIPPED
    from jscgc.options import models_folder

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JSCGC_MODELS", raising=False)
    assert models_folder() == SHIPPED
    for part, expected in (("vae", SHIPPED), ("flow", SHIPPED), ("mambajscc_psnr", Path("data/models"))):
        # In the middle of a reproduction there are parts, and no system that could transmit.
        (tmp_path / "data/models" / part).mkdir(parents=True)
        (tmp_path / "data/models" / part / "model.json").write_text("{}")
        assert models_folder() == expected
    monkeypatch.setenv("JSCGC_MODELS", "elsewhere")
    assert models_folder() == Path("elsewhere")


def test_a_photograph_of_more_colours_is_converted_and_that_is_said(picture, models, capsys):
    codes = struct.pack(">I", 4) + b"cICP" + bytes([12, 13, 0, 1])
    content = picture.read_bytes()
    send = transmit(picture, models, "--cbr", "4/768", "--device", "cpu")
    assert main([*send, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["colour"] == {"profile": "", "converted": False, "why": ""}
    picture.write_bytes(content[:33] + codes + struct.pack(">I", zlib.crc32(codes[4:])) + content[33:])
    out = ["--out", str(picture.parent / "other")]
    assert main([*send, *out, "--json"]) == 0
    wide = json.loads(capsys.readouterr().out)
    assert wide["colour"] == {"profile": "Display P3", "converted": True, "why": ""}
    assert wide["results"][0]["metrics"] != plain["results"][0]["metrics"]
    assert main([*send, "--out", str(picture.parent / "third")]) == 0
    assert "colours: converted from Display P3 to sRGB" in capsys.readouterr().out


def test_a_photograph_whose_name_is_not_text_is_one_line(picture, models, capsys):
    strange = picture.with_name(os.fsdecode(b"gr\xfcn.png"))
    try:
        picture.rename(strange)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert main(transmit(strange, models)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert r"gr\xfcn.png: the name is not UTF-8, and shown with escapes; rename it" in line


def test_paths_that_are_not_text_can_be_printed(picture, models):
    """By a process of its own, whose output is a pipe."""
    out = picture.parent / os.fsdecode(b"gr\xfcn")
    try:
        out.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    command = [sys.executable, "-m", "jscgc.cli", *transmit(picture, models, "--cbr", "4/768", "--out", str(out))]
    done = subprocess.run(command, capture_output=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert b"gr\\udcfcn" in done.stdout.replace(b"\n", b"")


def test_a_photograph_costs_by_its_pixels_whatever_its_sides(tmp_path):
    """One of 1x1000 pixels is padded to as many blocks as one of 128x128 has."""

    def cost(width: int, height: int) -> tuple[float, float]:
        """Peak of memory in kilobytes, and seconds of computation."""
        photo = tmp_path / f"{width}x{height}.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)).save(photo)
        command = transmit(photo, SHIPPED, "--method", "klt", "--device", "cpu", "--precision", "float32", "--json")
        child = subprocess.Popen([sys.executable, "-m", "jscgc.cli", *command], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        assert status == 0
        return used.ru_maxrss, used.ru_utime + used.ru_stime

    memory, seconds = cost(128, 128)
    for size in ((1, 1000), (1000, 1)):
        of_strip = cost(*size)
        assert of_strip[0] <= 2 * memory and of_strip[1] <= 2 * seconds
