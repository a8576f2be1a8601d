"""MLflow's page over the runs, on 127.0.0.1 only: `make dashboard` (PORT=5000)."""

import os
import sys

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

if __name__ == "__main__":
    uri = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///.jscgc/mlflow.db")
    port = os.environ.get("PORT", "5000")
    if uri.startswith("sqlite:///.jscgc") and not os.path.exists(".jscgc/mlflow.db"):
        sys.exit("no runs yet: `make reproduce` makes some")
    print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    command = ["mlflow", "ui", "--host", "127.0.0.1", "--port", port, "--workers", "1", "--backend-store-uri", uri]
    os.execvp("mlflow", command)
