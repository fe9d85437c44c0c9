# SPDX-License-Identifier: BSD-3-Clause
"""How large a network's file is, and which network fits into a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from amgsrn_core.models import AMGSRN, AMGSRNConfig
from amgsrn_core.storage import ModelHeader, encode_model

from .errors import TargetSizeTooSmall
from .fields import Fields
from .placement import CUBES, Proportions
from .presets import GRIDS, PRESETS
from .recipes import PaperPlusRecipe
from .settings import FitSettings

# Channels, and the most features that networks with so few have: half way between the presets, on a logarithmic scale.
_CHANNELS = ((1, 1 << 18), (2, 1 << 22), (4, None))
# Shapes and offsets of larger tensors have more digits than those of the small network that is looked at.
_MORE_DIGITS = 192

SizeOf = Callable[[AMGSRNConfig], int]


def file_size(config: AMGSRNConfig, fields: Fields, training: dict[str, Any], half: bool) -> int:
    """Bytes of a model file, at most; less than 200 bytes too many.

    Args:
        config: the network.
        fields: what the network is as a field.
        training: as it will be stored, or with as many characters.
        half: whether the features are float16.
    """
    small = AMGSRN(replace(config, resolution=(2, 2, 2)))
    node, tensors = fields.stored(small, half)
    header = ModelHeader({**node, **config.to_dict()}, fields.domain, fields.array, training)
    content = len(encode_model(header, tensors))
    nodes = math.prod(config.resolution) - 8
    return content + nodes * config.grids * config.channels * (2 if half else 4) + _MORE_DIGITS


def first_network(
    settings: FitSettings,
    nodes: tuple[int, int, int],
    size_of: SizeOf,
    proportions: Proportions = CUBES,
    outputs: int = 1,
) -> AMGSRNConfig:
    """The network that a fit begins with: the preset's, or the largest that fits into the target size, or, if it may
    grow, the small one if that fits. Grids of AMGSRN++ have the proportions of the volume.

    Args:
        settings: of the fit.
        nodes: of the volume along (x, y, z).
        size_of: bytes of a network's file.
        proportions: of the grids of other recipes, see `placement.grid_proportions`.
        outputs: values per point.

    Raises:
        TargetSizeTooSmall: even the smallest network does not fit.
    """
    matched = isinstance(settings.recipe, PaperPlusRecipe)
    preset = PRESETS[settings.preset or "small"]
    config = preset.config(settings.transform, outputs)
    if matched:
        config = replace(config, resolution=matching_resolution(preset.resolution, nodes))
    elif proportions != CUBES:
        config = replace(config, resolution=resolution_within(preset.resolution**3, proportions))
    limit = settings.target_size
    if limit is None or (settings.target_psnr is not None and size_of(config) <= limit):
        return config
    return largest_network(limit, settings.transform, nodes if matched else proportions, size_of, outputs)


def largest_network(
    limit: int, transform: str, proportions: Proportions, size_of: SizeOf, outputs: int = 1
) -> AMGSRNConfig:
    """The network of the presets' family with the largest file within a limit: 16 grids of 1, 2 or 4 channels.

    Args:
        limit: bytes.
        transform: 'matrix' or 'srt'.
        proportions: what a grid's resolution along (x, y, z) is to be proportional to.
        size_of: bytes of a network's file.
        outputs: values per point.

    Raises:
        TargetSizeTooSmall: even the smallest network does not fit.
    """
    for channels, most in _CHANNELS:
        least = AMGSRNConfig(GRIDS, channels, (2, 2, 2), outputs=outputs, transform=transform)
        fixed = size_of(least)
        per_node = size_of(replace(least, resolution=(2, 2, 3))) - fixed
        # Between (2, 2, 2) and (2, 2, 3) are 4 nodes.
        nodes = 8 + int((limit - fixed) * 4 // per_node)
        if nodes < 8:
            raise TargetSizeTooSmall(limit, fixed)
        if most is None or nodes * GRIDS * channels <= most:
            break
    return replace(least, resolution=resolution_within(nodes, proportions))


def resolution_within(nodes: int, proportions: Proportions) -> tuple[int, int, int]:
    """A resolution (x, y, z) of as many nodes as there may be, about proportional to something; at least 2 each.

    Args:
        nodes: at most, from 8.
        proportions: positive; where all are equal the resolution is as near to a cube as possible.
    """
    scale = (nodes / math.prod(proportions)) ** (1.0 / 3.0)
    counts = [max(2, int(p * scale * 0.98)) for p in proportions]
    # Axes that must have 2 may have taken too much.
    while math.prod(counts) > nodes:
        counts[counts.index(max(counts))] -= 1
    while True:
        order = sorted(range(3), key=lambda axis: ((counts[axis] + 1) / proportions[axis], axis))
        for axis in order:
            if math.prod(counts) // counts[axis] * (counts[axis] + 1) <= nodes:
                counts[axis] += 1
                break
        else:
            return (counts[0], counts[1], counts[2])


def matching_resolution(resolution: int, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """A grid's resolution (x, y, z) in the proportions of a volume of so many nodes (x, y, z), with about
    `resolution`^3 nodes.

    Source: `match_aspect_ratio` of AMGSRN++: dim_i = ceil(volume_i (prod grid / prod volume)^(1/3)).
    """
    scale = resolution / math.prod(shape) ** (1.0 / 3.0)
    # Rounded first: where the cube root of a cube is a little above a whole number, that is what is meant.
    x, y, z = (max(2, math.ceil(round(n * scale, 9))) for n in shape)
    return (x, y, z)
