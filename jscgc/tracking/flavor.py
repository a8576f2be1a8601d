"""What makes a model's folder one that MLflow loads and serves: an MLmodel file with flavor python_function, and an example.

`jscgc.served` is what MLflow calls; here stand the tables that go in and out. Writing takes milliseconds and loads no network.
"""

from __future__ import annotations

import base64
import io
import json
import platform
from pathlib import Path
from typing import Any

LOADER = "jscgc.served"
MLMODEL = "MLmodel"
EXAMPLE, SERVING = "input_example.json", "serving_input_example.json"
FILES = (EXAMPLE, SERVING, MLMODEL)
"""The last says that all are there."""


def write(folder: Path, cbr: str) -> None:
    """Write FILES into a folder, which is made if need be.

    Args:
        cbr: of the example, one that the model sends.

    Raises:
        OSError: they can't be written.
    """
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import DataType

    photographs: list[Any] = [
        ColSpec(DataType.binary, "photo"),
        ColSpec(DataType.double, "snr_db"),
        ColSpec(DataType.string, "cbr"),
        ColSpec(DataType.string, "name", required=False),
    ]
    received: list[Any] = [ColSpec(DataType.binary, "received"), ColSpec(DataType.double, "cbr")]
    settings = [ParamSpec("seed", DataType.long, 0), ParamSpec("channel", DataType.string, "awgn")]
    model = Model(signature=ModelSignature(Schema(photographs), Schema(received), ParamSchema(settings)))
    config = {"device": "auto", "precision": "auto"}
    model.add_flavor("python_function", loader_module=LOADER, python_version=platform.python_version(), config=config)
    row = {"columns": ["photo", "snr_db", "cbr"], "data": [[base64.b64encode(_photograph()).decode(), 5.0, cbr]]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EXAMPLE).write_text(json.dumps(row))
    (folder / SERVING).write_text(json.dumps({"dataframe_split": row}, indent=2))
    model.saved_input_example_info = {
        "artifact_path": EXAMPLE, "serving_input_path": SERVING, "type": "dataframe", "pandas_orient": "split",
    }  # fmt: skip
    model.save(str(folder / MLMODEL))


def _photograph() -> bytes:
    """A small one: three ramps of grey, as PNG."""
    from PIL import Image

    ramp = Image.linear_gradient("L").resize((48, 32))
    stream = io.BytesIO()
    Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM), ramp)).save(stream, format="PNG")
    return stream.getvalue()
