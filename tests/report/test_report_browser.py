"""The page in a real browser, opened as a file: selectors, slider, both colour schemes, a phone; and no request."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jscgc.report import build_page, summarise

pytestmark = pytest.mark.timeout(120)
LABELS = {"jscgc": "JSCGC", "diffjscc": "DiffJSCC", "hevc_ldpc": "HEVC + 5G LDPC"}
METRICS = {
    "psnr": (20.0, 4.0),
    "feature_distance_efficientnet_lite2": (5.0, -1.0),
    "semantic_cosine_efficientnet_lite2": (0.5, 0.1),
    "fid_efficientnet_lite2": (9.0, -2.0),
}
"""Value at 0 dB, and how much 10 dB change it."""


def table() -> pd.DataFrame:
    rows = []
    for shift, method in enumerate(("jscgc", "diffjscc")):
        for channel in ("awgn", "rayleigh_fast"):
            for snr_db in (-5.0, 0.0, 10.0):
                for rate in (2, 8):
                    for seed in range(2):
                        place = (method, channel, snr_db, rate / 768, 2, seed)
                        for metric, (at_zero, slope) in METRICS.items():
                            base = at_zero + slope * (snr_db / 10 + (rate == 8) - shift / 3 - (channel != "awgn") / 5)
                            for i, image in enumerate(("*",) if metric.startswith("fid") else ("a", "b")):
                                rows.append((*place, image, metric, base + slope * (seed / 50 + i / 10)))
    stuck = [("hevc_ldpc", "awgn", 0.0, 8 / 768, 0, s, i, "cannot_operate", 1.0) for s in range(2) for i in "ab"]
    columns = ["method", "channel", "snr_db", "cbr", "steps", "seed", "image", "metric", "value"]
    return pd.DataFrame(rows + stuck, columns=columns)


COMPARISONS = [
    {"metric": "feature_distance_efficientnet_lite2", "channel": "awgn", "snr_db": 0.0, "cbr": 8 / 768, "method": "jscgc",
     "steps": 2, "other": "diffjscc", "other_steps": 2, "won": 1.0, "images": 8, "difference": -0.4, "low": -0.5,
     "high": -0.3, "p": 0.0078, "note": None},
    {"metric": "feature_distance_efficientnet_lite2", "channel": "awgn", "snr_db": 0.0, "cbr": 8 / 768, "method": "jscgc",
     "steps": 2, "other": "diffcom", "other_steps": 4, "won": 0.75, "images": 8, "difference": -0.4, "low": -0.7,
     "high": -0.1, "p": 0.21, "note": None},
    {"metric": "feature_distance_efficientnet_lite2", "channel": "awgn", "snr_db": 0.0, "cbr": 8 / 768, "method": "jscgc",
     "steps": 2, "other": "mambajscc_psnr", "other_steps": 0, "won": 1.0, "images": 5, "difference": -0.4, "low": -0.5,
     "high": -0.3, "p": 0.01, "note": None},
    {"metric": "feature_distance_efficientnet_lite2", "channel": "awgn", "snr_db": 0.0, "cbr": 8 / 768, "method": "jscgc",
     "steps": 2, "other": "hevc_ldpc", "other_steps": 0, "won": None, "images": 0, "difference": None, "low": None,
     "high": None, "p": None, "note": "hevc_ldpc cannot operate"},
]  # fmt: skip
SAVED = [
    {"metric": "psnr", "channel": "awgn", "snr_db": -5.0, "method": "jscgc", "other": "diffjscc", "images": 8,
     "cbr_saved_percent": 12.5, "low": 5.0, "high": 20.0, "overlap": 0.6, "reason": None},
    {"metric": "psnr", "channel": "awgn", "snr_db": 0.0, "method": "jscgc", "other": "diffjscc", "images": 8,
     "cbr_saved_percent": None, "low": None, "high": None, "overlap": 0.0, "reason": "no overlap"},
]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, save_picture: Callable[..., None]) -> Path:
    folder = tmp_path_factory.mktemp("built")
    results = table()
    results.to_csv(folder / "results.csv", index=False)
    shots = results[results["method"] != "hevc_ldpc"][["method", "channel", "snr_db", "cbr"]].drop_duplicates()
    for seed, image in enumerate("ab"):
        save_picture(folder / "pictures" / image / "original.png", seed=seed)
        for i, (m, c, s, r) in enumerate(shots.itertuples(index=False)):
            save_picture(
                folder / "pictures" / image / f"{m}_{c}_{s:g}dB_{round(r * 768)}.png", seed=10 + 100 * seed + i
            )
    (folder / "timing.json").write_text(
        '[{"method": "jscgc", "steps": 2, "height": 64, "width": 96, "encode_ms_median": 3, "decode_ms_median": 80}]'
    )
    summary = summarise(results) | {"paired": COMPARISONS, "bd_rate": SAVED}
    build_page(folder, params_text="seed: 0\n", manifest=None, commit="abc", profile="smoke", summary=summary)
    return folder


@pytest.fixture(scope="module")
def save_picture() -> Callable[..., None]:
    from PIL import Image

    def save(path: Path, seed: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, size=(8, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 64), Image.Resampling.NEAREST).save(path)

    return save


@contextmanager
def opened(browser: Any, folder: Path, fragment: str = "", **context: Any) -> Iterator[Any]:
    """The page, from a folder that holds nothing else; fails on console errors, and on any request but the file's own."""
    alone = folder.parent / f"{folder.name}-alone"
    alone.mkdir(exist_ok=True)
    shutil.copy(folder / "index.html", alone)
    address = (alone / "index.html").as_uri()
    defaults: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
    session = browser.new_context(**defaults | context)
    tab = session.new_page()
    wrong: list[str] = []
    tab.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: wrong.append(str(e)))
    tab.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("data:", "blob:", address)) else None)
    tab.goto(address + fragment)
    yield tab
    session.close()
    assert wrong == []


def show(box: Any) -> None:
    """Scroll to it, at once: playwright's own way waits until nothing moves, on a busy machine longer than its patience."""
    box.evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")


def traces(tab: Any, selector: str) -> list[dict[str, Any]]:
    """What a plot shows now: names and points of its traces with a mean."""
    box = tab.locator(selector).first
    show(box)
    tab.wait_for_function(
        "s => { const e = document.querySelector(s); return e && e.data && e.data.length }", arg=selector
    )
    found: list[dict[str, Any]] = box.evaluate(
        "e => e.data.filter(t => t.name).map(t => ({name: t.name, x: Array.from(t.x), y: Array.from(t.y)}))"
    )
    return found


def mean_of(**wanted: Any) -> float:
    rows = table()
    for key, value in wanted.items():
        rows = rows[np.isclose(rows[key], value)] if isinstance(value, float) else rows[rows[key] == value]
    return float(rows.groupby("image")["value"].mean().mean())


def test_a_selector_changes_what_a_plot_shows_and_the_numbers_are_the_tables(browser: Any, built: Path) -> None:
    psnr = '[data-figure="snr_db-psnr"]'
    with opened(browser, built) as tab:
        for channel, rate in (("awgn", 8), ("rayleigh_fast", 8), ("rayleigh_fast", 2)):
            tab.select_option('select[data-group="snr"][data-key="channel"]', channel)
            tab.select_option('select[data-group="snr"][data-key="cbr"]', f"{rate / 768:g}")
            shown = {t["name"]: t for t in traces(tab, psnr)}
            assert set(shown) == {"JSCGC", "DiffJSCC"}
            for method in ("jscgc", "diffjscc"):
                expected = [
                    mean_of(method=method, channel=channel, cbr=rate / 768, snr_db=s, metric="psnr")
                    for s in (-5.0, 0.0, 10.0)
                ]
                assert shown[LABELS[method]]["y"] == pytest.approx(expected, rel=1e-5)
        tab.click('#snr .legend button[data-series="DiffJSCC"]')
        assert [t["name"] for t in traces(tab, psnr)] == ["JSCGC"]
        tab.select_option('select[data-plots-of="snr"]', "snr_db-fid_efficientnet_lite2")
        assert not tab.is_visible(psnr) and tab.is_visible('[data-figure="snr_db-fid_efficientnet_lite2"]')


def test_zoom_and_hover_work(browser: Any, built: Path) -> None:
    with opened(browser, built) as tab:
        traces(tab, '[data-figure="snr_db-psnr"]')
        plot = tab.locator('[data-figure="snr_db-psnr"]')
        before = plot.evaluate("e => e.layout.xaxis.range.slice()")
        area = plot.locator(".nsewdrag").first.bounding_box()
        x, y, width, height = (area[k] for k in ("x", "y", "width", "height"))
        tab.mouse.move(x + width / 2, y + height / 2, steps=4)
        tab.wait_for_function(
            "e => e.querySelector('.hoverlayer').textContent.includes('JSCGC')", arg=plot.element_handle()
        )
        tab.mouse.move(x + 0.3 * width, y + 0.3 * height)
        tab.mouse.down()
        tab.mouse.move(x + 0.6 * width, y + 0.7 * height, steps=4)
        tab.mouse.up()
        tab.wait_for_function(
            "([e, before]) => e.layout.xaxis.range[0] > before[0] + 1", arg=[plot.element_handle(), before]
        )


def test_semantics_are_plotted_per_snr_and_as_paths(browser: Any, built: Path) -> None:
    with opened(browser, built) as tab:
        show(tab.locator("#semantics"))
        titles = tab.locator('.plots[data-semantic][data-y="semantics"] h3').all_inner_texts()
        assert titles == ["10 dB", "0 dB", "-5 dB"]
        at = {"method": "jscgc", "cbr": 8 / 768}
        box = '.plot[data-semantic="points"][data-y="semantics"][data-snr="-5"]'
        for channel in ("awgn", "rayleigh_fast"):
            tab.select_option('select[data-group="semantics"][data-key="channel"]', channel)
            shown = next(t for t in traces(tab, box) if t["name"] == "JSCGC")
            here = at | {"channel": channel, "snr_db": -5.0}
            assert shown["x"] == pytest.approx([mean_of(**here, metric="psnr")], rel=1e-5)
            assert shown["y"] == pytest.approx([mean_of(**here, metric="semantic_cosine_efficientnet_lite2")], rel=1e-5)
            visible = tab.locator(".reading:visible")
            assert visible.count() == 1 and visible.get_attribute("data-channel") == channel
        tab.select_option('select[data-axis="distortion"]', "feature_distance_efficientnet_lite2")
        path = next(t for t in traces(tab, '.plot[data-semantic="path"][data-y="realism"]') if t["name"] == "JSCGC")
        expected = [
            mean_of(**at, channel="rayleigh_fast", snr_db=s, metric="feature_distance_efficientnet_lite2")
            for s in (10.0, 0.0, -5.0)
        ]
        assert path["x"] == pytest.approx(expected, rel=1e-5)


def pixels(tab: Any) -> bytes:
    """The slider's picture as it is painted."""
    tab.wait_for_function(
        "Array.from(document.querySelectorAll('#slider-view img[src]')).every(i => i.complete && i.naturalWidth)"
    )
    shot: bytes = tab.locator("#slider-view").screenshot()
    return shot


def sources(tab: Any) -> list[str]:
    """What the slider's two halves show."""
    found: list[str] = tab.eval_on_selector_all("#slider-view img", "images => images.map(i => i.src)")
    return found


def test_the_slider_is_dragged_typed_and_chosen(browser: Any, built: Path) -> None:
    with opened(browser, built) as tab:
        view = tab.locator("#slider-view")
        show(view)
        first = pixels(tab)
        area = view.bounding_box()
        middle = area["y"] + area["height"] / 2
        tab.mouse.move(area["x"] + area["width"] / 2, middle)
        tab.mouse.down()
        tab.mouse.move(area["x"] + 0.2 * area["width"], middle, steps=5)
        tab.mouse.up()
        dragged = float(view.locator("input").input_value())
        assert dragged == pytest.approx(20, abs=2)
        second = pixels(tab)
        assert first != second
        view.locator("input").focus()
        tab.keyboard.press("End")
        assert view.locator("input").input_value() == "100" and pixels(tab) not in (first, second)
        tab.keyboard.press("Home")
        ours = pixels(tab)
        tab.select_option('select[data-slide="right"]', "diffjscc")
        tab.select_option('select[data-slide="left"]', "jscgc")
        assert pixels(tab) != ours
        assert "JSCGC" in tab.inner_text("#slider-caption") and "PSNR" in tab.inner_text("#slider-caption")
        tab.click("#slider-swap")  # the divider stays where it is, seen from the other side
        assert view.locator("input").input_value() == "100"
        assert tab.eval_on_selector('select[data-slide="left"]', "s => s.value") == "diffjscc"


def test_a_link_shows_the_same_comparison(browser: Any, built: Path) -> None:
    with opened(browser, built) as tab:
        for key, value in {
            "photo": "b",
            "left": "jscgc",
            "right": "diffjscc",
            "channel": "rayleigh_fast",
            "snr": "-5",
        }.items():
            tab.select_option(f'select[data-slide="{key}"]', value)
        fragment, shown = tab.evaluate("location.hash"), sources(tab)
        assert fragment.startswith("#slider?photo=b")
    with opened(browser, built, fragment) as tab:
        assert tab.eval_on_selector('select[data-slide="snr"]', "s => s.value") == "-5"
        assert sources(tab) == shown and len(set(shown)) == 2
    with opened(browser, built, "#slider?photo=nowhere&at=900") as tab:
        assert tab.eval_on_selector('select[data-slide="photo"]', "s => s.value") == "a"


def test_a_picture_opens_beside_its_original_and_goes_to_the_slider(browser: Any, built: Path) -> None:
    with opened(browser, built) as tab:
        image = tab.locator("#pictures .panel:visible figure img").last
        show(image)
        key = image.evaluate("i => i.closest('figure').dataset.key")
        image.click()
        assert tab.locator("dialog img:visible").count() == 2
        tab.click("#to-slider")
        assert not tab.is_visible("dialog")
        photo, method = key.split("|")[:2]
        assert tab.eval_on_selector('select[data-slide="photo"]', "s => s.value") == photo
        assert tab.eval_on_selector('select[data-slide="right"]', "s => s.value") == method


def test_comparisons_follow_their_selectors(browser: Any, built: Path) -> None:
    with opened(browser, built) as tab:
        show(tab.locator("#comparisons"))
        better, perhaps, few, failed = tab.locator("#paired tbody tr").all_inner_texts()
        # A lower feature distance is better, so a clearly negative difference is.
        assert re.search(r"DiffJSCC\s+100 % of 8\s+−0.4\s+\[−0.5, −0.3\]\s+0.0078\s+clearly better", better)
        # The interval alone does not make it so.
        assert re.search(r"DiffCom\s+75 % of 8\s+−0.4\s+\[−0.7, −0.1\]\s+0.21\s+no clear difference", perhaps)
        assert "100 % of 5" in few and few.rstrip().endswith("no clear difference")
        assert "HEVC + 5G LDPC" in failed and "cannot operate" in failed
        assert "no overlap" in tab.inner_text("#bd_rate tbody")
        tab.select_option('[data-compare="bd_rate"] select[data-pick="snr_db"]', "-5.0")
        assert re.search(r"12.5 %\s+\[5, 20\]\s+60 %\s+clearly better", tab.inner_text("#bd_rate tbody"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_scheme_and_width_fits_and_is_themed(browser: Any, built: Path, scheme: str, width: int) -> None:
    phone = {"has_touch": True, "is_mobile": True} if width < 600 else {}
    with opened(browser, built, color_scheme=scheme, viewport={"width": width, "height": 844}, **phone) as tab:
        for section in tab.locator("section").all():
            show(section)
        traces(tab, '[data-figure="snr_db-psnr"]')
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("innerWidth") == width
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        dark = sum(map(int, re.findall(r"\d+", paper)[:3])) < 3 * 128
        assert dark == (scheme == "dark")
        ink = tab.eval_on_selector('[data-figure="snr_db-psnr"] .xtick text', "t => getComputedStyle(t).fill")
        assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > 3 * 128) == (scheme == "dark")


def test_a_finger_moves_the_divider(browser: Any, built: Path) -> None:
    with opened(browser, built, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}) as tab:
        view = tab.locator("#slider-view")
        show(view)
        before, area = pixels(tab), view.bounding_box()
        tab.touchscreen.tap(area["x"] + 0.8 * area["width"], area["y"] + area["height"] / 2)
        assert float(view.locator("input").input_value()) == pytest.approx(80, abs=3)
        assert pixels(tab) != before
