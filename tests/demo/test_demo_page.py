"""The page without a browser: what can be chosen, what is said to a mistake, what stands there after Send."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="needs pip install '.[demo]'")

from streamlit.runtime.scriptrunner import RerunException
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.testing.v1 import AppTest

from jscgc.demo import work, workplace
from jscgc.demo.server import PAGE
from jscgc.systems.load import trained_systems


@pytest.fixture
def page(models: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    # A run of the page makes it the main module, and would leave it so: processes that later tests spawn would import it.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    workplace.settle(models, "cpu", "float32")
    app = AppTest.from_file(str(PAGE), default_timeout=60)
    app.session_state["max_side"] = 192
    app.run()
    assert not app.exception
    return app


def said(page: AppTest) -> str:
    """All that is written in the page's own HTML, without tags and pictures."""
    assert not page.exception
    return " ".join(
        re.sub(r"<style>.*</style>|<[^>]*>", " ", "".join(e.proto.body for e in page.html), flags=re.S).split()
    )


def picture(page: AppTest, alt: str) -> str:
    """The data URI of a picture."""
    found = re.search(rf'src="(data:[^"]+)" alt="{alt}"', "".join(e.proto.body for e in page.html))
    assert found is not None, alt
    return found[1]


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_before_anything_is_sent(page, models):
    assert page.multiselect(key="methods").value == ["jscgc", "diffjscc", "mambajscc_psnr"]
    offered = page.multiselect(key="methods").options
    assert len(offered) == len(trained_systems(models)) + 10
    assert page.select_slider(key="cbr").options == ["2/768", "4/768"]
    assert said(page).count("press Send") == 3 and not page.button(key="send").disabled


def test_send_change_and_send_again(page):
    page.number_input(key="steps").set_value(1)
    page.number_input(key="samples").set_value(2)
    page.multiselect(key="methods").set_value(["jscgc", "mambajscc_psnr", "hevc_capacity"]).run()
    page.button(key="send").click().run()
    text = said(page)
    assert "chelsea.png" in text and "SNR 5 dB" in text and "Changed since" not in text
    assert "cannot operate" not in text and "of the samples’ mean" in text
    assert [sub.value for sub in page.subheader] == [
        "What was made up",
        "Received symbols",
        "The same on the command line",
    ]
    assert "--method jscgc mambajscc_psnr hevc_capacity --channel awgn --snr-db 5 " in page.code[0].value
    assert " --samples 2 --steps 1 --guidance 1 " in page.code[0].value and "spread over error" in text
    first = picture(page, "received by JSCGC")
    assert len(page.get("plotly_chart")) == 1 and len(page.get("download_button")) == 3

    page.slider(key="snr_db").set_value(-5.0).run()
    assert "Changed since: SNR 5 → -5 dB. Press Send." in said(page)
    assert picture(page, "received by JSCGC") == first
    page.button(key="send").click().run()
    assert "Changed since" not in said(page) and "cannot operate hevc: the smallest file" in said(page)
    assert picture(page, "received by JSCGC") != first


def test_several_samples_take_the_settings_chosen_for_them_unless_told_otherwise(page):
    settings = [page.number_input(key=key) for key in ("steps", "guidance")]
    assert [(entry.value, entry.placeholder) for entry in settings] == [(None, "4"), (None, "1.5")]
    page.multiselect(key="methods").set_value(["jscgc", "jscgc_fast"])
    page.number_input(key="samples").set_value(2).run()
    settings = [page.number_input(key=key) for key in ("steps", "guidance")]
    assert [(entry.value, entry.placeholder) for entry in settings] == [(None, "16"), (None, "1")]
    page.button(key="send").click().run()
    assert " --samples 2 --steps 16 --guidance 1 " in page.code[0].value
    assert "16 steps guidance 1 " in said(page) and "takes 3 steps of its own" in said(page)


def test_an_upload_takes_the_place_of_the_builtin_photo(page):
    page.file_uploader(key="upload").set_value(("../my photo.png", png(100, 60), "image/png")).run()
    assert page.selectbox(key="builtin").disabled
    page.multiselect(key="methods").set_value(["mambajscc_psnr"]).run()
    page.button(key="send").click().run()
    assert "my photo.png 100 × 60 pixels" in said(page)
    assert "transmit 'my photo.png'" in page.code[0].value


@pytest.mark.parametrize(
    "content, why",
    [(b"not a picture", "not an image"), (b"", "empty file"), (png(60, 60)[:900], "unreadable image")],
)
def test_a_broken_upload_is_one_line(page, content, why):
    page.file_uploader(key="upload").set_value(("broken.png", content, "image/png")).run()
    (note,) = [e.proto.body for e in page.html if "problem" in e.proto.body and "<style>" not in e.proto.body]
    assert re.search(rf">broken.png: [^<\n]*{why}[^<\n]*</div>", note)
    assert page.button(key="send").disabled and not page.exception


def test_mistakes_are_said_where_they_stand(page):
    page.selectbox(key="channel").set_value("rician_block")
    page.text_input(key="options").set_value("kdb=3").run()
    assert "did you mean k_db?" in said(page) and page.button(key="send").disabled
    page.text_input(key="options").set_value("k_db=3,csi=lmmse")
    page.multiselect(key="methods").set_value([]).run()
    assert "Choose at least one method." in said(page) and page.button(key="send").disabled
    page.multiselect(key="methods").set_value(["jpeg_ldpc"]).run()
    assert "60/768" in page.select_slider(key="cbr").options and not page.button(key="send").disabled


def test_a_page_drawn_anew_goes_on_with_what_is_left(page, monkeypatch):
    """What a widget that is moved while a photo is sent makes Streamlit do: start again from the top."""
    page.multiselect(key="methods").set_value(["jscgc", "mambajscc_psnr"]).run()
    asked: list[str] = []
    receive = work._receive

    def superseded_once(name, sent, at):
        asked.append(name)
        if len(asked) == 2:
            raise RerunException(RerunData())
        return receive(name, sent, at)

    monkeypatch.setattr(work, "_receive", superseded_once)
    page.button(key="send").click().run()
    assert asked == ["jscgc", "mambajscc_psnr", "mambajscc_psnr"]
    assert picture(page, "received by JSCGC") and picture(page, r"received by MambaJSCC \(PSNR\)")
    assert not workplace.BUSY.locked() and page.button(key="send")


def test_an_accident_is_not_repeated_at_every_touch(page, monkeypatch):
    def accident(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(work, "_receive", accident)
    page.button(key="send").click().run()
    assert [e.message for e in page.exception] == ["out of memory"]
    page.run()
    assert not page.exception and "press Send" in said(page)
    assert not workplace.BUSY.locked()
