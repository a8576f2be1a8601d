"""A metric from outside: one file, which nothing of ours names."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jscgc.cli import main
from jscgc.metrics import available, info, names, pair_metric, pair_names, registry
from jscgc.metrics.scoring import score
from jscgc.registry import PLUGINS, add_plugin

SOURCE = '''
"""How many pixels differ at all."""

from jscgc.metrics import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, check_pair
from jscgc.metrics.weights import WeightsFile

FILE = WeightsFile("thresholds", "thresholds", "thresholds.bin", 0.001, "none", url="https://localhost/t", digest="DIGEST")
INFO = MetricInfo("changed_pixels", "changed", "lower", 0.0, 1.0, "nobody, 2026", "pair", network="thresholds")


class ChangedPixels:
    info = INFO

    def __init__(self, device):
        FILE.verified()

    def __call__(self, reference, received):
        check_pair(reference, received)
        return (as_bytes(reference) != as_bytes(received)).any(1).float().mean((1, 2))


METRIC = Metric(INFO, ChangedPixels, weights=(FILE,))
'''
CONTENT = b"thresholds"


@pytest.fixture(params=["for this run", "installed"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a metric, used in this process until the test ends."""
    monkeypatch.setenv("JSCGC_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv(PLUGINS, "")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    path = tmp_path / "metric_of_another.py"
    path.write_text(SOURCE.replace("DIGEST", hashlib.sha256(CONTENT).hexdigest()), encoding="utf-8")
    if request.param == "installed":
        distribution = tmp_path / "another-1.0.dist-info"
        distribution.mkdir()
        (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
        (distribution / "entry_points.txt").write_text("[jscgc.metrics]\nchanged = metric_of_another:METRIC\n")
        registry.METRICS.forget()
    else:
        add_plugin(str(path))
    yield path
    sys.modules.pop(path.stem)
    monkeypatch.undo()
    registry.METRICS.forget()


def test_a_plugins_metric_is_one_like_ours(plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert names()[-1] == "changed_pixels" and info("changed_pixels").network == "thresholds"
    assert registry.module("changed_pixels") == plugin.stem
    assert "`jscgc weights fetch thresholds`" in (available()["changed_pixels"] or "")
    assert "changed_pixels" not in pair_names()

    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "thresholds.bin").write_bytes(CONTENT)
    assert main(["weights", "import", str(tmp_path / "stick"), "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["kept"]] == ["thresholds"]
    assert main(["weights", "list", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)["files"][-1]
    assert (last["name"], last["metrics"], last["state"]) == ("thresholds", ["changed_pixels"], "verified")

    assert available()["changed_pixels"] is None and "changed_pixels" in pair_names()
    photo = torch.zeros(3, 4, 5)
    received = photo.clone()
    received[1, 2, 3] = 0.5
    assert score([pair_metric("changed_pixels")], photo, received) == {"changed_pixels": pytest.approx(1 / 20)}


def test_without_the_plugin_nothing_of_it_is_left() -> None:
    assert "changed_pixels" not in names() and "metric_of_another" not in sys.modules
