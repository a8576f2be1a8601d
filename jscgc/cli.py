"""The command line: jscgc transmit | demo | evaluate | sweep | report | bench | weights | theory | plan | info.

Heavy imports wait until a command runs, so --help is quick.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from jscgc import __version__, options
from jscgc.bench import command as bench
from jscgc.commands import evaluate, info, plan, theory, transmit
from jscgc.demo import command as demo
from jscgc.evaluation import command as evaluation
from jscgc.metrics import weights_command
from jscgc.options import Help
from jscgc.report import command as report
from jscgc.sweep import command as sweeping

RUN = {
    "transmit": transmit.run,
    "demo": demo.run,
    "evaluate": evaluate.run,
    "sweep": sweeping.run,
    "report": evaluate.run_report,
    "bench": bench.run,
    "weights": weights_command.run,
    "theory": theory.run,
    "plan": plan.run,
    "info": info.run,
}


def build_parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    parser = options.Parser("jscgc", description="Joint source-channel-generation coding of photographs.")
    parser.add_argument("--version", action="version", version=f"jscgc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    transmit.add_parser(commands)
    for part in (demo, evaluation, sweeping, report, bench, weights_command):
        part.add_parser(commands, Help)
    theory.add_parser(commands)
    plan.add_parser(commands)
    info.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake is one line on stderr and status 1 (2 for the arguments themselves)."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="jscgc: %(message)s", stream=sys.stderr)
    try:
        RUN[arguments.command](arguments)
    except KeyboardInterrupt as interrupt:
        print(f"jscgc: interrupted; {interrupt or 'nothing was written'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except (ValueError, OSError) as error:
        if os.environ.get("JSCGC_TRACEBACK"):
            raise
        print(f"jscgc: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
