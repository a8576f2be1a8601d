"""How well a received image stands for the sent one: one small class per metric, registered by its literature name.

    info:  MetricInfo, what a number means (direction, range, paper, network); importing it does not import torch
    pair:  reference, received [B,3,H,W]  ->  float32 [B]                                      (PSNR, LPIPS, ...)
    set:   images --patches--> [N,3,s,s] --features--> [N,D];  two such sets --distance--> float    (FID, KID)

Every metric looks at the image as a user would save it: clamped to [0,1] and rounded to 8 bits. None downloads
anything; `available()` tells which can run here and what the others lack. A new metric is one file in `kinds/`, or in a
package of its own (entry point `jscgc.metrics`, or `--plugin`).
"""

from jscgc.metrics.base import Jackknifed, Metric, MetricInfo, PairMetric, SetMetric, Trainable
from jscgc.metrics.registry import available, create, info, names, pair_metric, pair_names, set_metric, set_names

__all__ = [
    "Jackknifed",
    "Metric",
    "MetricInfo",
    "PairMetric",
    "SetMetric",
    "Trainable",
    "available",
    "create",
    "info",
    "names",
    "pair_metric",
    "pair_names",
    "set_metric",
    "set_names",
]
