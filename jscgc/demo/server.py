"""Serving the page: Streamlit behind a socket that is bound to the loopback address, whatever a configuration says.

Streamlit checks who asks only where it opens a web socket, and looks up its address on the internet to do so; here
everything that does not come from a page of ours is refused before Streamlit sees it.
"""

from __future__ import annotations

import errno
import signal
import socket
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("page.py")
_OURS = (HOST, "localhost")
_OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "browser.serverAddress": HOST,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "logger.level": "error",
    "runner.magicEnabled": False,
    "server.address": HOST,
    "server.allowedHosts": list(_OURS),
    "server.baseUrlPath": "",
    "server.corsAllowedOrigins": [],
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "theme.light.primaryColor": "#1f62d0",
    "theme.dark.primaryColor": "#3b7be0",
}
"""Streamlit's options, over whatever its configuration files say."""


class LocalOnly:
    """Lets through what a page of this machine asks this machine for.

    Host: a name that another page has pointed at 127.0.0.1 (DNS rebinding) is not ours. Origin: a request that another page
    makes for its visitor is not ours either.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        if scope["type"] in ("http", "websocket") and not _local(dict(scope["headers"])):
            from starlette.responses import PlainTextResponse

            refusal = PlainTextResponse("This page is for its own machine only.", status_code=403)
            # Before a web socket is accepted, closing it is answered with 403 as well.
            await (refusal(scope, receive, send) if scope["type"] == "http" else send({"type": "websocket.close"}))
            return
        await self._app(scope, receive, send)


def _local(headers: dict[bytes, bytes]) -> bool:
    host = urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}")
    origin = headers.get(b"origin")
    if host.hostname not in _OURS:
        return False
    if origin is None:
        return True
    parts = urlsplit(origin.decode("latin-1"))
    return parts.scheme == "http" and parts.netloc.lower() == host.netloc.lower()


def listen(port: int) -> socket.socket:
    """A socket on the loopback address that listens; port 0: any that is free.

    Raises:
        OSError: the port is taken, or not for us.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"port {port} of {HOST} is taken; choose another with --port, or --port 0") from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise OSError(f"port {port} of {HOST} is not allowed; choose one above 1023 with --port") from None
        raise
    return listener


def serve(port: int, max_upload_mb: int, open_browser: bool) -> None:
    """Serve the page until a signal ends it; its address is all that is printed.

    Raises:
        OSError: as `listen`.
        KeyboardInterrupt: Ctrl-C.
    """
    listener = listen(port)
    import streamlit as st
    import uvicorn
    from starlette.middleware import Middleware
    from streamlit import config

    for name, value in (_OPTIONS | {"server.maxUploadSize": max_upload_mb}).items():
        config.set_option(name, value)
    url = f"http://{HOST}:{listener.getsockname()[1]}"

    @asynccontextmanager
    async def ready(app: Any) -> AsyncIterator[None]:
        print(url, flush=True)
        if open_browser:
            webbrowser.open(url)
        yield

    app = st.App(PAGE, lifespan=ready, middleware=[Middleware(LocalOnly)])
    # Whoever still looks at the page does not keep it open.
    settings = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    if signal.getsignal(signal.SIGHUP) is signal.default_int_handler:
        # uvicorn ends in order at SIGINT and SIGTERM only.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    finally:
        listener.close()
