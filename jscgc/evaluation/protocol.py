"""How methods are measured, as a file with a hash: the same file on the same photographs is the same measurement.

A protocol knows no method and no weights: adding a method leaves its hash as it is. Any other change, such as one more SNR,
gives another hash, and results of two protocols are never in one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from jscgc.channel.accounting import SOURCE_DIMENSIONS
from jscgc.channel.central import central
from jscgc.channel.params import ChannelName, Condition
from jscgc.config import Positive, Rate, Section, complaints, digest
from jscgc.evaluation.jobs import ALL_IMAGES
from jscgc.evaluation.params import GridParams, LinkPlace, Steps
from jscgc.files import read_json, sha256, write_json
from jscgc.flow.params import SampleParams
from jscgc.metrics import available, registry
from jscgc.precision import Precision

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHOWN = 3
"""Most photographs that an error names."""


def _once(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("something is there twice")
    return values


def _names_once(entries: list[Any]) -> list[Any]:
    _once([entry.name for entry in entries])
    return entries


def _no_mark(name: str) -> str:
    if name.startswith(ALL_IMAGES):
        raise ValueError(
            f"{name!r:.80} begins with {ALL_IMAGES}, which marks the rows of whole sets; ./{name:.80} is the same file"
        )
    return name


class ImageEntry(Section):
    """A photograph: `name` enters the draws of noise and fading, `sha256` is that of its file, `set` names the one that it
    belongs to where there are several."""

    name: Annotated[str, Field(min_length=1), AfterValidator(_no_mark)]
    sha256: Sha256
    set: str = ""


class MetricEntry(Section):
    """A metric by its registered name, and the SHA-256 of the files of weights that it needs."""

    name: str
    weights_sha256: list[Sha256]


class Protocol(Section):
    """What a measurement depends on beside the methods."""

    images: Annotated[list[ImageEntry], Field(min_length=1), AfterValidator(_names_once)]
    """In the order that decides whose symbols the control `wrong_symbols` sends (the next one's)."""
    max_side: Annotated[int, Field(ge=0)]
    """Photographs are reduced to this longer side in pixels, 0: never."""
    channels: Annotated[list[ChannelName], Field(min_length=1), AfterValidator(_once)]
    """Asides (controls, means of samples, other numbers of steps) are measured over the first."""
    snr_db: Annotated[list[float], Field(min_length=1), AfterValidator(_once)]
    cbr: Annotated[list[str], Field(min_length=1), AfterValidator(_once)]
    """Channel uses per source dimension, RATE/768."""
    conditions: list[Condition] = Field(default=[])
    """Of channels x snr_db x cbr what is measured; empty: all."""
    seeds: Annotated[list[int], Field(min_length=1), AfterValidator(_once)]
    """One channel draw each."""
    metrics: Annotated[list[MetricEntry], Field(min_length=1), AfterValidator(_names_once)]
    headline_metrics: list[str] = Field(default=[])
    """Of these, those that are scored at `headline_place` and the first draw only."""
    patch: Literal[64, 128, 256]
    """Side of the patches for FID and KID, pixels; there is a second pass shifted by half of it."""
    sample: SampleParams
    controls: bool
    """Also jscgc with another photograph's symbols and with none."""
    dial: list[Positive]
    dial_steps: Positive
    information_points: Annotated[int, Field(ge=0)]
    reference_steps: Steps
    reference_at: LinkPlace | None = None
    """See `GridParams`."""
    precision: Precision = "float32"
    """That networks transmit in; scores are float32 always."""

    @property
    def hash(self) -> str:
        """Twelve hex digits of the SHA-256 of the canonical JSON: sorted keys, and nothing that is at its default, so that
        a setting that is added one day leaves the hashes of old protocols as they are."""
        return digest(self.model_dump(mode="json", exclude_defaults=True))

    @property
    def headline_place(self) -> tuple[str, float, Rate]:
        """Channel, SNR in dB and rate of the report's first table, see `central`."""
        product = [(c, snr_db, rate) for c in self.channels for snr_db in self.snr_db for rate in self.rates]
        return central([condition.place for condition in self.conditions] or product)

    @property
    def rates(self) -> list[Rate]:
        """Complex symbols per position of the 1/16 grid."""
        return [_rate(cbr) for cbr in self.cbr]

    @property
    def sets(self) -> dict[str, str]:
        """Photograph -> its set, `""` where there is one only."""
        return {image.name: image.set for image in self.images}

    @classmethod
    def of(
        cls,
        photos: Sequence[tuple[str, Path]],
        params: GridParams,
        sample: SampleParams,
        *,
        seed: int,
        max_side: int = 0,
        controls: bool = False,
        sets: Mapping[str, str] | None = None,
        precision: Precision = "float32",
        conditions: Sequence[tuple[str, float, Rate]] = (),
    ) -> Protocol:
        """The protocol of an evaluation.

        Args:
            photos: name and file of each.
            params: grid and metrics; no metric named there: all that can run here.
            seed: draws use seed, seed + 1, ... (params.seeds of them).
            sets: photograph -> its set, where there are several.
            precision: that networks transmit in.
            conditions: channel, SNR in dB and rate of those to be measured; none: all of the grid.

        Raises:
            ValueError: a metric is unknown or can't run here.
        """
        params.check_metrics()
        names = params.metrics or [name for name, missing in available().items() if missing is None]
        names = params.scored(list(dict.fromkeys([*names, *params.headline_metrics])))
        headline_metrics = params.scored(params.headline_metrics)
        for name in headline_metrics:
            if registry.info(name).scope == "set":
                raise ValueError(f"headline_metrics: {name} compares sets, all of them; it takes no time a picture")
        return cls(
            images=[
                ImageEntry(name=name, sha256=sha256(path), set=(sets or {}).get(name, "")) for name, path in photos
            ],
            max_side=max_side,
            channels=params.channels,
            snr_db=sorted({float(snr) for snr in params.snr_db}),
            cbr=[f"{rate}/{SOURCE_DIMENSIONS}" for rate in sorted(set(params.rates))],
            conditions=[Condition(channel=c, snr_db=snr_db, rate=rate) for c, snr_db, rate in sorted(conditions)],
            seeds=list(range(seed, seed + params.seeds)),
            metrics=[
                MetricEntry(name=name, weights_sha256=[sha256(path) for path in _weights(name)])
                for name in sorted(set(names))
            ],
            headline_metrics=sorted(headline_metrics),
            patch=params.patch,
            sample=sample,
            controls=controls,
            dial=params.dial,
            dial_steps=sample.calibrated.steps,
            information_points=params.information_points,
            reference_steps=params.reference_steps,
            reference_at=params.reference_at,
            precision=precision,
        )

    def write(self, path: Path) -> None:
        """Write the file, the hash first."""
        write_json(path, {"hash": self.hash, **self.model_dump(mode="json")})

    @classmethod
    def read(cls, path: Path) -> Protocol:
        """Read a file that `write` wrote, or one written by hand without a hash.

        Raises:
            ValueError: not a protocol; or it was changed after its hash was written.
        """
        if not path.is_file():
            raise ValueError(f"{path}: no such file; `jscgc evaluate` writes one beside its table")
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"{path}: not a protocol: expected an object")
        stated = content.pop("hash", None)
        try:
            protocol = cls.model_validate(content)
            rates = protocol.rates
        except ValidationError as error:
            raise ValueError(f"{path}: not a protocol: {complaints(error)}") from None
        except ValueError as error:
            raise ValueError(f"{path}: not a protocol: {error}") from None
        assert rates
        if stated not in (None, protocol.hash):
            raise ValueError(
                f"{path}: its hash says {stated}, its content gives {protocol.hash}: it was changed after it was written; "
                "delete the line with the hash if that is meant"
            )
        return protocol

    def find(self, files: Sequence[Path]) -> list[tuple[str, Path]]:
        """Name and file of each photograph, found by content: files may have other names.

        Raises:
            ValueError: a photograph is missing, or its content is another.
        """
        by_content = {sha256(path): path for path in reversed(files)}
        lost = [image for image in self.images if image.sha256 not in by_content]
        if lost:
            stems = {path.stem for path in files}
            said = [
                f"{image.name} ({'another content' if Path(image.name).stem in stems else 'missing'})" for image in lost
            ]
            more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
            raise ValueError(
                f"protocol {self.hash}: {len(lost)} of {len(self.images)} photographs are not these: "
                f"{', '.join(said[:_SHOWN])}{more}; give the folder with the files whose SHA-256 the protocol lists"
            )
        return [(image.name, by_content[image.sha256]) for image in self.images]

    def check_metrics(self) -> None:
        """Whether every metric can run here, with the very weights.

        Raises:
            ValueError: it can't; says which and why.
        """
        registry.check_available([metric.name for metric in self.metrics], f"protocol {self.hash}")
        for metric in self.metrics:
            if [sha256(path) for path in _weights(metric.name)] != metric.weights_sha256:
                raise ValueError(
                    f"protocol {self.hash}: the weights of metric {metric.name} here are others than listed"
                )


def _rate(cbr: str) -> int:
    rate, slash, dimensions = cbr.partition("/")
    if not (
        slash and rate.isascii() and rate.isdigit() and 0 < int(rate) <= 60 and dimensions == f"{SOURCE_DIMENSIONS}"
    ):
        raise ValueError(f"cbr: expected RATE/{SOURCE_DIMENSIONS} with RATE in 1..60, got {cbr!r:.30}")
    return int(rate)


def _weights(metric: str) -> list[Path]:
    """Files of weights that a metric that can run here needs."""
    return [file.locate() for file in registry.weights(metric)]
