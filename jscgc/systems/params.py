"""Sections `codec`, `jscgc`, `finetune` and `few_step` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from jscgc.channel.params import LinkParams
from jscgc.config import Positive, Section, TrainParams, Width, each_once
from jscgc.encoder.params import EncoderParams
from jscgc.flow.params import Guidance, TimeShift
from jscgc.generator.params import AdapterParams, BackboneParams


class PriorShape(Section):
    """What builds the prior."""

    generator: BackboneParams


class CodecShape(Section):
    """What builds a MambaJSCC."""

    encoder: EncoderParams


class CodecParams(TrainParams):
    """Training of the reconstruction codec (mambajscc_psnr)."""

    loss: Literal["squared_error", "decibels"] = "squared_error"
    """decibels: every image's squared error over what its link permits. The worst links, whose errors are the largest, have
    nearly all the say otherwise."""


Tuning = Literal["full", "lora", "frozen", "receiver", "adapter_only"]


def generator_learns(tuning: Tuning) -> bool:
    """Whether the generator's own weights are trained."""
    return tuning in ("full", "receiver")


class ReceiverShape(Section):
    """What builds JSCGC's network, or DiffJSCC's."""

    encoder: EncoderParams
    generator: BackboneParams
    adapter: AdapterParams
    tuning: Tuning
    lora_rank: Width = 8

    @property
    def generator_learns(self) -> bool:
        """Whether the generator's own weights are trained."""
        return generator_learns(self.tuning)

    @classmethod
    def of(cls, params: Any) -> ReceiverShape:
        """What params.yaml (`jscgc.params.Params`) makes of it."""
        settings = {key: getattr(params.jscgc, key) for key in ("adapter", "tuning", "lora_rank")}
        return cls(encoder=params.encoder, generator=params.generator.shape, **settings)


class JscgcParams(Section):
    """Joint training of encoder, adapter and (if set) generator; the same settings train DiffJSCC's receiver."""

    adapter: AdapterParams
    tuning: Tuning
    """What learns beside the adapter. `full`: encoder and generator. `lora`: encoder, and low-rank updates of the generator's
    weights (peft). `frozen`: the encoder, as in the paper; the generator's weights stay bit for bit. `receiver`: the generator;
    the encoder stays. `adapter_only`: nothing."""
    lora_rank: Width = 8
    """Rank of the updates of tuning `lora`."""
    encoder_init: Literal["mambajscc_psnr", "random"]
    """Start of the encoder, and of the Refiner's Mamba decoder if it has one. The paper starts from the reconstruction codec's
    encoder."""
    codec_rate: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the learning rate for encoder and Refiner where they start from the codec's."""
    condition_dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of images whose condition is dropped: they train the unconditional field, by which guidance, the control without
    symbols and the estimate of I(X; Y_hat) need to be right. Where the generator learns and this is 0, they are not."""
    perception_weight: Annotated[float, Field(ge=0)]
    """Multiplier of the unconditional term (condition dropped) beside the conditional one: the Lagrangian of (2)."""
    link: LinkParams | None = None
    """The link that this joint training is over; null: section `link`'s. The paper's is one good link, from which section
    `finetune` makes a model of each condition. DiffJSCC's receiver is trained over the same."""
    train: TrainParams

    @model_validator(mode="after")
    def _term_is_seen(self) -> JscgcParams:
        if self.perception_weight and not self.condition_dropout:
            raise ValueError("perception_weight needs a condition_dropout above 0: its term is the dropped images'")
        return self

    @property
    def generator_learns(self) -> bool:
        """Whether the generator's own weights are trained."""
        return generator_learns(self.tuning)

    @property
    def encoder_learns(self) -> bool:
        """Whether the encoder is trained."""
        return self.tuning not in ("receiver", "adapter_only")


def joint_link(params: Any) -> LinkParams:
    """What section `jscgc` trains over, by params.yaml (`jscgc.params.Params`)."""
    link: LinkParams = params.jscgc.link or params.link
    return link


LinkName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


def _named(links: Any) -> Any:
    if links is None:
        return {}
    return {name: link for name, link in links.items() if link is not None} if isinstance(links, dict) else links


class FinetuneParams(Section):
    """The paper's second phase: from the jointly trained model one for each of these links, by a schedule of its own.

    A link may be one condition, as in the paper, or many: then one model serves them all.
    """

    links: Annotated[dict[LinkName, LinkParams], BeforeValidator(_named)] = Field(default={})
    """Name -> what that model is trained over; empty: there is no second phase. A profile over another one drops a link by
    `NAME: null`, and all of them by `links: null`."""
    methods: Annotated[list[str], AfterValidator(each_once)] = Field(default=["jscgc", "diffjscc"])
    """That are fine-tuned, all for the same links and as long."""
    train: TrainParams = TrainParams(steps=1000, batch_size=16, learning_rate=0.0005)


class FewStepParams(Section):
    """The student jscgc_fast: how many steps it takes, and the teacher that it learns from."""

    steps: Positive
    """Its Euler steps, one network evaluation each."""
    substeps: Positive
    """The teacher's steps in one of the student's."""
    guidance: Guidance
    """Of the teacher, as `sample.guidance`; the student has it built in."""
    time_shift: TimeShift = 1.0
    """Above 1: more of the steps at high noise."""
    train: TrainParams
