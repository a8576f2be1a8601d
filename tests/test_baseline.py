"""A fresh clone has a baseline: the lock file and headline of a committed nano run, so that DVC has something to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an exported tree has no history to clone")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "jscgc"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def dvc(clone: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DVC_")}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_metrics_are_those_of_the_committed_run(clone):
    (shown,) = (revision["data"] for revision in json.loads(dvc(clone, "metrics", "show", "--json")).values())
    files = {path.as_posix(): content["data"] for path, content in ((Path(p), c) for p, c in shown.items())}
    place = "reports/headline/awgn_5dB_8_768"
    assert {
        f"{place}/{method}.json" for method in ("jscgc", "diffjscc", "diffcom", "mambajscc_psnr", "klt")
    } <= files.keys()
    for path, values in files.items():
        assert values == json.loads((clone / path).read_text())
    # The run that README shows.
    assert files[f"{place}/jscgc.json"]["psnr"] == pytest.approx(_reference("jscgc", "psnr"), abs=1e-9)


def _reference(method: str, metric: str) -> float:
    import pandas as pd

    table = pd.read_csv(ROOT / "reports/reference/results.csv", keep_default_na=False)
    here = table[(table["method"] == method) & (table["metric"] == metric) & (table["channel"] == "awgn")]
    here = here[(here["snr_db"] == 5) & ((here["cbr"] * 768).round() == 8)]
    return float(here["value"].astype(float).mean())


def test_a_changed_metric_shows_beside_the_committed_one(clone):
    path = clone / "reports/headline/awgn_5dB_8_768/jscgc.json"
    before = path.read_text()
    values = json.loads(before)
    try:
        path.write_text(json.dumps(values | {"psnr": values["psnr"] + 1}))
        changed = json.loads(dvc(clone, "metrics", "diff", "--json"))
    finally:
        path.write_text(before)
    (found,) = (entry["psnr"] for name, entry in changed.items() if name.endswith("awgn_5dB_8_768/jscgc.json"))
    assert (found["old"], found["diff"]) == (values["psnr"], pytest.approx(1))


def test_status_knows_every_stage_and_experiments_show_the_baseline(clone):
    from ruamel.yaml import YAML

    locked = YAML(typ="safe").load((clone / "dvc.lock").read_text())["stages"]
    stages = YAML(typ="safe").load((clone / "dvc.yaml").read_text())["stages"]
    assert locked.keys() == stages.keys()
    status = json.loads(dvc(clone, "status", "--json"))
    # What the run made is not in git; nothing that it was made of has changed.
    assert status.keys() <= stages.keys()
    shown = dvc(clone, "exp", "show", "--json", "--no-pager")
    assert "reports/headline/awgn_5dB_8_768/jscgc.json" in shown and "learning_rate" in shown
