"""Section `distributed` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jscgc.config import Positive, Section


class DistributedParams(Section):
    """Training on several workers of Ray, and reading with several processes. Not part of what a result depends on: any number
    computes the same to rounding, and reads the same to the bit."""

    workers: Positive = 1
    """Processes that share a step's parts, each with a GPU of its own where there are; 1: no Ray."""
    cpus_per_worker: Positive = 1
    """Cores, and threads of torch, of a worker."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """ddp: every worker holds all weights. fsdp: weights, gradients and moments are shared out, for what one GPU cannot hold."""
    readers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Processes that read photographs in stage prepare; 0: one a core."""
