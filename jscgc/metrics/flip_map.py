"""LDR-FLIP: what is seen of a picture at a viewing distance, and the difference that is seen between two.

    bytes -> linear RGB -> Y, Cx, Cz -- each by its contrast sensitivity, clamped as RGB --> L*a*b*, Hunt-adjusted
                           Y -- first and second derivatives of a Gaussian --> strength of edges and of points

Source: Andersson et al., FLIP: A Difference Evaluator for Alternating Images, HPG 2020; names and constants are the paper's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

PIXELS_PER_DEGREE = 0.7 * (3840 / 0.7) * math.pi / 180
"""67: 0.7 m from a monitor of 0.7 m and 3840 pixels."""
SENSITIVITIES = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))
"""(a, b) of the Gaussians that make the contrast sensitivities of luminance, red-green and blue-yellow."""
DETECTOR = 0.082
"""Width of what detects edges and points, in degrees."""
QC, PC, PT, QF = 0.7, 0.4, 0.95, 0.5
TO_XYZ = (
    (10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794),
    (2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897),
    (1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382),
)
"""Of linear RGB; each row's sum is the white point's."""
FROM_XYZ = (
    (3.241003275, -1.537398934, -0.498615861),
    (-0.969224334, 1.875930071, 0.041554224),
    (0.055639423, -0.204011202, 1.057148933),
)
"""Its inverse as the authors round it."""
_TO_OPPONENTS = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
"""Y + 16, Cx, Cz (and L + 16, a, b) of X, Y, Z over the white point's (of their cube roots)."""


@dataclass(frozen=True)
class Seen:
    """colours: Hunt-adjusted L*a*b*. features: strength of edges, of points."""

    colours: Float32[Tensor, "3 h w"]
    features: Float32[Tensor, "2 h w"]


def see(picture: UInt8[Tensor, "3 h w"]) -> Seen:
    """What an observer sees of a picture in sRGB."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    linear = torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    to_xyz, to_opponents = (torch.tensor(matrix, dtype=torch.float64) for matrix in (TO_XYZ, _TO_OPPONENTS))
    white = to_xyz.sum(1, keepdim=True)
    opponents = _mix(
        to_opponents @ (to_xyz / white), linear.float().index_select(0, picture.flatten().int()).reshape(picture.shape)
    )
    blurred = _filtered(opponents[[0, 1, 2, 2]], *[torch.stack(_sensitivities())] * 2)
    blurred = torch.cat([blurred[:2], blurred[2:].sum(0, keepdim=True)])
    rgb = _mix(torch.tensor(FROM_XYZ).double() @ (white * torch.linalg.inv(to_opponents)), blurred).clamp(0, 1)
    smooth, edge, point = _detectors()
    luminance = (opponents[:1] / 116).expand(4, -1, -1)
    found = _filtered(luminance, torch.stack([edge, smooth, point, smooth]), torch.stack([smooth, edge, smooth, point]))
    return Seen(_hunt(rgb), found.square().reshape(2, 2, *found.shape[1:]).sum(1).sqrt())


def difference(first: Seen, second: Seen) -> Float32[Tensor, "h w"]:
    """The difference that is seen at each pixel, in [0, 1]."""
    seen = _hyab(first.colours, second.colours)
    green, blue = (_hunt(torch.tensor(colour)[:, None, None]) for colour in ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    most = float(_hyab(green, blue))
    knee = PC * most
    seen = torch.where(seen < knee, PT / knee * seen, PT + (seen - knee) * ((1 - PT) / (most - knee)))
    features = (first.features - second.features).abs().amax(0) / math.sqrt(2)
    return seen ** (1 - features**QF)


def _mix(matrix: Tensor, planes: Float32[Tensor, "3 h w"]) -> Float32[Tensor, "3 h w"]:
    return (matrix.float() @ planes.flatten(1)).reshape(planes.shape)


def _hunt(rgb: Float32[Tensor, "3 h w"]) -> Float32[Tensor, "3 h w"]:
    """L*, a*, b*, both chroma shrunk where it is dark."""
    to_xyz, to_opponents = torch.tensor(TO_XYZ), torch.tensor(_TO_OPPONENTS)
    xyz = _mix(to_xyz / to_xyz.sum(1, keepdim=True), rgb)
    delta = 6 / 29
    roots = torch.where(xyz > delta**3, xyz ** (1 / 3), xyz / (3 * delta**2) + 4 / 29)
    lab = _mix(to_opponents, roots)
    lab[0] -= 16
    lab[1:] *= 0.01 * lab[0]
    return lab


def _hyab(first: Float32[Tensor, "3 h w"], second: Float32[Tensor, "3 h w"]) -> Float32[Tensor, "h w"]:
    apart = first - second
    return (apart[0].abs() + apart[1:].square().sum(0).sqrt()) ** QC


def _sensitivities() -> list[Float32[Tensor, " taps"]]:
    """Filters along one axis; the last two are of blue-yellow and add up."""
    widest = max(b for gaussians in SENSITIVITIES for _, b in gaussians)
    radius = math.ceil(3 * math.sqrt(widest / (2 * math.pi**2)) * PIXELS_PER_DEGREE)
    degrees = torch.arange(-radius, radius + 1, dtype=torch.float64) / PIXELS_PER_DEGREE
    filters = []
    for gaussians in SENSITIVITIES:
        taps = [
            math.sqrt(a * math.sqrt(math.pi / b)) * torch.exp(-((math.pi * degrees) ** 2) / b) for a, b in gaussians
        ]
        total = sum(tap.sum() ** 2 for tap in taps)
        filters += [(tap / total**0.5).float() for tap in taps]
    return filters


def _detectors() -> tuple[Float32[Tensor, " taps"], ...]:
    """A Gaussian, its first and its second derivative; what is positive sums up to 1, what is negative to -1."""
    width = 0.5 * DETECTOR * PIXELS_PER_DEGREE
    radius = math.ceil(3 * width)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    gaussian = torch.exp(-(x**2) / (2 * width**2))
    derivatives = (-x * gaussian, (x**2 / width**2 - 1) * gaussian)
    halves = [(taps.clamp(min=0), taps.clamp(max=0)) for taps in derivatives]
    return ((gaussian / gaussian.sum()).float(), *((up / up.sum() - down / down.sum()).float() for up, down in halves))


def _filtered(
    planes: Float32[Tensor, "c h w"], across: Float32[Tensor, "c taps"], down: Float32[Tensor, "c taps"]
) -> Float32[Tensor, "c h w"]:
    """Each plane by its own filters, the border continued."""
    count, taps = across.shape
    padded = F.pad(planes[None], [taps // 2] * 4, mode="replicate").contiguous(memory_format=torch.channels_last)
    rows = F.conv2d(padded, across[:, None, None], groups=count)
    return F.conv2d(rows, down[:, None, :, None], groups=count)[0]
