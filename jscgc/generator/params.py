"""Section `generator` of params.yaml, and the adapter's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from jscgc.config import Depth, Levels, Section, TrainParams, UserPath, Width
from jscgc.generator.backbones import BACKBONES


class BackboneParams(Section):
    """What builds the latent flow-matching backbone (diffusers)."""

    backbone: Annotated[str, AfterValidator(BACKBONES.check)]
    source: Literal["scratch", "pretrained"] = "scratch"
    """`pretrained`: architecture and weights of `pretrained_path`; the sizes below are then not used."""
    pretrained_path: UserPath = ""
    """Folder or hub id of the diffusers model."""
    pretrained_subfolder: str = ""
    scheduler_shift: Annotated[float, Field(gt=0)] | None = None
    """Of a pretrained model: what `time_shift: scheduler` stands for; read from the scheduler beside it unless it is stated here,
    and kept in model.json."""
    caption_path: UserPath = ""
    """zimage, pretrained: folder or hub id of the pipeline whose text encoder computes the empty prompt's features, once."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """In which a pretrained model's weights are held and computed."""
    gradient_checkpointing: bool = False
    """Recompute the generator's activations in the backward pass instead of keeping them."""
    widths: Levels
    """U-Net: channels per level; transformers: a single width."""
    depth: Depth
    """U-Net: residual blocks per level; transformers: layers."""

    def named(self) -> tuple[str, ...]:
        return (BACKBONES.module(self.backbone),)

    @model_validator(mode="after")
    def _settings_act(self) -> BackboneParams:
        pretrained = self.source == "pretrained"
        if pretrained and not self.pretrained_path:
            raise ValueError("source pretrained needs pretrained_path, a folder or hub id")
        if self.caption_path and not (pretrained and BACKBONES[self.backbone].empty_prompt):
            readers = " or ".join(kind.name for kind in BACKBONES if kind.empty_prompt)
            raise ValueError(f"caption_path is for backbone {readers} with source pretrained only")
        if self.scheduler_shift is not None and not pretrained:
            raise ValueError("scheduler_shift is for source pretrained only")
        if self.dtype != "float32" and not pretrained:
            raise ValueError("dtype bfloat16 is for source pretrained only; what is trained from scratch is float32")
        return self


class GeneratorParams(BackboneParams):
    """The backbone, and how the unconditional prior is trained."""

    train: TrainParams

    @property
    def shape(self) -> BackboneParams:
        """What builds the backbone, without its training."""
        return BackboneParams.model_validate(self.model_dump(exclude={"train"}))


def _distinct_layers(layers: list[int]) -> list[int]:
    if len(set(layers)) < len(layers):
        raise ValueError(f"a layer is there twice: {layers}")
    return layers


class AdapterParams(Section):
    """The communication-aware adapter."""

    width: Width
    refiner_depth: Depth
    """Blocks in the Refiner."""
    stages: Annotated[int, Field(ge=0, le=1024)] = 0
    """N_I, cascaded stages; 0: one for every layer of the generator that takes a residual."""
    layers: Annotated[list[Annotated[int, Field(ge=0, le=1024)]], AfterValidator(_distinct_layers)] = Field(default=[])
    """L_i, the layers that the stages lead to, counted from 0; empty: evenly spread."""
    sees_x_t: bool = True
    """Whether the stages see x_t beside the condition, as the paper's do; false, to measure what that is worth."""
    reading: bool = True
    """Whether a linear reading of condition and x_t is added to the generator's output; false: residuals of its layers only, as
    the paper's."""
    refiner_decoder: bool = True
    """Whether JSCGC's Refiner begins with the mirrored Mamba decoder; false: it is a linear view of the received symbols and the
    blocks of the generator's type. DiffJSCC reads its codec's reconstruction, with either."""
    controlnet_path: UserPath = ""
    """zimage: folder or hub id of a ZImageControlNetModel whose layers the stages start from."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AdapterParams:
        if self.stages and self.layers and self.stages != len(self.layers):
            raise ValueError(f"stages is {self.stages}, but layers names {len(self.layers)}; give one of the two")
        return self
