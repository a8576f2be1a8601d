"""The page: every section, nothing loaded from elsewhere, everything escaped, and what it does without its inputs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from plotly import graph_objects
from plotly.offline import get_plotlyjs

from jscgc.report import build_page, picture_grid, pictures
from jscgc.report.page import duration
from jscgc.report.pictures import embed, find_photos

Maker = Callable[..., pd.DataFrame]
SECTIONS = (
    "headline",
    "snr",
    "cbr",
    "semantics",
    "slider",
    "pictures",
    "failures",
    "comparisons",
    "controls",
    "monotonic",
    "latency",
    "published",
    "training",
    "table",
    "times",
    "metrics",
    "limits",
    "data",
    "parameters",
)
HOSTILE = "<img src=x onerror=alert(1)>&\"'</script>"
MANIFEST = {
    "source": "builtin",
    "photos": [{"name": HOSTILE, "split": "test", "origin": "skimage", "licence": "CC0", "sha256": "ab" * 32}],
}


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_of(folder: Path, **arguments: Any) -> str:
    """The page's text without plotly.js."""
    defaults: dict[str, Any] = {"params_text": "seed: 0\n", "manifest": MANIFEST, "commit": "abc", "profile": "smoke"}
    text = build_page(folder, **defaults | arguments).read_text(encoding="utf-8")
    assert text.count(get_plotlyjs()) == 1
    return text.replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def page(reports: Path) -> str:
    return page_of(reports, date="2026-01-02", notes=[HOSTILE], commit=HOSTILE, params_text=f"name: {HOSTILE}")


def test_every_section_is_there_with_content(page: str) -> None:
    ids = [attributes.get("id") for _, attributes in Tags(page).found]
    assert [name for name in SECTIONS if ids.count(name) != 1] == []
    assert all(f'href="#{name}"' in page for name in SECTIONS)
    for text in ("2026-01-02", "train_vae", "3 min 20 s", "stand-in", "no symbols", "biased", "CC0"):
        assert text in page


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for tag, attributes in Tags(page).found:
        assert tag not in {"link", "iframe", "base"} or attributes.get("href") == "data:,"
        assert (attributes.get("src") or "data:").startswith("data:")
        if tag != "a":
            assert not (attributes.get("href") or "").startswith("http")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|src=[\"']?(https?:)?//", page)


def test_names_are_escaped(page: str) -> None:
    assert HOSTILE not in page and "<img src=x" not in page
    assert page.count("&lt;img src=x onerror") == 4  # commit, note, parameters, photograph


def test_figures_are_json_with_traces_for_every_choice(page: str) -> None:
    figures = json_of(page, "figures")
    measured = {f"{a}-{m}" for a in ("snr_db", "cbr") for m in ("psnr", "fid_efficientnet_lite2")}
    # PSNR and rFID over SNR, rFID over CBR have a counterpart in these results.
    ours = {f"published-ours-{i}" for i in (0, 6, 14)}
    published = {f"published-{i}" for i in range(18)}
    assert set(figures) == measured | {"training0", "latency-bars", "latency-quality"} | ours | published
    metas = {(t["meta"]["series"], t["meta"]["channel"], t["meta"]["cbr"]) for t in figures["snr_db-psnr"]["data"]}
    offered = set(re.findall(r'<option value="([^"]+)"[^>]*>\d/768', page))
    assert {cbr for _, _, cbr in metas} <= offered and len(metas) == 4
    means = [t for t in figures["snr_db-psnr"]["data"] if "customdata" in t]
    assert all(t["x"] == [-5, 0, 5] for t in means)
    assert set(re.findall(r'data-figure="([^"]+)"', page)) == set(figures)


def test_plotly_itself_takes_every_figure(page: str) -> None:
    """Its own classes refuse unknown names and values, which ours do not look at."""
    figures = json_of(page, "figures")
    assert figures
    for name, figure in figures.items():
        checked = json.loads(graph_objects.Figure(figure).to_json())
        checked["layout"].pop("template", None)
        assert checked == figure, name


def json_of(page: str, name: str) -> Any:
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_pictures_are_embedded_once_each(page: str) -> None:
    store = json_of(page, "picture-store")
    # per photograph: original, 2 methods x 3 SNRs x 2 rates, and two controls
    assert len(store) == 2 * (1 + 12 + 2) and page.count("data:image/webp") == len(store)
    shown = [a for tag, a in Tags(page).found if tag == "img" and "data-picture" in a]
    assert {a["data-picture"] for a in shown} == set(store) and {a["data-beside"] for a in shown} <= set(store)
    assert all(a["alt"] for a in shown)


def test_the_slider_knows_every_picture_and_no_other(page: str, reports: Path) -> None:
    slider, store = json_of(page, "slider-data"), json_of(page, "picture-store")
    files = {
        "|".join((p.parent.name, *m.groups()))
        for p in reports.glob("pictures/*/*.png")
        if (m := re.fullmatch(r"(jscgc|mambajscc_psnr)_(awgn)_(.*)dB_(\d+)", p.stem))
    }
    assert set(slider["pictures"]) == files and len(files) == 24
    assert {found[0] for found in slider["pictures"].values()} | set(slider["originals"].values()) <= set(store)


def test_the_page_stays_small(page: str) -> None:
    assert len(page) < 1_000_000  # beside plotly.js, 5 MB, and pictures, at most 8 MB


def test_equal_inputs_give_an_equal_page(reports: Path) -> None:
    assert page_of(reports) == page_of(reports)


def test_results_alone_make_a_page_that_says_what_is_missing(make: Maker, tmp_path: Path) -> None:
    results = make((5.0,))
    results = results[(results["method"] == "jscgc") & (results["cbr"] > 0.005)]
    results.to_csv(tmp_path / "results.csv", index=False)
    page = page_of(tmp_path, manifest=None, params_text="", commit="")
    for text in (
        "Only one SNR",
        "Only one CBR",
        "No pictures were kept",
        "Not tested: no control",
        "Not tested: fewer than two SNRs",
        "No training curves",
        "No times of stages",
        "No latencies",
        "no manifest",
        "a date not stated",
        "parameters were not stated",
    ):
        assert text in page, text


def test_no_rows_make_a_page_too(make: Maker, tmp_path: Path) -> None:
    make().head(0).to_csv(tmp_path / "results.csv", index=False)
    assert "holds no rows" in page_of(tmp_path)


def test_grid_is_bounded_and_labelled(
    reports: Path, make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "grid.png"
    assert picture_grid(reports / "pictures", make(), out)
    with Image.open(out) as grid:
        assert grid.width > 3 * 240 and grid.height > 6 * 160  # original | 2 methods; 2 photographs x 3 SNRs at 3:2
    size = out.stat().st_size
    assert picture_grid(reports / "pictures", make(), out, max_bytes=size // 2)
    assert out.stat().st_size <= size // 2
    smaller = out.read_bytes()
    for width in pictures._WIDTHS:  # the widest that fits, found without drawing all
        monkeypatch.setattr(pictures, "_WIDTHS", (width,))
        picture_grid(reports / "pictures", make(), out, max_bytes=size // 2)
        if out.stat().st_size <= size // 2:
            break
    assert out.read_bytes() == smaller and width < 240
    assert not picture_grid(tmp_path / "none", make(), tmp_path / "no.png") and not (tmp_path / "no.png").exists()


def test_grid_survives_a_missing_picture(make: Maker, tmp_path: Path, save_picture: Callable[..., None]) -> None:
    save_picture(tmp_path / "a" / "original.png")
    save_picture(tmp_path / "a" / "jscgc_awgn_0dB_8.png")
    save_picture(tmp_path / "a" / "mambajscc_psnr_awgn_5dB_8.png")
    assert picture_grid(tmp_path, make(), tmp_path / "grid.png")


def test_embedding_keeps_its_budget(tmp_path: Path, make: Maker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size=(256, 384, 3), dtype=np.uint8)
    for image in "abcd":
        (tmp_path / image).mkdir()
        for name in ("original", "jscgc_awgn_0dB_8", "jscgc_awgn_5dB_8"):
            Image.fromarray(noise).save(tmp_path / image / f"{name}.png")
    photos = find_photos(tmp_path, make())
    whole = embed(photos)
    assert (len(whole.photos), whole.side) == (4, 384)
    small = embed(photos, budget=sum(map(len, whole.uris.values())) // 8)
    assert sum(map(len, small.uris.values())) <= sum(map(len, whole.uris.values())) // 8
    assert small.side < 384


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (3.21, "3.2 s"), (200.0, "3 min 20 s"), (3700, "1 h 1 min")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (7, 900)])
def test_strips_are_shown_without_being_blown_up(
    size: tuple[int, int], make: Maker, tmp_path: Path, save_picture: Callable[..., None]
) -> None:
    from jscgc.report.side_by_side import NARROWEST, side_by_side

    for name in ("original", "jscgc_awgn_0dB_8"):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("RGB", size).save(tmp_path / "a" / f"{name}.png")
    assert picture_grid(tmp_path, make(), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.height < 5 * 240
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    labelled = side_by_side({"original": picture, "jscgc": picture}, "awgn")
    height, width = labelled.shape[:2]
    assert height <= max(size[1], 4 * NARROWEST) + 100 + size[0] // 10 and width <= 2 * max(NARROWEST, size[0]) + 100


def test_training_photographs_in_shards_are_counted(reports: Path) -> None:
    manifest = MANIFEST | {"train_side": 256, "shards": [{"photos": 2048}, {"photos": 52}]}
    text = page_of(reports, manifest=manifest)
    assert "2100 train, reduced to 256 pixels and in shards that name each one, 1 test." in text
