"""A tiny random Z-Image for profile paper_small; selecting the profile (`python -m pipeline.profile`) makes it.

Every part is of the released class and lies where diffusers saves it, so that the code that loads 12 GB loads these 2 MB: VAE,
transformer, scheduler, text encoder and tokenizer. Nothing has been learnt: what is sampled with it is noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jscgc.files import atomic, write_json

PLACE = Path(".jscgc/tiny/zimage")
"""As profile paper_small names it."""
SHIFT = 6.0
"""Of its scheduler, as of Z-Image's."""
CHANNELS, WIDTH, LAYERS, CAPTION = 16, 64, 3, 8


def write(place: Path = PLACE) -> None:
    """Make the folder, whole or not at all; one that is there stays."""
    if place.exists():
        return
    import diffusers
    import torch

    parts: Any = diffusers  # without types
    torch.manual_seed(0)
    blocks: Any = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    vae = parts.AutoencoderKL(
        **blocks,
        block_out_channels=[8] * 4,
        norm_num_groups=4,
        latent_channels=CHANNELS,
        scaling_factor=0.36,
        shift_factor=0.1,
    )
    net = parts.ZImageTransformer2DModel(
        in_channels=CHANNELS,
        dim=WIDTH,
        n_layers=LAYERS,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=CAPTION,
        axes_dims=[8, 12, 12],
    )
    with atomic(place) as temporary:
        temporary.mkdir(parents=True)
        vae.save_pretrained(temporary / "vae")
        net.save_pretrained(temporary / "transformer")
        parts.FlowMatchEulerDiscreteScheduler(shift=SHIFT).save_pretrained(temporary / "scheduler")
        write_text(temporary)
        kinds = {
            "vae": "AutoencoderKL",
            "transformer": "ZImageTransformer2DModel",
            "scheduler": "FlowMatchEulerDiscreteScheduler",
        }
        index = {name: ["diffusers", kind] for name, kind in kinds.items()}
        write_json(temporary / "model_index.json", {"_class_name": "ZImagePipeline", **index})


def write_text(place: Path) -> None:
    """Text encoder and tokenizer, which are asked for the empty prompt alone, in their folders."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    fast: Any = PreTrainedTokenizerFast

    words = {"<pad>": 0, "user": 1, "assistant": 2, ":": 3}
    inner = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = fast(tokenizer_object=inner, pad_token="<pad>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}"
        "{% if add_generation_prompt %}assistant :{% endif %}"
    )
    tokenizer.save_pretrained(place / "tokenizer")
    sizes: Any = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4}
    config = Qwen3Config(vocab_size=len(words), hidden_size=CAPTION, intermediate_size=16, **sizes)
    Qwen3Model(config).save_pretrained(place / "text_encoder")
