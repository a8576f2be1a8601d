"""A real browser for tests of pages: Debian's chromium, driven by playwright.

    from browser import watch                      # `browser` itself is a fixture of tests/conftest.py

    def test_page(browser):
        visit = watch(browser, width=390, height=844)
        visit.page.goto(url)
        ...
        assert not visit.errors and not visit.elsewhere

One browser a module and not a session: while playwright's synchronous interface is open its event loop counts as running in
this thread, which tests of other modules that start a loop of their own would trip over.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Nothing of the browser's own reaches for the network.
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    # Chromium refuses its sandbox to root.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET + sandbox)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """A page, and what went wrong on it.

    errors: console errors (failed requests among them) and uncaught exceptions. elsewhere: addresses on other machines that the
    page asked for (they are not let through).
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


def here(url: str) -> bool:
    """Whether an address needs no network."""
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")


def watch(browser: Browser, *, width: int = 1280, height: int = 900, **context: Any) -> Visit:
    """A fresh page (no cookies, no cache) of width x height CSS pixels; `context` as playwright's `new_context`."""
    visit = Visit(browser.new_context(viewport={"width": width, "height": height}, **context).new_page())

    def meet(route: Any) -> None:
        if here(route.request.url):
            route.continue_()
        else:
            visit.elsewhere.append(route.request.url)
            route.abort()

    def note_socket(socket: Any) -> None:
        if not here(socket.url.replace("ws", "http", 1)):
            visit.elsewhere.append(socket.url)

    visit.page.route("**/*", meet)
    visit.page.on("websocket", note_socket)
    visit.page.on("console", lambda said: visit.errors.append(said.text) if said.type == "error" else None)
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    return visit
