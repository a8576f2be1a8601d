"""Named random streams: every random number of a run follows from one root seed and a name.

`derive(seed, "channel", snr_db, image)` is the same on every machine and in any order of execution, so a
resumed or parallel run draws what an uninterrupted, serial one draws.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Name = str | int | float


def derive(seed: int, *names: Name) -> int:
    """A 63-bit seed from a root seed and names; order and type of the names matter, the sign of a zero does not."""
    text = repr((int(seed), *[float(n) + 0.0 if isinstance(n, float) else n for n in names]))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: Name, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator seeded by `derive(seed, *names)`.

    Numbers are drawn on `device`; draw on the CPU and move where results must not depend on the device.
    """
    import torch

    rng = torch.Generator(device=device)
    rng.manual_seed(derive(seed, *names))
    return rng
