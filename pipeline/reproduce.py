"""`make reproduce`: dvc repro, then the results in short.

Also where there is no git (an exported archive): DVC is told so through a configuration of its own, not a committed one.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from jscgc import tracking
from jscgc.files import read_json
from jscgc.params import load_params
from jscgc.signals import end_as_interrupted
from pipeline import graph


def main() -> int:
    """Run the pipeline and print what came out; the exit status is dvc's."""
    try:
        graph.write(load_params())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    environment = dict(os.environ)
    end_as_interrupted()
    with tempfile.TemporaryDirectory() as folder:
        if not Path(".git").exists():
            Path(folder, "config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
            environment["DVC_GLOBAL_CONFIG_DIR"] = folder
        try:
            command = [sys.executable, "-m", "dvc", "repro", *sys.argv[1:]]
            status = subprocess.run(command, env=environment, check=False).returncode
        except KeyboardInterrupt:  # dvc has got it, too, and ended its stage
            print("reproduce: interrupted; run the command again to go on from there", file=sys.stderr)
            return 130
    tracking.settled(Path())
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
