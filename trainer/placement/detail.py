# SPDX-License-Identifier: BSD-3-Clause
"""How finely each part of a volume has to be sampled: the error of interpolating it from grids of growing resolution.

The volume is cut into cells. For each of a series of resolutions R, the volume is reduced to R^3 nodes and interpolated
back; the mean squared error per cell tells how much is lost there with that density of nodes. Placement of feature grids
uses the table as a model of a network's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from amgsrn_core import kernels

CELLS = 24
RESOLUTIONS = (2, 4, 8, 12, 18, 24, 32, 40, 52, 64, 80, 104)
# Points at which the error is measured: about thirty per cell.
_POINTS_PER_AXIS = 74
# Larger volumes are averaged down to about this many nodes per axis first: finer detail is beyond any grid's reach.
_LARGEST_AXIS = 160
# Width of the smoothing before reduction, in units of the reduction factor: suppresses what R nodes cannot hold.
_SMOOTHING = 0.45


@dataclass(frozen=True)
class DetailTable:
    """Squared interpolation error by node density and place.

    Attributes:
        log_nodes: natural logarithm of the number of nodes over the whole domain, ascending, (k,).
        errors: mean squared error in units of the value ranges, averaged over components, (k, CELLS^3), never growing
            along the first axis; cells in [z, y, x] order.
    """

    log_nodes: np.ndarray
    errors: np.ndarray

    def total(self, nodes: np.ndarray) -> float:
        """Summed error where cell i has the density `nodes[i]` (nodes per domain volume), linear in its logarithm."""
        position = np.log(np.maximum(nodes, np.exp(self.log_nodes[0])))
        row = np.clip(np.searchsorted(self.log_nodes, position) - 1, 0, len(self.log_nodes) - 2)
        weight = np.clip((position - self.log_nodes[row]) / (self.log_nodes[row + 1] - self.log_nodes[row]), 0.0, 1.0)
        cell = np.arange(self.errors.shape[1])
        return float((self.errors[row, cell] * (1 - weight) + self.errors[row + 1, cell] * weight).sum())


def measure_detail(values: np.ndarray, ranges: Sequence[tuple[float, float]], seed: int = 0) -> DetailTable:
    """The detail table of a volume.

    Args:
        values: float32 [z, y, x, c], data units; NaN where missing (counted as the lowest value).
        ranges: (lowest, highest) finite value of each component.
        seed: of the measuring points.
    """
    points, cell = _measuring_points(seed)
    count = np.maximum(np.bincount(cell, minlength=CELLS**3), 1)
    table = np.zeros((len(RESOLUTIONS), CELLS**3))
    for component, value_range in enumerate(ranges):
        reduced = shrink(values[..., component], value_range)
        truth, errors = interpolate(reduced, points), []
        for resolution in RESOLUTIONS:
            difference = interpolate(reduce(reduced, (resolution,) * 3), points) - truth
            errors.append(np.bincount(cell, difference.astype(np.float64) ** 2, minlength=CELLS**3) / count)
        # More nodes never hurt a network, though interpolation from unlucky positions can.
        table += np.minimum.accumulate(np.array(errors), axis=0)
    return DetailTable(3.0 * np.log(np.array(RESOLUTIONS, dtype=np.float64)), table / len(ranges))


def shrink(values: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """A component [z, y, x] in units of its range, averaged down to about 160 nodes per axis; missing values count as
    the lowest."""
    low, high = value_range
    averaged = _averaged(values) - np.float32(low)
    averaged *= np.float32(1.0 / ((high - low) or 1.0))
    return np.nan_to_num(averaged, copy=False)


def _averaged(values: np.ndarray) -> np.ndarray:
    factors = [max(1, round(size / _LARGEST_AXIS)) for size in values.shape]
    if max(factors) == 1:
        return values
    sizes = [size // factor for size, factor in zip(values.shape, factors, strict=True)]
    result = np.zeros(sizes, dtype=np.float32)
    # Summed from strided views: no second copy of a large volume.
    for offset in np.ndindex(*factors):
        start = [slice(o, o + s * f, f) for o, s, f in zip(offset, sizes, factors, strict=True)]
        result += values[tuple(start)] * np.float32(1.0 / np.prod(factors))
    return result


def _measuring_points(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Jittered lattice of points (n, 3) as x, y, z and the cell of each (n,)."""
    lattice = np.stack(np.meshgrid(*[np.arange(_POINTS_PER_AXIS)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    random = np.random.default_rng(seed)
    unit = (lattice[:, ::-1] + random.random(lattice.shape)) / _POINTS_PER_AXIS
    index = np.minimum((unit * CELLS).astype(np.int64), CELLS - 1)
    cell = (index[:, 2] * CELLS + index[:, 1]) * CELLS + index[:, 0]
    return (2.0 * unit - 1.0).astype(np.float32), cell


def interpolate(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values (n,) of an array [z, y, x] at normalized points (n, 3)."""
    contiguous = np.ascontiguousarray(values, dtype=np.float32)
    return kernels.sample_volume(torch.from_numpy(contiguous), torch.from_numpy(points)).numpy()


def reduce(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array [z, y, x] smoothed and interpolated at other nodes, `shape` of them."""
    for axis, (size, count) in enumerate(zip(values.shape, shape, strict=True)):
        values = np.moveaxis(np.tensordot(_reduction(size, count), values, axes=(1, axis)), 0, axis)
    return values


def _reduction(size: int, resolution: int) -> np.ndarray:
    """Weights (resolution, size) that smooth an axis of `size` nodes and interpolate it at `resolution` nodes."""
    node = np.linspace(0.0, size - 1.0, resolution)[:, None]
    distance = np.abs(np.arange(size)[None, :] - node)
    width = _SMOOTHING * max(size / resolution - 1.0, 0.0)
    weights = np.maximum(1.0 - distance, 0.0) if width < 0.1 else np.exp(-0.5 * (distance / max(width, 0.3)) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
