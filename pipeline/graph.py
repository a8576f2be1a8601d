"""dvc.yaml from the one table of stages (`jscgc.stages`): `python -m pipeline.graph` writes it, `--check` compares.

It follows from params.yaml: which competitors section `baselines` names, which channels section `link` trains over. Installed
methods of other packages, and those of the modules that `plugins` in params.yaml names, get their stages like ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jscgc import stages
from jscgc.config import ParamsError
from jscgc.files import atomic
from jscgc.metrics import info
from jscgc.params import Params, load_params
from jscgc.sources import DECLARING, PACKAGE

FILE = Path("dvc.yaml")
HEAD = """\
# photo -> latent -> symbols -> channel -> sampled photo; `dvc dag` draws it. Made by `python -m pipeline.graph` from
# jscgc/stages.py and params.yaml; edit those. A stage depends on what it can run, so that a change re-runs what it can affect.
"""
NAMES = {"photos": "prepare", "vae": "train_vae", "latents": "extract_latents", "flow": "pretrain_flow"}
"""DVC's stages whose names are not `train_RESULT`."""
PLOTTED = (
    ("psnr", "PSNR (higher is better)", "PSNR (dB)"),
    (
        "feature_distance_efficientnet_lite0",
        "feature distance (lower is better)",
        "Feature distance, EfficientNet-Lite0",
    ),
    ("semantic_cosine_efficientnet_lite0", "semantic cosine (higher is better)", "Semantic cosine, EfficientNet-Lite0"),
    ("fid_efficientnet_lite0", "Fréchet distance (lower is better)", "Fréchet distance, EfficientNet-Lite0"),
)


def name_of(result: str) -> str:
    """DVC's stage that makes a result."""
    return NAMES.get(result, f"train_{result}")


def graph(params: Params) -> dict[str, Any]:
    """The content of dvc.yaml."""
    made = {name_of(result): _making(result, params) for result in ("photos", "vae", "latents", *params.trained)}
    found = {
        "stages": {**made, "evaluate": _evaluate(), "theory": _theory(), "report": _report()},
        "plots": [
            {
                f"Results by SNR, {metric}": {
                    "template": "by_snr",
                    "x": "snr_db",
                    "y": {"reports/by_snr.csv": metric},
                    "title": f"Results: {title}",
                    "x_label": "SNR (dB)",
                    "y_label": label,
                }
            }
            for metric, title, label in PLOTTED
            if info(metric)
        ],
    }
    return found


def _making(result: str, params: Params) -> dict[str, Any]:
    own, name = stages.stage(result), name_of(result)
    module = name if result in ("photos", "latents") else f"train {result}"
    shipped = [f"jscgc/pretrained/{result}"] if _ships(result) else []
    if result == "latents":
        shipped = ["jscgc/pretrained/flow/model.json"]  # the statistics
    sources = [f"pipeline/{module.split()[0]}.py", *_files(own.sources(params))]
    inputs = [f"data/{stages.place(need).as_posix()}" for need in own.needs]
    keys = [key for key in ("device",) if result != "photos"]
    made: dict[str, Any] = {
        "desc": own.about,
        "cmd": f"python -m pipeline.{module}",
        "deps": [*sources, *shipped, *inputs],
        "params": [*keys, *own.keys],
        "outs": [f"data/{stages.place(result).as_posix()}", f"reports/metrics/{name}.json"],
    }
    if stages.trains(result):
        y, label = ("psnr_db", "PSNR (dB)") if result == "vae" else ("loss", "Loss")
        shown = {"x": "step", "y": y, "title": f"Training: {result}", "x_label": "Step", "y_label": label}
        made["plots"] = [{f"reports/curves/{name}.csv": shown}]
    return made


def _ships(result: str) -> bool:
    return (PACKAGE / "pretrained" / result).is_dir() and result != "diffcom"


def _evaluate() -> dict[str, Any]:
    outs = ("results.csv", "pictures", "timing.json", "protocol.json", "by_snr.csv", "metrics/evaluate.json")
    return {
        "desc": "Every method over channels, SNRs, rates and test photographs, on Ray",
        "cmd": "python -m pipeline.evaluate",
        "deps": ["pipeline/evaluate.py", *_files(stages.evaluation_sources()), "data/photos", "data/models"],
        "params": ["seed", "device", "sample", "evaluate"],
        "outs": [f"reports/{name}" for name in outs],
        # In git, so that a clone has something to compare with.
        "metrics": [{"reports/headline": {"cache": False}}],
    }


def _theory() -> dict[str, Any]:
    return {
        "desc": "Every statement of the theory beside what the code measures",
        "cmd": "python -m pipeline.theory",
        "deps": ["pipeline/theory.py", *_files(stages.theory_sources())],
        "outs": ["reports/theory.json", "reports/metrics/theory.json"],
    }


def _report() -> dict[str, Any]:
    read = ("results.csv", "pictures", "timing.json", "theory.json", "published.csv", "curves", "metrics/evaluate.json")
    outs = ("index.html", "grid.png", "paired.csv", "bd_rate.csv", "figures", "tables", "report.pdf", "summary.json")
    sources = [*_files(stages.report_sources()), "jscgc/report/data", "jscgc/report/templates"]
    return {
        "desc": "The page, and figures, tables and a PDF for a paper, from the results alone",
        "cmd": "python -m pipeline.report",
        "deps": ["pipeline/report.py", *sources, *(f"reports/{name}" for name in read), "data/photos/manifest.json"],
        "params": ["profile"],
        "outs": [f"reports/{name}" for name in outs],
    }


def _files(paths: Iterable[Path]) -> list[str]:
    """As DVC has them: ours below the project, with folders of which every file is among them as one; a plugin's where it is."""
    every, ours = set(paths), PACKAGE.parent
    # Of ours only: elsewhere .dvcignore keeps no __pycache__ out, and a script may lie in a folder with anything.
    folders = {path.parent for path in every if path.is_relative_to(PACKAGE)} - {PACKAGE}
    # Where declarations lie a new file is a new name, which is not theirs.
    open_ended = [PACKAGE.joinpath(*package.split(".")) for package in DECLARING]
    whole = {
        folder
        for folder in folders
        if not any(place.is_relative_to(folder) for place in open_ended)
        and {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"} <= every
    }
    kept = {path for path in every if path.parent not in whole} | whole
    return sorted(path.relative_to(ours).as_posix() if path.is_relative_to(ours) else str(path) for path in kept)


def render(params: Params) -> str:
    """The text of dvc.yaml."""
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedSeq

    content = graph(params)
    for made in content["stages"].values():
        for key in ("deps", "params", "outs"):
            if key in made:
                made[key] = CommentedSeq(made[key])
                made[key].fa.set_flow_style()
    yaml, stream = YAML(), StringIO()
    yaml.width, yaml.default_flow_style = 120, False
    yaml.dump(content, stream)
    return HEAD + stream.getvalue()


def check(params: Params) -> None:
    """Whether dvc.yaml has a stage for all that these parameters train.

    Raises:
        ValueError: it lacks one; says what to do.
    """
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    for result in params.trained:
        if f"\n  {name_of(result)}:\n" not in text:
            raise ValueError(
                f"params.yaml trains {result}, and dvc.yaml has no stage for it; run: python -m pipeline.graph"
            )


def write(params: Params) -> None:
    """Make dvc.yaml what follows from these parameters."""
    text = render(params)
    if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        with atomic(FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main() -> None:
    """Write, or compare."""
    text = render(load_params())
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE} does not follow from jscgc/stages.py and params.yaml; run: python -m pipeline.graph")
        return
    write(load_params())


if __name__ == "__main__":
    try:
        main()
    except ParamsError as error:
        sys.exit(f"graph: {error}")
