"""`jscgc demo`: arguments and what must be there before a page is served. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
import os
import sys

from jscgc import options

DESCRIPTION = """\
A page on 127.0.0.1: choose or drop a photo, move SNR, CBR, channel, steps and seed, press Send; the methods' received images
side by side, with metrics, what was made up, and the received symbols. Nothing leaves this machine. Ctrl-C ends it.

  jscgc demo
  jscgc demo --models data/models --open
"""
PORT = 8501


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `demo` can be told."""
    options.add_models(sub)
    sub.add_argument("--port", type=_port, default=PORT, help="of 127.0.0.1; 0: any free one")
    sub.add_argument(
        "--max-upload-mb", type=options.count, default=20, metavar="MB", help="largest photo that is taken, megabytes"
    )
    sub.add_argument("--device", type=options.choice("device", ("auto", "cpu", "cuda")), default="auto")
    options.add_precision(sub)
    sub.add_argument("--open", action="store_true", help="open the page in the default browser")


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until it is interrupted.

    Raises:
        ValueError: no trained models, no such device.
        OSError: the port is taken.
        KeyboardInterrupt: Ctrl-C.
    """
    from jscgc.method import METHODS

    if not any((arguments.models / name / "model.json").exists() for name in METHODS.names):
        raise ValueError(
            f"{arguments.models}: no trained models here; train with `make reproduce`, or name the place with --models"
        )
    if arguments.device == "cuda":
        # Only here: torch takes seconds to import, and the page does it while people look at it.
        from jscgc.device import resolve_device

        resolve_device(arguments.device)
    from jscgc.demo import server, workplace

    workplace.settle(arguments.models, arguments.device, arguments.precision)
    try:
        server.serve(arguments.port, arguments.max_upload_mb, arguments.open)
    except KeyboardInterrupt:
        ended = "the page is no longer served"
        if workplace.BUSY.locked():
            # A photo is being sent, and nothing of it is kept. Python can't stop that thread, and torch aborts if Python ends
            # beside it.
            print(f"jscgc: interrupted; {ended}", file=sys.stderr, flush=True)
            os._exit(130)
        raise KeyboardInterrupt(ended) from None


def _port(text: str) -> int:
    value = options.natural(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return value
