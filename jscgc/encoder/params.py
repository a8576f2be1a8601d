"""Section `encoder` of params.yaml, and the sizes of SwinJSCC's network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jscgc.config import Depth, Levels, Section, Width


class EncoderParams(Section):
    """The Mamba encoder: stage i down-samples by downsample[i], then applies depths[i] visual state-space blocks."""

    block: Literal["ssd", "mambajscc"] = "ssd"
    """`ssd`: ours, Mamba-2's scan along four readings, no MLP. `mambajscc`: that of the published code, Mamba-1's selective scan
    along two, channels doubled inside, with an MLP."""
    widths: Levels
    depths: list[Depth]
    downsample: list[Literal[1, 2, 4]]
    state: Width
    """Entries of a channel's state."""
    head: Width
    """Of block ssd: channels that share one decay; in the published block each entry of a channel has its own."""
    window: Annotated[int, Field(ge=0, multiple_of=16)] = 0
    """Side in pixels of the photo of the squares within which scans stay; 0: the whole photo, as published."""
    linear: bool = True
    """Whether a linear code stands beside encoder and decoder, from which the codec's training starts; false: as published."""

    @model_validator(mode="after")
    def _remembers(self) -> EncoderParams:
        if self.block == "mambajscc" and self.state < 2:
            raise ValueError(
                f"block mambajscc needs a state of 2 at least, since the SNR takes the first entry; got {self.state}"
            )
        return self

    @model_validator(mode="after")
    def _same_lengths(self) -> EncoderParams:
        if not len(self.widths) == len(self.depths) == len(self.downsample) > 0:
            raise ValueError("widths, depths and downsample must have the same length, one entry per stage")
        return self


class SwinParams(Section):
    """SwinJSCC's network: every stage halves the resolution, four to 1/16."""

    widths: Annotated[list[Width], Field(min_length=4, max_length=4)] = Field(default=[32, 64, 96, 128])
    depths: Annotated[list[Depth], Field(min_length=4, max_length=4)] = Field(default=[1, 1, 2, 2])
    heads: Annotated[list[Width], Field(min_length=4, max_length=4)] = Field(default=[1, 2, 3, 4])
    window: Annotated[int, Field(ge=2, le=256)] = 4
    """Side of the attention windows, positions."""
    linear: bool = False
    """Whether a linear code stands beside the network."""

    @model_validator(mode="after")
    def _divisible(self) -> SwinParams:
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise ValueError(f"a width must be a multiple of its number of heads, got {width} and {heads}")
        return self
