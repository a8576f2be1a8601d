"""`python -m jscgc.tracking ROOT PID`: the process that delivers while process PID lives (`deliverer`), behind all others."""

import os
import sys
from pathlib import Path

from jscgc.tracking.deliverer import serve

if __name__ == "__main__":
    os.nice(19)
    serve(Path(sys.argv[1]), int(sys.argv[2]))
