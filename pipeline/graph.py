"""dvc.yaml from the one table of stages (`jscgc.stages`): `python -m pipeline.graph` writes it, `--check` compares.

It follows from params.yaml: which competitors section `baselines` names, which channels section `link` trains over. Installed
methods of other packages, and those of the modules that `plugins` in params.yaml names, get their stages like ours.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jscgc import stages
from jscgc.evaluation.judges import HEADLINE
from jscgc.evaluation.params import EvaluateParams
from jscgc.files import atomic
from jscgc.metrics import info
from jscgc.params import Params, load_params
from jscgc.sources import PACKAGE
from jscgc.stages import name_of

FILE = Path("dvc.yaml")
HEAD = """\
# photo -> latent -> symbols -> channel -> sampled photo; `dvc dag` draws it. Made by `python -m pipeline.graph` from
# jscgc/stages.py and params.yaml; edit those. A stage depends on what it can run, so that a change re-runs what it can affect.
"""
PLOTTED = ("psnr", *(name for name in HEADLINE if name != "psnr"))
"""`dvc plots` of results by SNR."""
EVALUATED = tuple(key for key in EvaluateParams.model_fields if key not in ("workers", "gpus_per_worker", "store"))
"""Keys of section `evaluate` on which results depend: not where, beside what and out of which store they are computed."""


def graph(params: Params) -> dict[str, Any]:
    """The content of dvc.yaml."""
    made = {name_of(result): _making(result, params) for result in ("photos", "vae", "latents", *params.trained)}
    tuned = {f"finetune_{name}": _each_link(name, params) for name in params.finetune.methods if params.finetune.links}
    return {
        "stages": {**made, **tuned, "evaluate": _evaluate(), "theory": _theory(), "report": _report()},
        "plots": [
            {
                f"Results by SNR, {metric}": {
                    "template": "by_snr",
                    "x": "snr_db",
                    "y": {"reports/by_snr.csv": metric},
                    "title": f"Results: {info(metric).label} ({info(metric).direction} is better)",
                    "x_label": "SNR (dB)",
                    "y_label": info(metric).label,
                }
            }
            for metric in PLOTTED
        ],
    }


def _making(result: str, params: Params) -> dict[str, Any]:
    made_by, name = stages.stage(result), name_of(result)
    file = stages.file_of(name)
    module = name if result in ("photos", "latents") else f"train {result}"
    shipped = [f"jscgc/pretrained/{result}"] if stages.starts_from_shipped(result) else []
    if result == "latents":
        shipped = ["jscgc/pretrained/flow/model.json"]  # the statistics
    sources = [f"pipeline/{module.split()[0]}.py", *_files(made_by.sources(params))]
    inputs = [f"data/{stages.place(need).as_posix()}" for need in made_by.needs]
    listed = [params.data.list_file] if result == "photos" and params.data.list_file else []
    keys = [key for key in ("device",) if result != "photos"]
    made: dict[str, Any] = {
        "desc": made_by.about,
        "cmd": f"python -m pipeline.{module}",
        "deps": [*sources, *shipped, *inputs, *listed],
        "params": [*keys, *made_by.keys],
        "outs": [f"data/{stages.place(result).as_posix()}", f"reports/metrics/{file}.json"],
    }
    if stages.trains(result):
        y, label = ("psnr_db", "PSNR (dB)") if result == "vae" else ("loss", "Loss")
        shown = {"x": "step", "y": y, "title": f"Training: {result}", "x_label": "Step", "y_label": label}
        made["plots"] = [{f"reports/curves/{file}.csv": shown}]
    return made


def _each_link(method: str, params: Params) -> dict[str, Any]:
    """A method's stages of section `finetune`, one for each link; what they can run is that of all links together."""
    links = sorted(params.finetune.links)
    made = _making(f"{method}-${{item}}", params)
    made["deps"] = list(dict.fromkeys(dep for link in links for dep in _making(f"{method}-{link}", params)["deps"]))
    return {"foreach": links, "do": made}


def _evaluate() -> dict[str, Any]:
    outs = ("results.csv", "pictures", "timing.json", "protocol.json", "by_snr.csv", "metrics/evaluate.json")
    return {
        "desc": "Every method over channels, SNRs, rates and test photographs, on Ray",
        "cmd": "python -m pipeline.evaluate",
        "deps": ["pipeline/evaluate.py", *_files(stages.evaluation_sources()), "data/photos", "data/models"],
        "params": [
            "seed",
            "device",
            "precision",
            "sample",
            "finetune.links",
            *(f"evaluate.{key}" for key in EVALUATED),
        ],
        "outs": [f"reports/{name}" for name in outs],
        # In git, so that a clone has something to compare with.
        "metrics": [{"reports/headline": {"cache": False}}],
    }


def _theory() -> dict[str, Any]:
    return {
        "desc": "Every statement of the theory beside what the code measures",
        "cmd": "python -m pipeline.theory",
        "deps": ["pipeline/theory.py", *_files(stages.theory_sources()), "data/latents"],
        "outs": ["reports/theory.json", "reports/metrics/theory.json"],
    }


def _report() -> dict[str, Any]:
    read = ("results.csv", "pictures", "timing.json", "theory.json", "published.csv", "curves")
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
    """As DVC has them: ours below the project, a plugin's where it is."""
    ours = PACKAGE.parent
    return sorted(path.relative_to(ours).as_posix() if path.is_relative_to(ours) else str(path) for path in paths)


def render(params: Params) -> str:
    """The text of dvc.yaml."""
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedSeq

    content = graph(params)
    for stage in content["stages"].values():
        made = stage.get("do", stage)
        for key in ("deps", "params", "outs"):
            if key in made:
                made[key] = CommentedSeq(made[key])
                made[key].fa.set_flow_style()
    yaml, stream = YAML(), StringIO()
    yaml.width, yaml.default_flow_style = 120, False
    yaml.dump(content, stream)
    return HEAD + stream.getvalue()


def check(params: Params, running: str = "") -> None:
    """Whether dvc.yaml has a stage for all that these parameters train, and the running one depends on all that it can run.

    Raises:
        ValueError: something is missing; says what to do.
    """
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    blocks = {block.partition(":")[0]: set(re.split(r"[\s,\[\]]+", block)) for block in re.split(r"\n  (?=\w)", text)}
    remedy = "run: python -m pipeline.graph"
    for result in (*params.trained, *params.finetuned):
        block, _, link = name_of(result).partition("@")
        if block not in blocks or (link and link not in blocks[block]):
            raise ValueError(f"params.yaml trains {result}, and dvc.yaml has no stage for it; {remedy}")
    for result in ("vae", *params.trained, *params.finetuned):
        if name_of(result) == running and (
            missing := set(_making(result, params)["deps"]) - blocks.get(running.partition("@")[0], set())
        ):
            raise ValueError(f"dvc.yaml: stage {running} runs {min(missing)} and does not depend on it; {remedy}")


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
    except (ValueError, OSError) as error:
        sys.exit(f"graph: {error}")
