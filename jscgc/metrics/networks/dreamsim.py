"""DreamSim's ensemble of DINO, CLIP and OpenCLIP, without the library's downloading loader."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from dreamsim.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from dreamsim.feature_extraction import vision_transformer
from dreamsim.feature_extraction.load_clip_as_dino import load_clip_as_dino
from dreamsim.feature_extraction.load_open_clip_as_dino import load_open_clip_as_dino
from jaxtyping import Float32
from torch import Tensor, nn
from torchvision import transforms

from jscgc.metrics.weights import DINO_VITB16, DREAMSIM_ENSEMBLE

PATCH = 16
CHECKPOINTS = ("clip_vitb16_pretrain.pth.tar", "open_clip_vitb16_pretrain.pth.tar")
ADAPTER = "ensemble_lora/adapter_config.json", "ensemble_lora/adapter_model.safetensors"
"""Members of the published archive; its copy of DINO's training checkpoint is not needed."""


class Ensemble(nn.Module):
    """Class token of DINO's last block (not normalised), CLIP's and OpenCLIP's image embeddings, side by side, centred.

    The library's own networks and formula, without its loader, which runs code from torch hub and downloads. In the order
    of the adapter's `extractor_list`.
    """

    def __init__(self, dino: nn.Module, clip: tuple[nn.Module, Tensor], open_clip: tuple[nn.Module, Tensor]) -> None:
        """`clip`, `open_clip`: a ViT and its projection [D,E]."""
        super().__init__()
        self.networks = nn.ModuleList((dino, clip[0], open_clip[0]))
        self.projections = nn.ParameterList((clip[1].detach(), open_clip[1].detach()))
        self._imagenet = transforms.Normalize(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self._openai = transforms.Normalize(OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)

    def forward(self, images: Float32[Tensor, "b 3 224 224"]) -> Float32[Tensor, "b d"]:
        """Embeddings of images in [0,1]."""
        dino, *clips = self.networks
        tokens: Tensor = cast("Any", dino).prepare_tokens(self._imagenet(images))
        for block in dino.get_submodule("blocks").children():
            tokens = block(tokens)
        embeddings = [tokens[:, 0]]
        normalised = self._openai(images)
        embeddings += [vit(normalised) @ projection for vit, projection in zip(clips, self.projections, strict=True)]
        whole = torch.cat(embeddings, dim=1)
        return whole - whole.mean(dim=1, keepdim=True)


def load_ensemble() -> Ensemble:
    """The published ensemble, its low-rank adapters merged into the weights.

    Raises:
        ValueError: a file is missing, not as imported, or not what the library publishes.
    """
    backbone = torch.load(DINO_VITB16.verified(), map_location="cpu", weights_only=True)
    archive = DREAMSIM_ENSEMBLE.verified()
    with torch.random.fork_rng(devices=[]):  # the random initialisation must not shift the caller's random numbers
        dino = vision_transformer.vit_base(patch_size=PATCH)
        dino.load_state_dict(backbone)
        try:
            with zipfile.ZipFile(archive) as members, tempfile.TemporaryDirectory() as folder:
                # The names on disk are ours: nothing in the archive chooses a path.
                for name in CHECKPOINTS:
                    Path(folder, name).write_bytes(members.read(name))
                clip, open_clip = load_clip_as_dino(PATCH, folder), load_open_clip_as_dino(PATCH, folder)
                config = json.loads(members.read(ADAPTER[0]))
                adapter = safetensors.torch.load(members.read(ADAPTER[1]))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(f"{archive}: not DreamSim's archive ({error}): {DREAMSIM_ENSEMBLE.remedy}") from None
    ensemble = Ensemble(dino, clip, open_clip)
    merge(ensemble, config, adapter)
    return ensemble


def merge(ensemble: Ensemble, config: dict[str, Any], adapter: dict[str, Tensor]) -> None:
    """Add alpha/r B A to the weight of every adapted layer (Hu et al., LoRA, ICLR 2022, section 4.1).

    Args:
        ensemble: changed in place.
        config: peft's: r, lora_alpha, target_modules and, where newer, use_rslora.
        adapter: `...extractor_list.N.model.LAYER.lora_A.weight` [r,in] and `...lora_B.weight` [out,r].

    Raises:
        ValueError: the adapter does not fit the networks.
    """
    if config.get("bias", "none") != "none" or config.get("use_dora") or config.get("fan_in_fan_out"):
        raise ValueError("DreamSim's adapter is of a kind that its authors did not publish")
    rank = int(config["r"])
    scale = float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)
    factors: dict[tuple[str, str], Tensor] = {}
    for name, value in adapter.items():
        match = re.search(r"extractor_list\.(\d+)\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight$", name)
        if match is None:
            raise ValueError(f"DreamSim's adapter has an unknown tensor {name}")
        factors[f"{match[1]}.{match[2]}", match[3]] = value
    wanted = {
        name: layer
        for name, layer in ensemble.networks.named_modules()
        if isinstance(layer, nn.Linear) and name.rpartition(".")[2] in config["target_modules"]
    }
    if {name for name, _ in factors} != set(wanted) or len(factors) != 2 * len(wanted):
        raise ValueError(f"DreamSim's adapter has {len(factors)} tensors, two for each of {len(wanted)} layers needed")
    for name, layer in wanted.items():
        layer.weight.data += scale * (factors[name, "B"].float() @ factors[name, "A"].float())
