"""The headline: the report's place, the means of results.csv, and nothing of a method that could not send everything."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from jscgc.evaluation.headline import Headline, by_snr, headline
from jscgc.evaluation.judges import CHOOSING, HEADLINE
from jscgc.evaluation.protocol import ImageEntry, MetricEntry, Protocol
from jscgc.flow.params import SampleParams
from jscgc.report import headline_table, summarise

CHANNELS, SNRS, RATES = ["rayleigh_fast", "awgn"], [-5.0, 0.0, 5.0, 10.0], [2, 8]
PHOTOS, SEEDS = ["a", "b", "c"], [0, 1]


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return Protocol(
        images=[ImageEntry(name=name, sha256="0" * 64) for name in PHOTOS],
        max_side=0,
        channels=CHANNELS,
        snr_db=SNRS,
        cbr=[f"{rate}/768" for rate in RATES],
        seeds=SEEDS,
        metrics=[MetricEntry(name=name, weights_sha256=[]) for name in ("psnr", "fid_efficientnet_lite2")],
        patch=64,
        sample=SampleParams(steps=2, guidance=1.0),
        controls=True,
        dial=[2],
        dial_steps=2,
        information_points=0,
        reference_steps=0,
    )


def value(method: str, channel: str, snr_db: float, rate: int, seed: int, image: str) -> float:
    """Another number for every row."""
    parts = (len(method), CHANNELS.index(channel), snr_db, rate, seed, PHOTOS.index(image) if image in PHOTOS else 5)
    return sum(part * 1.7**power for power, part in enumerate(parts))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = []
    for method in ("jscgc", "mambajscc_psnr", "hevc_ldpc", "jscgc_wrong_symbols", "jscgc_mean_of_2"):
        for channel, snr_db, rate, seed in ((c, s, r, d) for c in CHANNELS for s in SNRS for r in RATES for d in SEEDS):
            place = (method, channel, snr_db, rate / 768, 2, seed)
            images = [image for image in PHOTOS if not (method == "hevc_ldpc" and image == "b" and snr_db < 10)]
            rows += [(*place, i, "psnr", value(method, channel, snr_db, rate, seed, i)) for i in images]
            if method == "hevc_ldpc":
                rows += [(*place, i, "cannot_operate", float(i not in images)) for i in PHOTOS]
            sets = ("*", *(f"*-{photo}" for photo in PHOTOS))
            rows += [
                (*place, i, "fid_efficientnet_lite2", 9 + value(method, channel, snr_db, rate, seed, i)) for i in sets
            ]
    columns = ["method", "channel", "snr_db", "cbr", "steps", "seed", "image", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).assign(training=0, set="")


@pytest.fixture(scope="module")
def found(table: pd.DataFrame, protocol: Protocol) -> Headline:
    return headline(table, protocol)


def test_it_is_the_table_that_the_report_opens_with(found: Headline, table: pd.DataFrame) -> None:
    shown = headline_table(summarise(table))
    assert shown is not None
    assert (found.channel, found.snr_db, found.rate / 768) == (shown.channel, shown.snr_db, shown.cbr)
    assert (found.channel, found.snr_db, found.rate) == ("awgn", 5.0, 8)
    cells = {(row.metric, cell.method): cell.mean for row in shown.rows for cell in row.cells if cell.mean is not None}
    ours = {(metric, method): mean for method, values in found.methods.items() for metric, mean in values.items()}
    assert ours == {key: pytest.approx(mean) for key, mean in cells.items()}
    assert set(found.methods) == {"jscgc", "mambajscc_psnr"}  # hevc_ldpc could not send b


def test_means_are_those_of_the_rows(found: Headline) -> None:
    expected = [value("jscgc", "awgn", 5.0, 8, seed, image) for seed in SEEDS for image in PHOTOS]
    assert found.methods["jscgc"]["psnr"] == pytest.approx(sum(expected) / 6)
    whole = [9 + value("jscgc", "awgn", 5.0, 8, seed, "*") for seed in SEEDS]
    assert found.methods["jscgc"]["fid_efficientnet_lite2"] == pytest.approx(sum(whole) / 2)


def test_models_are_ranked_by_the_first_metric_that_was_measured(found: Headline) -> None:
    assert found.ranked_by("jscgc") == "psnr"
    assert found.ranked_by("hevc_ldpc") is None
    assert CHOOSING[0] == "feature_distance_efficientnet_lite0" and CHOOSING[0] not in HEADLINE


def test_names_for_mlflow_and_files_for_dvc(found: Headline, tmp_path: Path) -> None:
    scalars = found.scalars()
    assert scalars["psnr/jscgc/awgn/8_768/5dB"] == found.methods["jscgc"]["psnr"]
    assert len(scalars) == 4
    (tmp_path / "headline" / "old").mkdir(parents=True)
    found.write(tmp_path / "headline")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json"))
    assert files == [f"headline/awgn_5dB_8_768/{method}.json" for method in ("jscgc", "mambajscc_psnr")]
    assert json.loads((tmp_path / files[0]).read_text()) == found.methods["jscgc"]
    assert not (tmp_path / "headline" / "old").exists()


def test_by_snr_has_every_method_wherever_it_sent_everything(table: pd.DataFrame, found: Headline) -> None:
    means = by_snr(table)
    assert list(means.columns) == [
        "channel",
        "cbr",
        "snr_db",
        "method",
        *HEADLINE,
        CHOOSING[0],
    ]
    assert means.groupby("method").size().to_dict() == {"hevc_ldpc": 4, "jscgc": 16, "mambajscc_psnr": 16}
    assert set(means[means["method"] == "hevc_ldpc"]["snr_db"]) == {10.0}
    here = means.query("method == 'jscgc' and channel == 'awgn' and cbr == '8/768' and snr_db == 5")
    assert here["psnr"].item() == pytest.approx(found.methods["jscgc"]["psnr"])
    assert means["feature_distance_efficientnet_lite0"].isna().all()
