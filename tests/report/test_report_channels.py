"""Channels as the report shows them, and pictures that evaluation writes and the report finds."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from jscgc.channel.spec import names
from jscgc.evaluation.jobs import ORIGINAL, Job, JobResult
from jscgc.evaluation.run import Evaluation
from jscgc.evaluation.table import write_pictures
from jscgc.report.pictures import find_photos
from jscgc.report.reading import channel_label, order_channels

CHANNEL = "rician_block:k_db=-3,csi=lmmse,snr=+3"


@pytest.mark.parametrize(
    "channel, label",
    [
        ("awgn", "AWGN"),
        ("awgn:snr=blind", "AWGN, blind SNR"),
        ("rayleigh_block", "Rayleigh block fading"),
        ("rayleigh_fast:csi=none", "Rayleigh fast fading, no CSI"),
        ("rician_block", "Rician block fading, K = 6 dB"),
        (CHANNEL, "Rician block fading, K = -3 dB, LMMSE CSI, SNR believed +3 dB"),
        ("rayleigh_block:pilots=4,csi=ls", "Rayleigh block fading, 4 pilots, LS CSI"),
        ("tdl_c:delay_spread_ns=300,csi=lmmse", "TDL-C, 300 ns, LMMSE CSI"),
        ("cdl_a:speed_mps=30,subcarriers=128", "CDL-A, 100 ns, 30 m/s, 128 subcarriers"),
        ("a stranger's", "a stranger's"),
        ("awgn:snr=7", "awgn:snr=7"),
    ],
)
def test_labels_are_for_people(channel, label):
    assert channel_label(channel) == label


def test_labels_keep_channels_apart():
    assert len({channel_label(name) for name in names()}) == len(names())


def test_awgn_comes_first_and_variants_stay_together():
    found = ["zzz", "tdl_a", "rician_block", "awgn:snr=blind", "rayleigh_fast", "awgn", "tdl_a:csi=ls"]
    assert order_channels(found) == [
        "awgn",
        "awgn:snr=blind",
        "rayleigh_fast",
        "rician_block",
        "tdl_a",
        "tdl_a:csi=ls",
        "zzz",
    ]


def test_the_report_finds_the_pictures_that_evaluation_wrote(tmp_path: Path, make: Callable[..., pd.DataFrame]) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, format="PNG")
    result = JobResult({}, png=stream.getvalue())
    jobs = [Job(ORIGINAL, "none", "", 0.0, 0, "a", 0, True)]
    jobs += [Job("jscgc", "none", channel, -2.5, 8, "a", 0, True) for channel in ("awgn", CHANNEL)]
    write_pictures([(job, result) for job in jobs], tmp_path / "pictures")
    written = sorted(path.name for path in (tmp_path / "pictures" / "a").iterdir())
    assert written == [
        "jscgc_awgn_-2.5dB_8.png",
        "jscgc_rician_block--k_db--3--csi-lmmse--snr-plus3_-2.5dB_8.png",
        "original.png",
    ]
    rows = [("jscgc", channel, -2.5, 8 / 768) for channel in ("awgn", CHANNEL)]
    results = pd.DataFrame(rows, columns=["method", "channel", "snr_db", "cbr"])
    (photo,) = find_photos(tmp_path / "pictures", results)
    assert {shot.channel for shot in photo.received} == {"awgn", CHANNEL}


def test_curves_have_names_that_mlflow_takes():
    columns = ["method", "channel", "snr_db", "cbr", "steps", "seed", "image", "metric", "value"]
    table = pd.DataFrame([("jscgc", CHANNEL, 5.0, 8 / 768, 2, 0, "a", "psnr", 20.0)], columns=columns).assign(set="")
    ((step, scalars),) = Evaluation(table, [], protocol=None, jobs=1, stored=0).curves()
    assert (step, scalars) == (500, {"psnr/jscgc/rician_block--k_db--3--csi-lmmse--snr-plus3/8_768": 20.0})
