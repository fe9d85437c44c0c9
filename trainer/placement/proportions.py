# SPDX-License-Identifier: BSD-3-Clause
"""How many nodes grids should have along each axis, where the volume's detail asks for fewer along one than another.

A layered volume needs hardly any nodes across its layers, and a thin one has none to learn from. The volume is reduced
to as many nodes as the network has, in several proportions, and interpolated back: what errs least is best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volumes import Volume
from .detail import interpolate, reduce, shrink

# Points at which errors are compared.
_POINTS = 1 << 15
# Proportions are powers of 2, first whole ones and then in half steps around the best; up to 4 times a cube's nodes
# along an axis, and down to a quarter.
_MOST = 2.0
# Predictions of less, dB, are not followed. Of the eight volumes of docs/recipe.md, three promise 4 dB or more, and
# gain 0.4 to 5; three promise 1 to 1.5, and lose 0.8 to 2.1, as boxes of other proportions do the same better.
_WORTH_DB = 2.5
# Smaller errors are none, as proportion of the value range, squared.
_NO_ERROR = 1e-9

Proportions = tuple[float, float, float]
CUBES: Proportions = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Found:
    """The best proportions and what they promise.

    Attributes:
        proportions: nodes along (x, y, z), in units of a cube's.
        predicted_gain_db: by how much less is lost than with cubes.
    """

    proportions: Proportions
    predicted_gain_db: float


def grid_proportions(volume: Volume, nodes: int, seed: int) -> Proportions:
    """What the resolution of grids should be proportional to along (x, y, z): all equal unless others are much better.

    Args:
        volume: what will be learned; not constant.
        nodes: of all grids.
        seed: of the points that are compared.
    """
    found = find_proportions(volume, nodes, seed)
    return found.proportions if found.predicted_gain_db >= _WORTH_DB else CUBES


def find_proportions(volume: Volume, nodes: int, seed: int) -> Found:
    """The best proportions; arguments as for `grid_proportions`."""
    components = [shrink(volume.values[..., k], limits) for k, limits in enumerate(volume.ranges)]
    points = np.random.default_rng(seed).uniform(-1.0, 1.0, (_POINTS, 3)).astype(np.float32)
    truths, cube = [interpolate(values, points) for values in components], nodes ** (1.0 / 3.0)

    def error(x: float, y: float) -> float:
        """With 2^x, 2^y and 2^-(x+y) times the nodes of a cube."""
        counts = [max(2, round(cube * 2.0**power)) for power in (-x - y, y, x)]
        # More nodes than there are lose nothing.
        shape = tuple(min(count, size) for count, size in zip(counts, components[0].shape, strict=True))
        squares = 0.0
        for values, truth in zip(components, truths, strict=True):
            difference = interpolate(reduce(values, shape), points) - truth
            squares += float(np.square(difference, dtype=np.float64).mean())
        return squares / len(components) + _NO_ERROR

    tried = {(0.0, 0.0): error(0.0, 0.0)}
    for step, radius in ((1.0, _MOST), (0.5, 0.5)):
        x0, y0 = min(tried, key=lambda powers: tried[powers])
        offsets = np.arange(-radius, radius + step / 2, step)
        for x, y in ((x0 + a, y0 + b) for a in offsets for b in offsets):
            if max(abs(x), abs(y), abs(x + y)) <= _MOST and (x, y) not in tried:
                tried[x, y] = error(x, y)
    x, y = min(tried, key=lambda powers: tried[powers])
    gain = 10.0 * np.log10(tried[0.0, 0.0] / tried[x, y])
    return Found((2.0**x, 2.0**y, 2.0 ** -(x + y)), float(gain))
