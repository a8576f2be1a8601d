"""MLflow's page over the runs, on 127.0.0.1 only: `make dashboard` (PORT=5000)."""

import os
import sys
from pathlib import Path

from jscgc.project import home
from jscgc.tracking.store import settle

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

if __name__ == "__main__":
    port = os.environ.get("PORT", "5000")
    if "MLFLOW_TRACKING_URI" not in os.environ and not (home() / "mlflow.db").exists():
        sys.exit("no runs yet: `make reproduce` makes some")
    uri = settle(Path())
    print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    command = ["mlflow", "ui", "--host", "127.0.0.1", "--port", port, "--workers", "1", "--backend-store-uri", uri]
    os.execvp("mlflow", command)
