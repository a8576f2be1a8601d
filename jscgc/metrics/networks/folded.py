"""EfficientNet-Lite's layers as they are evaluated: each batch normalisation is part of the convolution before it.

The values are the library's up to rounding, in less than half of its time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float32
from torch import Tensor, nn


@dataclass(frozen=True)
class Convolution:
    """With TensorFlow's "same" padding: ceil(side / stride) positions. rectified: ReLU6 follows."""

    weight: Float32[Tensor, "o i k k"]
    bias: Float32[Tensor, " o"]
    stride: int
    groups: int
    rectified: bool

    @classmethod
    def of(cls, layer: nn.Conv2d, norm: nn.BatchNorm2d, device: str, rectified: bool = True) -> Convolution:
        """A convolution without bias and the normalisation of its output by running means and variances."""
        assert layer.bias is None and norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = (layer.weight.double() * scale[:, None, None, None]).float()
        bias = (norm.bias.double() - norm.running_mean.double() * scale).float()
        weight = weight.detach().to(device=device, memory_format=torch.channels_last)
        return cls(weight, bias.detach().to(device), layer.stride[0], layer.groups, rectified)

    def __call__(self, x: Float32[Tensor, "b i h w"]) -> Float32[Tensor, "b o h2 w2"]:
        """The layer's output."""
        size = self.weight.shape[-1]
        top, left = (max((-(-side // self.stride) - 1) * self.stride + size - side, 0) for side in x.shape[2:])
        padding = [top // 2, left // 2]
        if top % 2 or left % 2:  # more below or at the right, which a convolution can't do by itself
            x, padding = F.pad(x, [left // 2, -(-left // 2), top // 2, -(-top // 2)]), [0, 0]
        x = F.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)
        return F.hardtanh(x, 0.0, 6.0, inplace=True) if self.rectified else x


@dataclass(frozen=True)
class Block:
    """Inverted residual: expand, filter each channel, project. skips: the input is added."""

    layers: tuple[Convolution, ...]
    skips: bool

    def __call__(self, x: Float32[Tensor, "b i h w"]) -> Float32[Tensor, "b o h2 w2"]:
        """The block's output."""
        y = x
        for layer in self.layers:
            y = layer(y)
        return x + y if self.skips else y


@dataclass(frozen=True)
class Folded:
    """stem, blocks, head: the network up to its pooling."""

    stem: Convolution
    blocks: tuple[Block, ...]
    head: Convolution

    @classmethod
    def of(cls, network: EfficientNet, device: str) -> Folded:
        """The library's network, without squeeze and excitation as Lite is."""
        blocks = []
        for block in network._blocks:
            arguments = block._block_args
            layers = [Convolution.of(block._depthwise_conv, block._bn1, device)]
            if arguments.expand_ratio != 1:
                layers.insert(0, Convolution.of(block._expand_conv, block._bn0, device))
            layers.append(Convolution.of(block._project_conv, block._bn2, device, rectified=False))
            skips = block.id_skip and arguments.stride == 1 and arguments.input_filters == arguments.output_filters
            blocks.append(Block(tuple(layers), skips))
        stem = Convolution.of(network._conv_stem, network._bn0, device)
        return cls(stem, tuple(blocks), Convolution.of(network._conv_head, network._bn1, device))
