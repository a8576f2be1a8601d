"""A registered model as MLflow calls it: a table of photographs in, the received ones out (`tracking.flavor` describes both).

MLflow imports this module by its name, which stands in each registered model's MLmodel: it must keep it. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jscgc.api import Transceiver
from jscgc.data.images import read_photo, to_png
from jscgc.device import resolve_device
from jscgc.systems.load import load_folder

if TYPE_CHECKING:
    import pandas


class Served:
    """A method ready to send."""

    def __init__(self, transceiver: Transceiver) -> None:
        self.transceiver = transceiver

    def predict(self, model_input: pandas.DataFrame, params: Mapping[str, Any] | None = None) -> pandas.DataFrame:
        """Send every row's photograph; each arrives as through `jscgc transmit`, bit for bit.

        Args:
            model_input: columns photo (a file's content, of any format that `jscgc transmit` reads), snr_db (decibels), cbr (such
                as `8/768`) and, if wanted, name: the file's name, which enters the channel's draw.
            params: seed and channel, for all rows.

        Returns:
            columns received (an RGB PNG file's content) and cbr (what was really used of the channel, padding and overhead
            included).

        Raises:
            MlflowException: what can't be sent, in one line; nothing is answered then.
        """
        import pandas
        from mlflow.exceptions import MlflowException

        settings = {"seed": 0, "channel": "awgn", **(params or {})}
        rows, table = [], cast("list[dict[str, Any]]", model_input.to_dict("records"))
        for number, row in enumerate(table):
            name = str(row["name"]) if isinstance(row.get("name"), str) else ""
            try:
                rows.append(self._send(row, name, int(settings["seed"]), str(settings["channel"])))
            except ValueError as error:
                raise MlflowException.invalid_parameter_value(f"row {number}: {error}") from None
        return pandas.DataFrame(rows, columns=["received", "cbr"])

    def _send(self, row: Mapping[str, Any], name: str, seed: int, channel: str) -> tuple[bytes, float]:
        photo = read_photo(row["photo"], name or "photo")
        snr_db, cbr = float(row["snr_db"]), str(row["cbr"])
        sent = self.transceiver.transmit(photo, snr_db=snr_db, cbr=cbr, channel=channel, seed=seed, name=name)
        return to_png(sent.received), sent.cbr


def _load_pyfunc(path: str, model_config: Mapping[str, str] | None = None) -> Served:
    """MLflow's way in.

    Args:
        path: of the folder with MLmodel.
        model_config: device (auto, cpu, cuda) and precision (auto, float32, bfloat16), as `jscgc transmit` takes them.

    Raises:
        ValueError: a damaged folder; no such device or precision.
    """
    config = model_config or {}
    device = resolve_device(config.get("device", "auto"))
    return Served(Transceiver(load_folder(Path(path), device, config.get("precision", "auto")), device))
