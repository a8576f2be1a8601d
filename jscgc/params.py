"""Typed parameters: params.yaml is read once into frozen, validated models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, create_model, model_validator

from jscgc.channel.params import LinkParams
from jscgc.cluster.params import DistributedParams
from jscgc.config import ParamsError, Section, complaints, line_of, overlay, read_profile, read_yaml
from jscgc.data.params import DataParams
from jscgc.encoder.params import EncoderParams
from jscgc.evaluation.params import EvaluateParams
from jscgc.flow.params import SCHEDULER, ObjectiveParams, SampleParams
from jscgc.generator.backbones import BACKBONES
from jscgc.generator.params import GeneratorParams
from jscgc.generator.schedule import read_shift
from jscgc.latent.params import LatentParams, VaeParams
from jscgc.method import METHODS, Network, network, own_sections, parted, trainable
from jscgc.precision import PrecisionSetting, resolve_precision
from jscgc.registry import add_plugin, plugins
from jscgc.seeding import derive
from jscgc.systems.params import CodecParams, FewStepParams, FinetuneParams, JscgcParams
from jscgc.tracking.params import TrackingParams

S = TypeVar("S", bound=Section)
Init = Literal["shipped", "scratch", "finetune", "widen"]
WIDENING = {"vae": ("anchor_weight", "added_shrink"), "latents": ("added_scale",)}
"""Keys by section that are for `init: widen` only."""


def _own_sections(content: Any) -> Any:
    """Each method's section by that method's model; errors name the key as everywhere."""
    if isinstance(content, dict):
        content = {name: value for name, value in content.items() if value is not None}
        if all(isinstance(value, Section) for value in content.values()):
            return content
    fields: dict[str, Any] = {name: (settings | None, None) for name, settings in own_sections().items()}
    sections = create_model("Baselines", __base__=Section, **fields).model_validate(content)
    return {name: value for name, value in sections if value is not None}


class Params(Section):
    """All of params.yaml."""

    profile: str
    plugins: list[str] = Field(default=[])
    """Modules of other packages, or scripts' files, whose methods, channels and metrics these parameters may name; what is
    installed with entry points (`jscgc.methods` and so on) need not be listed."""
    init: Init = "scratch"
    """Where models come from. `scratch`: all are trained. `shipped`: VAE and prior are those that come with the package, passed
    through, with the latents' statistics they were trained with; sections vae and generator must then state their sizes.
    `finetune`: mambajscc_psnr, JSCGC and DiffJSCC, too, are trained on from those that come with the package; then also encoder,
    link.rates and jscgc.adapter must be theirs, and jscgc.encoder_init has no say. `widen`: as finetune, but vae.channels is
    more than the shipped VAE's; VAE and prior are trained on, too, and the shipped latents stay the first channels."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    device: Literal["auto", "cpu", "cuda"]
    precision: PrecisionSetting = "auto"
    """Of the networks' matrix products and convolutions, in training and evaluation; weights, optimiser, losses and scores are
    float32 always. `auto`: bfloat16 where it is measured to pay, else float32; see `settled`."""
    data: DataParams
    vae: VaeParams
    latents: LatentParams
    objective: ObjectiveParams
    generator: GeneratorParams
    encoder: EncoderParams
    link: LinkParams
    codec: CodecParams
    jscgc: JscgcParams
    finetune: FinetuneParams = FinetuneParams()
    few_step: FewStepParams | None
    """null: jscgc_fast is not trained."""
    sample: SampleParams
    baselines: Annotated[dict[str, SerializeAsAny[Section]], BeforeValidator(_own_sections)] = Field(default={})
    """Methods that are trained if they have a key here, with their own settings; `{}`: their defaults (`jscgc.methods`)."""
    evaluate: EvaluateParams
    distributed: DistributedParams = DistributedParams()
    tracking: TrackingParams = TrackingParams()

    def settled(self) -> Params:
        """The same with the precision decided and the scheduler's shift read. Whoever starts the work asks once, so that its
        record, its keys and its workers, on whatever machine, have the decision and none of them makes its own.

        Raises:
            ValueError: the scheduler beside the generator can't be read.
        """
        update: dict[str, Any] = {}
        if self.precision == "auto":
            update["precision"] = resolve_precision(self.precision, self.device)
        if self.scheduled:
            shift = self.generator.scheduler_shift or read_shift(self.generator.pretrained_path)
            update |= {name: getattr(self, name).model_copy(update={"time_shift": shift}) for name in self.scheduled}
            update["generator"] = self.generator.model_copy(update={"scheduler_shift": shift})
        return self.model_copy(update=update) if update else self

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Sections whose time_shift is the scheduler's, which is not read yet."""
        sections = ("objective", "few_step", "sample")
        return tuple(name for name in sections if self.at(f"{name}.time_shift") == SCHEDULER)

    @property
    def trained(self) -> dict[str, Network]:
        """The networks that these parameters train, by name, in the registry's order."""
        return {
            name: net
            for name, net in trainable().items()
            if (self.at(net.section) is not None if net.settings is None else name in self.baselines)
        }

    @property
    def finetuned(self) -> list[str]:
        """The results METHOD-LINK of section `finetune`."""
        return [f"{name}-{link}" for name in self.finetune.methods for link in self.finetune.links]

    def finetuning(self, result: str) -> Params:
        """The same as a fine-tuned result is trained by: its link, the schedule of section `finetune`, draws of its own."""
        name, link = parted(result)
        section, _, key = network(name).trained_by.partition(".")
        changes: dict[str, Any] = {
            "seed": derive(self.seed, result) % 2**32,
            "link": self.finetune.links[link],
            "jscgc": self.jscgc.model_copy(update={"link": None}),
        }
        schedule, known = dict(self.finetune.train), changes.get(section) or getattr(self, section)
        inner = getattr(known, key) if key else known
        changed = inner.model_copy(update=schedule)
        changes[section] = known.model_copy(update={key: changed}) if key else changed
        return self.model_copy(update=changes)

    @property
    def conditions(self) -> list[tuple[str, float, int]]:
        """Channel, SNR in dB and rate of all that section `evaluate` measures."""
        grid, links = self.evaluate, self.finetune.links.values()
        every = [(c, float(s), r) for c in grid.channels for s in grid.snr_db for r in grid.rates]
        return every if grid.conditions == "all" else [at for at in every if any(link.covers(*at) for link in links)]

    def own(self, name: str, kind: type[S]) -> S:
        """The section `baselines.NAME`; its defaults if the method is not trained."""
        settings = self.baselines.get(name) or kind()
        assert isinstance(settings, kind)
        return settings

    def at(self, key: str) -> Any:
        """The value at a dotted key; of a method that is not trained None."""

        def step(value: Any, name: str) -> Any:
            return value.get(name) if isinstance(value, dict) else getattr(value, name, None)

        return reduce(step, key.split("."), self)

    @model_validator(mode="after")
    def _what_is_needed_is_trained(self) -> Params:
        trained = self.trained
        for name in self.evaluate.methods:
            if METHODS[name].network is not None and name not in trained:
                section = (
                    f"params.yaml section {network(name).section}"
                    if name not in own_sections()
                    else f"baselines the key {name}"
                )
                raise ValueError(f"evaluate.methods: {name} is not trained; give {section}")
        for name, declared in trained.items():
            if lacking := [need for need in declared.needs if need in METHODS and need not in trained]:
                raise ValueError(
                    f"baselines.{name}: it is trained on from {lacking[0]}, which is not trained; give baselines that key, too"
                )
        return self

    def check(self) -> None:
        """What the pipeline must not start with, although each section is valid and models may exist that were trained so.

        Raises:
            ValueError: section evaluate asks for rates that are not trained, or for asides where nothing is measured; conditions
                are dropped to no purpose; crops are larger than the photographs that are kept.
        """
        for name in self.evaluate.methods:
            declared = METHODS[name].network
            links = self.finetune.links.values() if name in self.finetune.methods else ()
            if declared and (
                untrained := sorted(
                    {
                        at[2]
                        for at in self.conditions
                        if at[2] not in declared.link(self).rates and not any(link.covers(*at) for link in links)
                    }
                )
            ):
                stated = "jscgc.link" if declared.link(self) is self.jscgc.link else "link"
                tuned = ", and no link of section finetune covers them" if links else ""
                rates = declared.link(self).rates
                raise ValueError(
                    f"evaluate.rates: {untrained} are not trained for {name}; {stated}.rates are {rates}{tuned}"
                )
        measured = self.conditions
        if not measured:
            raise ValueError(
                "evaluate.conditions: finetuned, but section finetune has no link in the grid of section evaluate"
            )
        if (at := self.evaluate.reference_at) and (measured[0][0], at.snr_db, at.rate) not in measured:
            raise ValueError(
                f"evaluate.reference_at: {measured[0][0]} at {at.snr_db:g} dB and rate {at.rate} is none of the conditions that "
                "are measured; name one that is"
            )
        self._check_crops()
        if self.jscgc.condition_dropout and not self.jscgc.perception_weight:
            raise ValueError(
                "jscgc.condition_dropout needs a perception_weight above 0, by which dropped images count: set both, or neither"
            )

    def _check_crops(self) -> None:
        """Whether every crop fits into the photographs that are kept: enlarged ones would be trained on."""
        side, passed = self.data.train_side, self.init in ("shipped", "finetune") or self.vae.source != "nano"
        crops = {"latents.crop": self.latents.crop} | ({} if passed else {"vae.crop": self.vae.crop})
        crops |= {f"baselines.{name}.crop": getattr(own, "crop", 0) for name, own in self.baselines.items()}
        if side and (large := [f"{key} ({crop})" for key, crop in crops.items() if crop > side]):
            raise ValueError(
                f"data.train_side: {side} is less than {', '.join(large)}; keep photographs at least as large"
            )

    @model_validator(mode="after")
    def _phases_fit(self) -> Params:
        tuned = {f"finetune.links.{name}": link for name, link in self.finetune.links.items()}
        joint = {"jscgc.link": self.jscgc.link} if self.jscgc.link else {}
        for name, link in (joint | tuned).items():
            if odd := sorted(set(link.rates) - set(self.link.rates)):
                raise ValueError(
                    f"{name}: rates {odd} are not among link.rates, which the codec that all start from is trained for"
                )
        if tuned and not self.finetune.methods:
            raise ValueError("finetune.methods: name at least one method, or no links")
        for name in self.finetune.methods if tuned else ():
            if name not in self.trained or not network(name).finetunes:
                able = [name for name, one in self.trained.items() if one.finetunes]
                raise ValueError(f"finetune.methods: {name} can't be fine-tuned here; choose from {', '.join(able)}")
        return self

    @model_validator(mode="after")
    def _workers_share_parts(self) -> Params:
        workers = self.distributed.workers
        keys = {network.trained_by for network in self.trained.values()} - {"", "generator.train"}
        if self.init in ("scratch", "widen"):
            keys |= {"vae.train"} if self.vae.source == "nano" else set()
            keys |= {"generator.train"} if self.generator.source == "scratch" else set()
        if self.vae.sharpen:
            keys.add("vae.sharpen.train")
        if self.finetune.links:
            keys.add("finetune.train")
        if odd := [f"{key}.parts ({self.at(key).parts})" for key in sorted(keys) if self.at(key).parts % workers]:
            raise ValueError(
                f"distributed.workers: {workers} workers can't share the parts of a step evenly; make a multiple of {workers} of "
                f"{', '.join(odd)}, and the batch_size beside each as much smaller as the step shall stay the same"
            )
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> Params:
        for name, source in (("vae", self.vae.source), ("generator", self.generator.source)):
            if self.init != "scratch" and source == "pretrained":
                raise ValueError(f"init {self.init} and {name}.source pretrained: one of them; set init: scratch")
        if self.init != "scratch" and not self.latents.normalise:
            raise ValueError(f"init {self.init} needs latents.normalise: true (its prior knows normalised latents)")
        return self

    @model_validator(mode="after")
    def _widens(self) -> Params:
        for name, keys in WIDENING.items():
            section = getattr(self, name)
            for key in keys if self.init != "widen" else ():
                if getattr(section, key) != type(section).model_fields[key].default:
                    raise ValueError(f"{name}.{key} is for init widen only, which adds channels to the shipped VAE")
        return self

    @model_validator(mode="after")
    def _pretrained_latents(self) -> Params:
        if self.generator.source == "pretrained" and self.latents.normalise:
            raise ValueError("generator.source pretrained needs latents.normalise: false (its VAE's own latents)")
        if self.scheduled and self.generator.source != "pretrained":
            raise ValueError(
                f"{self.scheduled[0]}.time_shift scheduler needs generator.source pretrained; state a number"
            )
        if self.generator.dtype != "float32" and self.jscgc.generator_learns:
            raise ValueError(
                f"jscgc.tuning {self.jscgc.tuning} with generator.dtype bfloat16 would train in it and lose small updates; "
                "set dtype float32 and precision: bfloat16"
            )
        if self.jscgc.adapter.controlnet_path and not BACKBONES[self.generator.backbone].start_stages:
            readers = " or ".join(kind.name for kind in BACKBONES if kind.start_stages)
            raise ValueError(f"jscgc.adapter.controlnet_path is for generator.backbone {readers} only")
        return self


def load_params(path: Path = Path("params.yaml"), profile: Path | None = None) -> Params:
    """Read and validate params.yaml, with a profile's file laid over it if one is given.

    Raises:
        ParamsError: a file is missing, not YAML, or holds unknown keys or wrong values.
    """
    content = read_yaml(path, "; run from the project's root, or name one with --params")
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected a mapping of sections at the top")
    if profile is not None:
        overlay(content, read_profile(profile))
    try:
        asked = content.get("plugins")
        for name in (*plugins(), *(asked if isinstance(asked, list) else ())):
            add_plugin(str(name))
        METHODS.names  # noqa: B018 (a name that is taken is one line, not one for each field that asks)
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(f"{profile or path}: {complaints(error, partial(_line, [profile, path]))}") from None
    except ValueError as error:
        raise ParamsError(f"{path}: plugins: {error}") from None


def _line(files: Sequence[Path | None], place: Sequence[str | int]) -> str:
    """Where it was stated: in the first of the files that has it."""
    for path in files:
        if path is not None and (line := line_of(path, place)):
            return f"line {line}: " if path == next(filter(None, files)) else f"line {line} of {path}: "
    return ""
