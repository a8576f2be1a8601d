"""`make reproduce`: dvc repro, then the results in short.

Also where there is no git (an exported archive): DVC is told so through a configuration of its own, not a committed one.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from jscgc import preflight, tracking
from jscgc.files import read_json
from jscgc.params import load_params
from jscgc.signals import end_as_interrupted
from pipeline import graph

INTERRUPTED = 130


def _followed(command: list[str], environment: dict[str, str]) -> int:
    """The status of dvc, or INTERRUPTED: then its stage is ended, which dvc follows. Ctrl-C reaches the stage by itself, what is
    sent to this process alone does not."""
    interrupted = False
    with subprocess.Popen(command, env=environment) as dvc:
        while True:
            try:
                status = dvc.wait()
                return INTERRUPTED if interrupted else status
            except KeyboardInterrupt:
                interrupted = True
                with suppress(psutil.Error):
                    for child in psutil.Process(dvc.pid).children():
                        if "DVC_STAGE" in child.environ():
                            child.terminate()


def main() -> int:
    """Run the pipeline and print what came out; the exit status is dvc's."""
    try:
        params = load_params()
        preflight.check(params)
        graph.write(params)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    environment = dict(os.environ)
    end_as_interrupted()
    with tempfile.TemporaryDirectory() as folder:
        if not Path(".git").exists():
            Path(folder, "config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
            environment["DVC_GLOBAL_CONFIG_DIR"] = folder
        status = _followed([sys.executable, "-m", "dvc", "repro", *sys.argv[1:]], environment)
    tracking.settled(Path())
    if status == INTERRUPTED:
        print("reproduce: interrupted; run the command again to go on from there", file=sys.stderr)
        return status
    if status:
        print("dvc repro failed; the line above says why. Run the command again to go on from there.", file=sys.stderr)
        return status
    if not Path("reports/summary.json").exists():
        print("There is no report yet: run the command without names of stages, or with `report`.", file=sys.stderr)
        return 0
    from jscgc.report import print_headline

    print_headline(read_json(Path("reports/summary.json")))
    print(f"\nReport:  {Path('reports/index.html').absolute()}")
    print(tracking.ui_hint(Path()))
    print("Try:     .venv/bin/jscgc transmit PHOTO --snr-db 5 --cbr 8/768 --method all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
