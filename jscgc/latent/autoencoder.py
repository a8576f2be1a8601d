"""One face for every image autoencoder, and the normalised latent space that the rest works in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.channel.accounting import GRID
from jscgc.config import RELEASED_FROM, Depth, Section, Width, complaints
from jscgc.files import atomic, read_json, save_tensors, sha256, write_json
from jscgc.latent.nano_vae import NanoVae
from jscgc.latent.params import VaeParams

log = logging.getLogger(__name__)


class Autoencoder(Protocol):
    """Photos [B,3,H,W] in [0,1] <-> latents [B,channels,H/factor,W/factor]; H and W multiples of factor."""

    channels: int
    factor: int

    def encode(self, photos: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor) -> Tensor: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...


class DiffusersVae(nn.Module):
    """A frozen diffusers autoencoder; its scaling and shift factors are honoured: latent = (z - shift) * scale."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        config = model.config
        self.channels = int(config.latent_channels)
        self.scale = float(getattr(config, "scaling_factor", None) or 1.0)
        self.shift = float(getattr(config, "shift_factor", None) or 0.0)
        with torch.no_grad():
            # Asked of the model itself: its classes state their down-sampling in different ways.
            self.factor = 128 // self._raw(torch.zeros(1, 3, 128, 128, dtype=model.dtype)).shape[-1]

    def _raw(self, images: Tensor) -> Tensor:
        encoded = self.model.encode(images)
        for name in ("latent", "latents"):
            if hasattr(encoded, name):
                latents: Tensor = getattr(encoded, name)
                return latents
        mode: Tensor = encoded.latent_dist.mode()
        return mode

    def part(self, name: str) -> nn.Module:
        """`encoder` or `decoder`."""
        part: nn.Module = getattr(self.model, name)
        return part

    def encode(self, photos: Tensor) -> Tensor:
        return (self._raw((2 * photos - 1).to(self.model.dtype)).float() - self.shift) * self.scale

    def decode(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self.model.decode((latents / self.scale + self.shift).to(self.model.dtype)).sample
        return (decoded.float() + 1) / 2


RELEASED: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 16,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
"""Sizes of the 16-channel AutoencoderKL that comes with Z-Image (and FLUX), for `architecture` where it can't be reached."""


def architecture(params: VaeParams) -> NanoVae | DiffusersVae:
    """A VAE of these parameters' shape with random weights: of a pretrained one only the configuration is read.

    Raises:
        ValueError: the configuration can't be reached, and the class has no known sizes.
    """
    if params.source == "nano":
        return NanoVae(params.channels, params.width, params.depth)
    import diffusers

    cls = getattr(diffusers, params.pretrained_class)
    path, released = params.pretrained_path, params.pretrained_class == "AutoencoderKL"
    if released and path in RELEASED_FROM:
        config = RELEASED
    else:
        try:
            config = cls.load_config(path, subfolder=params.pretrained_subfolder or None)
        except (OSError, ValueError):
            if not released:
                raise ValueError(f"vae.pretrained_path {path!r}: its config.json can't be reached") from None
            log.warning("vae.pretrained_path %r can't be reached: the sizes of Z-Image's VAE are taken", path)
            config = RELEASED
    # Not the model's own `to`, which warns of a type that is given later.
    return DiffusersVae(nn.Module.to(cls.from_config(config), getattr(torch, params.dtype)))


def load_diffusers(class_name: str, path: str, subfolder: str, dtype: str = "float32") -> DiffusersVae:
    """Load AutoencoderKL, AutoencoderDC or AutoencoderTiny from a folder or the hub (safetensors only).

    Raises:
        ValueError: it can't be loaded; says what to do.
    """
    import diffusers

    try:
        model = getattr(diffusers, class_name).from_pretrained(
            path, subfolder=subfolder or None, use_safetensors=True, torch_dtype=getattr(torch, dtype)
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"vae.pretrained_path {path!r}: no {class_name} can be loaded ({reason:.200}); give a folder with config.json and "
            "safetensors weights, or a hub id with internet access, or set vae.source: nano"
        ) from None
    return DiffusersVae(model)


class _Nano(Section):
    kind: Literal["vae"]
    source: Literal["nano"]
    channels: Width
    width: Width
    depth: Depth


class _Pretrained(Section):
    kind: Literal["vae"]
    source: Literal["pretrained"]
    pretrained_class: Literal["AutoencoderKL", "AutoencoderDC", "AutoencoderTiny"]
    pretrained_path: str
    pretrained_subfolder: str
    dtype: Literal["float32", "bfloat16"]


_DESCRIPTION: TypeAdapter[_Nano | _Pretrained] = TypeAdapter(
    Annotated[_Nano | _Pretrained, Field(discriminator="source")]
)
"""What model.json says of a VAE."""


def save_vae(folder: Path, params: VaeParams, vae: NanoVae | None) -> None:
    """Write a VAE's description, and the weights if they are ours (a pretrained one stays where it is)."""
    with atomic(folder) as temporary:
        temporary.mkdir()
        keys = (
            {"source", "channels", "width", "depth"}
            if vae
            else {"source", "pretrained_class", "pretrained_path", "pretrained_subfolder", "dtype"}
        )
        write_json(temporary / "model.json", {"kind": "vae", **params.model_dump(include=keys)})
        if vae:
            save_weights(vae, temporary / "weights.safetensors")


def load_vae(folder: Path) -> NanoVae | DiffusersVae:
    """Load what `save_vae` wrote, frozen and in evaluation mode.

    Raises:
        ValueError: missing or damaged; says what to do.
    """
    if not (folder / "model.json").exists():
        raise ValueError(f"{folder}: no trained VAE here; train one with `dvc repro`, or name its place with --models")
    try:
        described = _DESCRIPTION.validate_python(read_json(folder / "model.json"))
    except ValidationError as error:
        raise ValueError(
            f"{folder / 'model.json'}: not a VAE's description: {complaints(error)}; train one with `dvc repro`"
        ) from None
    if isinstance(described, _Pretrained):
        d = described
        return load_diffusers(d.pretrained_class, d.pretrained_path, d.pretrained_subfolder, d.dtype)
    with torch.device("meta"):  # first without memory: a description may ask for more than there is
        check_weights(NanoVae(described.channels, described.width, described.depth), folder / "weights.safetensors")
    vae = NanoVae(described.channels, described.width, described.depth)
    load_weights(vae, folder / "weights.safetensors")
    return vae.eval().requires_grad_(False)


def save_weights(module: nn.Module, path: Path, elsewhere: Callable[[str], bool] = lambda name: False) -> None:
    """Write a module's weights as safetensors, in the ordinary memory layout; but not those that lie `elsewhere`."""
    weights = {name: value.cpu().contiguous() for name, value in module.state_dict().items() if not elsewhere(name)}
    save_tensors(weights, path)


def check_weights(module: nn.Module, path: Path, elsewhere: Callable[[str], bool] = lambda name: False) -> None:
    """Whether a file holds a module's weights, by their names and shapes; the module may be on `meta`.

    Raises:
        ValueError: as `load_weights`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from None
    wanted = module.state_dict()
    odd = [name for name in stored if name not in wanted or list(wanted[name].shape) != stored[name]]
    odd += [name for name in wanted if name not in stored and not elsewhere(name)]
    if odd:
        raise ValueError(
            f"{path}: weights do not fit the model described beside them ({len(odd)} names or shapes are others, such as "
            f"{odd[0]:.100})"
        )


def load_weights(module: nn.Module, path: Path, elsewhere: Callable[[str], bool] = lambda name: False) -> None:
    """Load safetensors into a module, every name and shape as it must be; those that lie `elsewhere` it has already.

    Raises:
        ValueError: the file is missing, damaged or of another architecture.
    """
    try:
        weights = load_file(path)
        state = module.state_dict()
        kept = {name: value for name, value in state.items() if elsewhere(name)}
        if whole := [
            n for n in weights.keys() & state if state[n].is_floating_point() > weights[n].is_floating_point()
        ]:
            raise RuntimeError(f"{whole[0]} holds integers")
        module.load_state_dict({**weights, **kept} if not weights.keys() & kept.keys() else weights)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from None
    except RuntimeError as error:
        raise ValueError(
            f"{path}: weights do not fit the model described beside them ({str(error).splitlines()[-1].strip():.300})"
        ) from None


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class LatentStatistics:
    """Per-channel mean and standard deviation of the latents, and the VAE (SHA-256 of its folder) they belong to.

    Raises:
        ValidationError: (a ValueError) not finite, of different lengths, or no spread.
    """

    mean: Annotated[list[float], Field(min_length=1, max_length=1024)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=1024)]
    factor: Annotated[int, Field(ge=1, le=64)]
    vae_sha256: str

    @model_validator(mode="after")
    def _one_each(self) -> LatentStatistics:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} standard deviations")
        return self

    @classmethod
    def of(cls, content: Any) -> LatentStatistics:
        """From what JSON holds.

        Raises:
            ValidationError: it is something else.
        """
        statistics: LatentStatistics = TypeAdapter(cls).validate_python(content)
        return statistics

    @property
    def channels(self) -> int:
        return len(self.mean)


class LatentSpace(nn.Module):
    """Photos of any size <-> normalised latents: zero mean and unit variance per channel, less in those that `init: widen`
    added."""

    mean: Tensor
    std: Tensor

    def __init__(self, vae: Autoencoder, statistics: LatentStatistics, multiple: int = GRID) -> None:
        """multiple: of so many pixels images are padded to, or of `vae.factor`."""
        super().__init__()
        self.vae = vae  # a module too, so that it moves with this one
        self.multiple = max(multiple, vae.factor)
        self.register_buffer("mean", torch.tensor(statistics.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(statistics.std)[:, None, None])

    @classmethod
    def load(cls, folder: Path, statistics: LatentStatistics, multiple: int = GRID) -> LatentSpace:
        """The VAE in `folder` with the statistics stored beside a trained model.

        Raises:
            ValueError: that model was trained on another VAE.
        """
        vae = load_vae(folder)
        if sha256(folder) != statistics.vae_sha256:
            raise ValueError(f"{folder}: this VAE is not the one that the model was trained on; run `dvc repro`")
        return cls(vae, statistics, multiple).eval().requires_grad_(False)

    def encode(self, photos: Tensor) -> Tensor:
        """Photos [B,3,H,W] in [0,1] -> normalised latents; the last row and column are repeated up to a whole grid."""
        height, width = photos.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        return (self.vae.encode(F.pad(photos, padding, mode="replicate")) - self.mean) / self.std

    def decode(self, latents: Tensor, height: int, width: int) -> Tensor:
        """Normalised latents -> photos [B,3,height,width], the padding cropped away."""
        return self.vae.decode(self.own(latents))[..., :height, :width]

    def own(self, latents: Tensor) -> Tensor:
        """Normalised latents -> the VAE's own."""
        return latents * self.std + self.mean
