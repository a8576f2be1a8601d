"""Finished jobs on disk: exactly what they were, whole or not there, and each claimed by one evaluation."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jscgc.evaluation.identity import JobKey
from jscgc.evaluation.jobs import Job, JobResult
from jscgc.evaluation.store import ResultStore

JOB = Job("jscgc", "none", "awgn", 5.0, 2, "a", 0, False)
KEY = JobKey("jscgc", '{"job": 1}', "1" * 64)
OTHER = JobKey("diffcom", '{"job": 2}', "2" * 64)
rng = np.random.default_rng(0)
SINGLE = rng.normal(size=(7, 40)).astype(np.float32).astype(np.float64)
DOUBLE = rng.normal(size=(3, 5))
RESULT = JobResult(
    {"psnr": 0.1 + 0.2, "nan": math.nan, "inf": math.inf, "tiny": 5e-324},
    {"fid": SINGLE, "kid": SINGLE, "other": DOUBLE, "none": np.zeros((0, 4)), "gap": np.array([[math.nan, 1.0]])},
    b"\x89PNG",
    2,
    1.25,
    math.pi,
    64,
    80,
    {1: ({"psnr": 1.0}, {"fid": DOUBLE}), 4: ({}, {})},
    warm=False,
)


def same(one: JobResult, other: JobResult) -> None:
    for field in ("png", "steps", "encode_ms", "decode_ms", "height", "width", "warm"):
        assert getattr(one, field) == getattr(other, field)
    for (scores, features), (scores2, features2) in zip(
        [(one.scores, one.features), *one.means.values()],
        [(other.scores, other.features), *other.means.values()],
        strict=True,
    ):
        assert list(scores) == list(scores2) and features.keys() == features2.keys()
        np.testing.assert_array_equal(list(scores.values()), list(scores2.values()))
        for name, array in features.items():
            assert array.dtype == features2[name].dtype
            np.testing.assert_array_equal(array, features2[name])
    assert list(one.means) == list(other.means)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "store")


def test_what_comes_back_is_what_was_kept_to_the_last_bit(store):
    assert store.load(KEY) is None and len(store) == 0
    store.save(KEY, JOB, RESULT, "abc")
    found = store.load(KEY)
    assert found is not None and len(store) == 1
    same(RESULT, found)
    assert store.load(OTHER) is None


def test_features_shared_by_metrics_are_kept_once_and_short(store, tmp_path):
    wide = rng.normal(size=(40, 2048)).astype(np.float32).astype(np.float64)
    store.save(KEY, JOB, JobResult({}, {"fid": wide, "kid": wide}), "abc")
    (file,) = (tmp_path / "store").glob("*/*.parquet")
    assert file.stat().st_size < 1.1 * wide.size * 4


def test_the_folder_is_one_table(store, tmp_path):
    store.save(KEY, JOB, RESULT, "abc")
    store.save(OTHER, JOB, JobResult({"psnr": 3.0}), "def")
    with store.claim({"x"}):
        table = pd.read_parquet(tmp_path / "store").set_index("key")
    assert set(table.index) == {KEY.key, OTHER.key}
    assert table.loc[OTHER.key, "protocol"] == "def" and table.loc[KEY.key, "identity"] == KEY.identity
    assert dict(table.loc[KEY.key, "scores"])["psnr"] == 0.1 + 0.2


def test_a_damaged_file_is_no_result_and_is_said_to_be_damaged(store, tmp_path, caplog):
    store.save(KEY, JOB, RESULT, "abc")
    (file,) = (tmp_path / "store").glob("*/*.parquet")
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no parquet"):
        file.write_bytes(content)
        caplog.clear()
        assert store.load(KEY) is None
        assert "damaged, the job is run again" in caplog.text and str(file) in caplog.text
    file.write_bytes(whole)
    assert store.load(KEY) is not None
    assert store.load(JobKey(KEY.method, '{"job": 3}', KEY.key)) is None
    assert "belongs to another job" in caplog.text


def test_every_flipped_bit_of_the_content_is_noticed(store, tmp_path):
    store.save(KEY, JOB, RESULT, "abc")
    (file,) = (tmp_path / "store").glob("*/*.parquet")
    whole = file.read_bytes()
    noticed = 0
    for place in range(4, len(whole), len(whole) // 100):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        file.write_bytes(flipped)
        found = store.load(KEY)
        if found is not None:  # in what is no data of ours, such as statistics and names of the writer
            same(RESULT, found)
        noticed += found is None
    assert noticed > 50


def test_a_job_is_one_evaluation_s_at_a_time(store):
    with store.claim({"a", "b"}) as first:
        assert first == {"a", "b"}
        with store.claim({"b", "c"}) as second:
            assert second == {"c"}
            with store.claim({"a", "c"}) as third:
                assert third == set()
        with store.claim({"c", "a"}) as later:
            assert later == {"c"}
    with store.claim({"a", "b", "c"}) as free:
        assert free == {"a", "b", "c"}


def test_a_claim_ends_with_an_exception(store, tmp_path):
    with pytest.raises(RuntimeError), store.claim({"a"}):
        raise RuntimeError
    with store.claim({"a"}) as free:
        assert free == {"a"}
    assert [path.name for path in (tmp_path / "store/.claims").iterdir()] == ["lock"]


def test_the_claim_of_a_killed_process_ends_with_it_and_its_scraps_go(store, tmp_path):
    folder = tmp_path / "store"
    code = (
        "import sys, time; from pathlib import Path; from jscgc.evaluation.store import ResultStore\n"
        f"with ResultStore(Path({str(folder)!r})).claim({{'a'}}):\n    print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        store.save(KEY, JOB, RESULT, "abc")
        scrap = folder / "jscgc" / f".{OTHER.key}.parquet.{process.pid}.tmp"
        scrap.write_bytes(b"begun")
        with store.claim({"a", "b"}) as free:
            assert free == {"b"}
        assert scrap.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with store.claim({"a", "b"}) as free:
        assert free == {"a", "b"}
    assert not scrap.exists() and store.load(KEY) is not None
