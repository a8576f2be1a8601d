"""Joint Source-Channel-Generation Coding (arXiv 2606.12858): photo -> latent -> symbols -> channel -> sampled photo.

The tree is the block diagram:

    photo -> latent/ -> encoder/ -> channel/ -> generator/ + flow/ -> latent/ -> received photo
             |________________ one System (systems/): photo in, received photo out ________________|

    import jscgc
    sent = jscgc.load("jscgc").transmit("photo.jpg", snr_db=5, cbr="2/768")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jscgc.api import Transceiver, Transmission, load

__version__ = "0.1.0"
__all__ = ["Transceiver", "Transmission", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not before: torch takes two seconds, and nobody needs it for --help. Relative: it is no import of every part of ours.
    import importlib

    return getattr(importlib.import_module(".api", __name__), name)
