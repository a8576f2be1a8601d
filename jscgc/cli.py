"""The command line: a table of commands, each a module with DESCRIPTION, `add_arguments` and `run`.

Only the module of the command that is asked for is imported; heavy imports wait until it runs.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module

from jscgc import __version__
from jscgc.extras import Needs, need
from jscgc.parser import Parser
from jscgc.signals import end_as_interrupted
from jscgc.startup import collect_seldom, keep_to_quota


@dataclass(frozen=True)
class Command:
    """help: one line. module: where it is. needs: of extras, whatever its arguments are."""

    help: str
    module: str
    needs: Needs = field(default_factory=dict)

    def fill(self, parser: Parser) -> None:
        """Add the arguments and what is said about them."""
        module = import_module(self.module)
        parser.description = module.DESCRIPTION
        module.add_arguments(parser)


COMMANDS = {
    "transmit": Command("send one photo through the channel", "jscgc.commands.transmit"),
    "demo": Command(
        "a local page to try the methods on",
        "jscgc.demo.command",
        {"demo": ("streamlit", "plotly", "matplotlib", "jinja2", "pandas")},
    ),
    "evaluate": Command(
        "score trained models on a folder of photos",
        "jscgc.commands.evaluate",
        {"pipeline": ("pandas", "pyarrow", "ray")},
    ),
    "sweep": Command(
        "search hyper-parameters",
        "jscgc.sweep.command",
        {"pipeline": ("mlflow", "optuna", "pandas", "psutil", "pyarrow", "ray")},
    ),
    "report": Command(
        "make the report of a folder of results",
        "jscgc.report.command",
        {"report": ("jinja2", "matplotlib", "pandas", "plotly")},
    ),
    "bench": Command(
        "measure scan, encoder, transmission, training, velocity, the VAE's ceiling, rates, separation",
        "jscgc.bench.command",
    ),
    "weights": Command("pretrained networks of metrics", "jscgc.metrics.weights_command"),
    "theory": Command("check the theory through the code", "jscgc.commands.theory", {"channels": ("scipy",)}),
    "overlap": Command(
        "whether training and test photographs overlap", "jscgc.commands.overlap", {"pipeline": ("imagehash",)}
    ),
    "plan": Command("what a configuration costs", "jscgc.commands.plan", {"pipeline": ("torchvision",)}),
    "info": Command("what is trained and what can run here", "jscgc.commands.info"),
}


def build_parser() -> Parser:
    """All commands; the arguments of each are added when it is parsed."""
    parser = Parser("jscgc", description="Joint source-channel-generation coding of photographs.")
    parser.add_argument("--version", action="version", version=f"jscgc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help, fill=command.fill)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake is one line on stderr and status 1 (2 for the arguments themselves)."""
    if argv is None:  # the process is ours
        end_as_interrupted()
        collect_seldom()
        keep_to_quota()
        # A file's name need not be text. stderr has this already.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="jscgc: %(message)s", stream=sys.stderr)
    try:
        arguments = build_parser().parse_args(argv)
        command = COMMANDS[arguments.command]
        need(arguments.command, command.needs)
        import_module(command.module).run(arguments)
    except KeyboardInterrupt as interrupt:
        print(f"jscgc: interrupted; {str(interrupt) or 'no file was left half written'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("JSCGC_TRACEBACK"):
            raise
        remedy = ": pip install 'jscgc[all]'" if isinstance(error, ModuleNotFoundError) else ""
        print(f"jscgc: {error}{remedy}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
