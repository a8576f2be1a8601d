"""Low-rank updates of a generator's weights (LoRA, Hu et al. 2021, arXiv 2106.09685) by peft; the only module that knows it."""

from __future__ import annotations

from torch import Tensor, nn

_MARK = "lora_"
_BASE = ".base_layer"


def add_lora(net: nn.Module, rank: int) -> None:
    """Give every linear map and convolution of `net` an update of low rank; updates start at zero and are what learns.

    Raises:
        ValueError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ValueError("jscgc.tuning lora needs peft: pip install 'jscgc[pipeline]'") from None
    # A depthwise convolution has no rank to lower; of the others peft asks that the rank does not exceed their groups' inputs.
    targets = [
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    ]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), net)
    for name, parameter in net.named_parameters():
        if _MARK in name:
            # What learns is float32, whatever the frozen weights are held in: bfloat16 would swallow small updates.
            parameter.data = parameter.data.float()


def load_base(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Load weights of a network without updates into one that may have them.

    Raises:
        RuntimeError: names or shapes differ.
    """
    places = {name.replace(_BASE, ""): name for name in net.state_dict() if _MARK not in name}
    missing, unexpected = places.keys() - state.keys(), state.keys() - places.keys()
    if missing or unexpected:
        raise RuntimeError(f"weights do not fit: {len(missing)} missing, {len(unexpected)} unexpected")
    net.load_state_dict({places[name]: value for name, value in state.items()}, strict=False)


def set_trained(net: nn.Module, everything: bool) -> None:
    """Let all of `net` learn, or only the low-rank updates that it may have."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(everything or _MARK in name)
