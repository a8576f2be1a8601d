"""`jscgc demo` as it is run: loopback only, its own page only, limited uploads, a clean end; and the page in a real browser."""

from __future__ import annotations

import builtins
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from browser import Visit, watch

from jscgc.cli import main

pytest.importorskip("streamlit", reason="needs pip install '.[demo]'")
pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]
LIMIT_MB = 1


@dataclass(frozen=True)
class Served:
    """A running demo."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


def start(models: Path, folder: Path, *more: str) -> Served:
    """A demo of its own, in a folder whose Streamlit configuration asks for everything that is not wanted."""
    (folder / ".streamlit").mkdir(parents=True, exist_ok=True)
    (folder / ".streamlit" / "config.toml").write_text(
        '[server]\naddress = "0.0.0.0"\nmaxUploadSize = 500\nenableXsrfProtection = false\nenableCORS = false\n'
        "[browser]\ngatherUsageStats = true\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "jscgc.cli", "demo", "--models", str(models), "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STREAMLIT_SERVER_ADDRESS": "0.0.0.0", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--port", "0", "--max-upload-mb", str(LIMIT_MB), *more],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", line), line
    return Served(process, line.strip())


@pytest.fixture(scope="module")
def served(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = start(models, tmp_path_factory.mktemp("demo"))
    yield running
    running.process.send_signal(signal.SIGINT)
    out, err = running.process.communicate(timeout=60)
    # Nothing but the address was ever said, whatever was done to the page below.
    assert (running.process.returncode, out) == (130, "")
    precision, ending = err.splitlines()
    assert precision.startswith("jscgc: precision auto: ")
    assert ending == "jscgc: interrupted; the page is no longer served"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_it_ends_it_as_ctrl_c_does(models, tmp_path, number):
    running = start(models, tmp_path)
    running.process.send_signal(number)
    out, err = running.process.communicate(timeout=60)
    assert (running.process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "jscgc: interrupted; the page is no longer served" and "Traceback" not in err


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_listens_on_the_loopback_address_only(served):
    process = psutil.Process(served.process.pid)
    listening = [c for p in (process, *process.children(recursive=True)) for c in p.net_connections("inet")]
    assert [c.laddr for c in listening if c.status == psutil.CONN_LISTEN] == [("127.0.0.1", served.port)]


def test_only_its_own_pages_may_ask(served):
    assert status(served.url) == status(f"http://localhost:{served.port}") == 200
    assert status(served.url, Origin=served.url) == 200
    assert status(served.url, Host=f"evil.example:{served.port}") == 403
    assert status(served.url, Host="") in (400, 403)
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{served.port}",
        f"http://127.0.0.1:{served.port}1",
    ):
        assert status(served.url, Origin=origin) == 403, origin


@pytest.mark.parametrize("ours", [True, False])
def test_a_web_socket_is_for_its_own_page_only(served, ours):
    origin = served.url if ours else "http://evil.example"
    lines = (
        "GET /_stcore/stream HTTP/1.1", f"Host: 127.0.0.1:{served.port}", f"Origin: {origin}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(100).split()[1] == (b"101" if ours else b"403")


def test_a_taken_port_is_one_line(served, models, capsys):
    assert main(["demo", "--models", str(models), "--port", str(served.port)]) == 1
    shown = capsys.readouterr()
    assert shown.err == f"jscgc: port {served.port} of 127.0.0.1 is taken; choose another with --port, or --port 0\n"
    assert shown.out == ""


def test_no_models_is_one_line(tmp_path, capsys):
    assert main(["demo", "--models", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err
    assert "no trained models here" in said and "--models" in said and said.count("\n") == 1


def test_without_streamlit_it_says_what_to_install(models, capsys, monkeypatch):
    find_spec = importlib.util.find_spec

    def missing(name, *rest):
        return None if name == "streamlit" else find_spec(name, *rest)

    monkeypatch.setattr("jscgc.extras.find_spec", missing)
    imported = builtins.__import__

    def guarded(name, *rest, **more):
        assert name.partition(".")[0] != "streamlit"
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", guarded)
    assert main(["demo", "--models", str(models)]) == 1
    assert capsys.readouterr().err == "jscgc: demo needs the extra 'demo': pip install 'jscgc[demo]'\n"


@pytest.mark.parametrize("port, said", [("65536", "no port: 0 to 65535"), ("-1", "whole number")])
def test_a_wrong_port_is_said(port, said, capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--port", port])
    assert said in capsys.readouterr().err


def test_a_wrong_precision_is_said(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--precision", "half"])
    assert "unknown precision 'half': choose from auto, float32, bfloat16" in capsys.readouterr().err


def opened(browser, served, **options) -> Visit:
    visit = watch(browser, **options)
    visit.page.set_default_timeout(60_000)
    visit.page.goto(served.url)
    visit.page.get_by_role("button", name="Send", exact=True).wait_for()
    return visit


def send(visit: Visit, before: str = "") -> str:
    """Press Send; the received picture of JSCGC, once it is another than before (a page that never changes it times out)."""
    visit.page.get_by_role("button", name="Send", exact=True).click()
    visit.page.get_by_text("Changed since").wait_for(state="detached")
    visit.page.get_by_text("The same on the command line").wait_for()
    other = (
        "before => { const i = document.querySelector('img[alt=\"received by JSCGC\"]'); return i && i.src !== before }"
    )
    visit.page.wait_for_function(other, arg=before)
    return str(visit.page.get_by_alt_text("received by JSCGC", exact=True).get_attribute("src"))


def brightness(visit: Visit) -> float:
    """Of the page's ground, 0..255."""
    ground = visit.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", ground)[:3]) / 3


def test_a_photo_is_sent_and_sent_again_at_another_snr(browser, served):
    visit = opened(browser, served, color_scheme="light")
    page = visit.page
    assert brightness(visit) > 200
    page.get_by_text("press Send").nth(2).wait_for()
    first = send(visit)
    assert page.get_by_role("rowheader").first.inner_text() == "PSNR (dB) ↑"
    shown = page.locator(".jscgc-pictures img")
    assert shown.count() == 4
    for i in range(4):
        assert shown.nth(i).evaluate("image => image.complete && image.naturalWidth") == 384
    page.locator(".js-plotly-plot .point").first.wait_for()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Metrics (JSON)").click()
    assert saved.value.suggested_filename == "chelsea_awgn_5dB_4-768.json"
    document = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert [row["method"] for row in document["results"]] == ["jscgc", "diffjscc", "mambajscc_psnr"]
    # The original in the place of what was received, under the mouse.
    received = page.locator(".received").first
    opacity = "figure => getComputedStyle(figure.querySelector('.frame'), '::after').opacity"
    assert received.evaluate(opacity) == "0"
    received.hover()
    assert received.evaluate(opacity) == "1"

    slider = page.get_by_role("slider", name="SNR")
    slider.focus()
    for _ in range(6):
        slider.press("ArrowRight")
    page.get_by_text("Changed since: SNR 5 → 8 dB. Press Send.").wait_for()
    assert send(visit, first) != first
    page.locator(".jscgc-facts").get_by_text("SNR 8 dB").wait_for()
    assert not visit.errors and not visit.elsewhere


def test_a_phone_has_room_for_it(browser, served):
    visit = opened(browser, served, width=390, height=844, has_touch=True, color_scheme="dark")
    page = visit.page
    assert brightness(visit) < 60
    send(visit)
    assert page.evaluate("document.querySelector('.stMain').scrollWidth") <= 390
    page.get_by_text("What was received is below").tap()
    page.wait_for_function("document.querySelector('.jscgc-facts').getBoundingClientRect().top < 200")
    assert not visit.errors and not visit.elsewhere


def test_uploads_are_limited_here_and_there(browser, served):
    """In the browser, which does not even send it; and on the server, for who sends it all the same."""
    visit = opened(browser, served)
    page = visit.page
    with page.expect_request(lambda request: request.method == "PUT") as found:
        page.set_input_files("input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.get_by_role("alert").get_by_text("a.png: not an image").wait_for()
    headers = {k: v for k, v in found.value.all_headers().items() if k.startswith("x-") or k == "cookie"}
    assert "x-xsrftoken" in headers
    for size, token, expected in ((1000, True, 204), (LIMIT_MB * 1024 * 1024 + 1, True, 413), (1000, False, 403)):
        big = {"name": "a.png", "mimeType": "image/png", "buffer": b"x" * size}
        kept = headers if token else {k: v for k, v in headers.items() if k != "x-xsrftoken"}
        answer = page.request.put(found.value.url, headers=kept, multipart={"file": big})
        assert answer.status == expected, (size, token)
    too_large = {"name": "large.png", "mimeType": "image/png", "buffer": b"x" * (LIMIT_MB * 1024 * 1024 + 1)}
    page.set_input_files("input[type=file]", too_large)
    page.get_by_role("alert").get_by_text("File must be 1.0MB or smaller").wait_for()
    assert not visit.elsewhere


def test_it_can_be_ended_while_a_photo_is_sent(browser, models, tmp_path):
    running = start(models, tmp_path)
    visit = opened(browser, running)
    page = visit.page
    page.get_by_text("Sampling and size").click()
    steps = page.get_by_role("spinbutton", name="Steps")
    steps.fill("200")
    steps.press("Enter")
    page.get_by_text("Sampling and size").click()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("on its way").first.wait_for()
    running.process.send_signal(signal.SIGINT)
    out, err = running.process.communicate(timeout=60)
    assert (running.process.returncode, out) == (130, "")
    precision, ending = err.splitlines()
    assert precision.startswith("jscgc: precision auto: ")
    assert ending == "jscgc: interrupted; the page is no longer served"
