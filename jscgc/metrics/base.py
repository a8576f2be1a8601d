"""What a metric is: its declaration, and the two interfaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from jscgc.metrics.packages import Packages, missing_package
from jscgc.metrics.weights import WeightsFile

if TYPE_CHECKING:  # the metadata is read by `--help` and `info`, which must not pay for importing torch
    import numpy as np
    from jaxtyping import Float, Float32
    from torch import Tensor

    from jscgc.metrics.distances import Against

    Images = Float32[Tensor, "b 3 h w"]
    Scores = Float32[Tensor, " b"]
    Features = Float[np.ndarray, "n d"]


RANDOM = "random"
"""`MetricInfo.network` of what is computed on a network of random weights (`kinds.random_networks`) and measures nothing."""
RANDOM_SUFFIX = "_random"
"""Of its name, after the metric's."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric's number means."""

    name: str
    """The registered name; stand-ins carry their network's name and never that of the metric they stand in for."""
    label: str
    """For axes and tables, with the unit."""
    direction: Literal["higher", "lower"]
    """Which way is better."""
    minimum: float | None
    """Smallest possible value, None if unbounded."""
    maximum: float | None
    """Largest possible value, None if unbounded."""
    citation: str
    """The paper that defines it, or the one a stand-in follows."""
    scope: Literal["pair", "set"]
    """`pair`: one value per image. `set`: one value for two sets of patches."""
    network: str | None = None
    """The pretrained network whose features it compares, by the key of its weights; None if it looks at pixels."""
    axis: Literal["pixels", "perception", "semantics", "realism"] = "pixels"
    """The question that it answers: how large the error of the pixels is, whether the picture looks like the original, whether
    the same is recognised in it, whether the set looks like photographs."""
    judge: bool = False
    """Whether the headline is judged by it; no loss of ours, and no choice, uses its network."""
    stand_in: bool = False
    """Whether it stands in for metrics of the literature: its scale is its own."""

    def better(self, a: float, b: float) -> bool:
        """Whether value `a` is strictly better than `b`."""
        return a > b if self.direction == "higher" else a < b


@runtime_checkable
class PairMetric(Protocol):
    """Compares each received image with its reference."""

    @property
    def info(self) -> MetricInfo: ...

    def __call__(self, reference: Images, received: Images) -> Scores:
        """One value per image.

        Args:
            reference: float32 [B,3,H,W] in [0,1], the sent images.
            received: the same shape.

        Returns:
            float32 [B], on the CPU, NaN where there is nothing to measure; a value does not depend on the rest of the batch.
        """
        ...


@runtime_checkable
class Trainable(PairMetric, Protocol):
    """A pair metric that a network can be trained for."""

    def loss(self, reference: Images, received: Images) -> Tensor:
        """The same distances [B] of images as they are (neither clamped nor rounded), differentiable in `received`."""
        ...


@runtime_checkable
class SetMetric(Protocol):
    """Compares the distribution of two sets of patches; which patch belongs to which does not matter."""

    @property
    def info(self) -> MetricInfo: ...

    def features(self, images: Images) -> Features:
        """Describe patches.

        Args:
            images: float32 [N,3,s,s] in [0,1], see `jscgc.metrics.patches.patches`.

        Returns:
            float64 [N,D]
        """
        ...

    def distance(self, reference: Features, received: Features) -> float:
        """Distance of two sets of features [N,D] and [M,D]; deterministic."""
        ...


@runtime_checkable
class Jackknifed(SetMetric, Protocol):
    """A set metric that tells what it is without each photograph faster than by so many distances."""

    def against(self, reference: Sequence[Features]) -> Against:
        """Takes the features of each sent photograph; what is told holds for any number of received sets."""
        ...


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric; a module of `jscgc.metrics.kinds`, or a plugin, holds it at its top level."""

    info: MetricInfo
    make: Callable[[str], PairMetric | SetMetric]
    """Takes the device, as torch spells it; results always come back on the CPU."""
    packages: Packages = ()
    """Import name and pip requirement of each package that it needs beyond torch."""
    weights: tuple[WeightsFile, ...] = ()
    order: int = 1000
    """Its place in tables."""

    @property
    def name(self) -> str:
        """The registered name."""
        return self.info.name

    def missing(self) -> str | None:
        """None if the metric can be made here, otherwise the first thing that it lacks, with the remedy."""
        for package, requirement in self.packages:
            if reason := missing_package(package, requirement):
                return reason
        return next((reason for file in self.weights if (reason := file.missing())), None)
