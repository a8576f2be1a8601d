"""Networks for more latent channels, started from trained ones for fewer: the first channels are those that are known.

What is known stays exactly as it was, since every weight that reads an added channel starts at zero. Only what is written
to the added channels has to be learnt, instead of everything anew.
"""

from __future__ import annotations

import torch
from torch import nn

from jscgc.latent.nano_vae import NanoVae

Parts = list[tuple[int, int]]
"""Along one dimension of a weight: sizes of consecutive parts in the narrow and in the wide network."""


@torch.no_grad()
def widen(narrow: nn.Module, wide: nn.Module, known: int, channels: int) -> None:
    """Give `wide` the weights of `narrow`: VAE, prior, codec or receiver, alike but for their latent channels.

    Args:
        narrow: trained, for `known` channels.
        wide: as built, for `channels` channels, the first of which are the known ones.

    Raises:
        RuntimeError: they differ in more than that.
    """
    weights, state = narrow.state_dict(), wide.state_dict()
    if odd := weights.keys() ^ state.keys():
        raise RuntimeError(f"{min(odd)} is in one of the networks only")
    vae = isinstance(wide, NanoVae)
    for name, value in weights.items():
        start = state[name]
        dims = [dim for dim, size in enumerate(value.shape) if size != start.shape[dim]]
        if not dims:
            state[name] = value
            continue
        dim = dims[0]
        parts = _parts(name, dim, (value.shape[dim], start.shape[dim]), known, channels, vae)
        if len(dims) > 1 or sum(size for _, size in parts) != start.shape[dim]:
            raise RuntimeError(
                f"{name} has {list(value.shape)} in one of the networks, {list(start.shape)} in the other"
            )
        # Linear codes know nothing of what is added; other outputs start as they were built.
        filled = torch.zeros_like(start) if dim == 1 or ".linear." in name else start.clone()
        at = 0
        for piece, (size, place) in zip(value.split([size for size, _ in parts], dim), parts, strict=True):
            filled.narrow(dim, at, size).copy_(piece)
            at += place
        state[name] = filled
    wide.load_state_dict(state)


def _parts(name: str, dim: int, sizes: tuple[int, int], known: int, channels: int, vae: bool) -> Parts:
    """The parts of a dimension that depends on the channels; of another one they do not add up to what is there.

    Args:
        sizes: of the dimension, in the narrow and in the wide network.
    """
    each, (size, place) = (known, channels), sizes
    if vae and name.startswith("encoder.") and dim == 0:
        return [each, each]  # mean and log-variance
    if name.endswith("adapter.stage_in.weight"):
        return [(size - known, size - known), each]  # features, x_t
    if name.endswith("adapter.refine_in.weight"):
        return _condition(size, known, channels)
    if name.endswith("adapter.reading.read.weight"):
        if place - channels == size - known:  # a condition that does not depend on the latents' channels, see JscgcNet
            return [(size - known, size - known), each]
        return [*_condition(size - known, known, channels), each]
    # Shuffled pixels of a channel lie together, so that the first channels come first.
    return [(size, size // known * channels)]


def _condition(size: int, known: int, channels: int) -> Parts:
    """Views of the latents, and for DiffJSCC the reliability."""
    views, others = divmod(size, known)
    return [(known, channels)] * views + [(1, 1)] * others
