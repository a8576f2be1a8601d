"""Section `distributed` of params.yaml."""

from __future__ import annotations

from typing import Literal

from jscgc.config import Positive, Section


class DistributedParams(Section):
    """Training on several workers of Ray. Not part of what a model depends on: any number computes the same to rounding."""

    workers: Positive = 1
    """Processes that share a step's parts, each with a GPU of its own where there are; 1: no Ray."""
    cpus_per_worker: Positive = 1
    """Cores, and threads of torch, of a worker."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """ddp: every worker holds all weights. fsdp: weights, gradients and moments are shared out, for what one GPU cannot hold."""
