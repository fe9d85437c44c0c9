# SPDX-License-Identifier: BSD-3-Clause
"""Training samples: points of a volume and the values there.

What a step draws depends on nothing but (seed, step), so that an interrupted fit goes on exactly as if it had not been.
Points are (x, y, z) in [-1, 1]^3, targets are in units of the value range: 0 is the volume's lowest value, 1 its
highest. Missing values are never drawn; where a part is missing, correspondingly more points are tried.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from .volumes import Volume

# Of a volume that is nearly all missing, batches are smaller rather than the search for valid points longer.
_MOST_TRIES_PER_POINT = 16.0
# Cells of the lattice along each edge of a brick: 64 points, a block of the compiled kernels.
_BRICK = 4


class Sampler(ABC):
    """Draws batches from a volume.

    Args:
        volume: the volume; its values are not copied.
        batch: points per step, about: stratified samplers round it to a lattice, and missing values make it vary.
        seed: of the random numbers.
    """

    def __init__(self, volume: Volume, batch: int, seed: int) -> None:
        self._values = volume.values
        self._flat = volume.values.reshape(-1)
        self._low = np.float32(volume.value_range[0])
        span = volume.value_range[1] - volume.value_range[0]
        self._scale = np.float64(1.0 / span if span > 0 else 0.0)
        self._seed = seed
        self._all_valid = volume.missing == 0
        tries = min(_MOST_TRIES_PER_POINT, volume.values.size / volume.valid)
        self.tries = max(1, round(batch * tries))

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step: points float32 (n, 3) and targets float32 (n,), on the CPU; n may be 0 where much is
        missing."""
        random = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 0, step]))
        points, values = self._draw(random)
        if not self._all_valid:
            valid = np.isfinite(values)
            points, values = points[valid], values[valid]
        targets = ((values.astype(np.float64) - self._low) * self._scale).astype(np.float32)
        return torch.from_numpy(points), torch.from_numpy(targets)

    @abstractmethod
    def _draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points float32 (n, 3) and values float32 (n,) in data units, NaN where missing."""


class UniformSampler(Sampler):
    """Independent points, equally likely everywhere, values interpolated (the paper's)."""

    def _draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        points = 2.0 * random.random((self.tries, 3), dtype=np.float32) - 1.0
        return points, trilinear(self._values, points)


class StratifiedSampler(Sampler):
    """One random point in each cell of a lattice over the volume, values interpolated: less noise per batch than
    independent points."""

    def __init__(self, volume: Volume, batch: int, seed: int) -> None:
        super().__init__(volume, batch, seed)
        self.lattice = lattice_shape(volume.values.shape, self.tries)
        self._corners = _lattice_corners(self.lattice)

    def _fractions(self, random: np.random.Generator) -> np.ndarray:
        """A random position in each cell: float32 (3, cells) as z, y, x in [0, 1]."""
        jitter = random.random(self._corners.shape, dtype=np.float32)
        jitter += self._corners
        jitter *= np.float32(1.0) / np.array(self.lattice, dtype=np.float32)[:, None]
        return jitter

    def _draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        points = np.ascontiguousarray(2.0 * self._fractions(random)[::-1].T - 1.0)
        return points, trilinear(self._values, points)


class VoxelSampler(StratifiedSampler):
    """A random node in each cell of a lattice, equally likely every one; nothing is interpolated.

    A network with fewer parameters than the volume has values cannot cheat between the nodes, and is better at them (by
    0.2 to 0.5 dB) when nothing else is asked of it.
    """

    def _draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shape = self._values.shape
        fractions = self._fractions(random)
        nodes = [np.minimum((f * n).astype(np.int64), n - 1) for f, n in zip(fractions, shape, strict=True)]
        values = self._flat[(nodes[0] * shape[1] + nodes[1]) * shape[2] + nodes[2]]
        points = np.empty((len(values), 3), dtype=np.float32)
        for column, axis in enumerate((2, 1, 0)):
            np.multiply(nodes[axis], 2.0 / (shape[axis] - 1), out=points[:, column], casting="same_kind")
        points -= 1.0
        return points, values


def lattice_shape(shape: tuple[int, ...], cells: int) -> tuple[int, int, int]:
    """A lattice (z, y, x) of about `cells` cells, as near to cubes of nodes as possible; at most one cell per node."""
    counts = [1, 1, 1]
    left, free = float(cells), sorted(range(3), key=lambda axis: shape[axis])
    while free:
        nodes = np.prod([float(shape[axis]) for axis in free])
        axis = free.pop(0)
        counts[axis] = int(np.clip(round(shape[axis] * (left / nodes) ** (1.0 / (len(free) + 1))), 1, shape[axis]))
        left /= counts[axis]
    return (counts[0], counts[1], counts[2])


def trilinear(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values between nodes.

    Args:
        values: float32 [z, y, x].
        points: (n, 3) as (x, y, z) in [-1, 1].

    Returns:
        float32 (n,); NaN where one of the eight nodes around is missing.
    """
    depth, height, width = values.shape
    cells, weights = [], []
    for column, count in enumerate((width, height, depth)):
        index = (points[:, column].astype(np.float64) + 1.0) * (0.5 * (count - 1))
        cell = np.clip(index.astype(np.int64), 0, count - 2)
        cells.append(cell)
        weights.append((index - cell).astype(np.float32))
    flat, base = values.reshape(-1), (cells[2] * height + cells[1]) * width + cells[0]
    x, y, z = weights
    rows = [
        _lerp(flat[base + offset], flat[base + offset + 1], x)
        for offset in (0, width, height * width, (height + 1) * width)
    ]
    return _lerp(_lerp(rows[0], rows[1], y), _lerp(rows[2], rows[3], y), z)


def _lerp(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    # Not a + w (b - a): the difference of two large values of opposite sign may not fit.
    return a * (np.float32(1.0) - weight) + b * weight


def _lattice_corners(lattice: tuple[int, int, int]) -> np.ndarray:
    """Lower corners of all cells, float32 (3, cells) as z, y, x, in cells.

    Brick by brick: points that follow each other are near each other, and so are the grid nodes that kernels read.
    """
    cells = np.indices(lattice).reshape(3, -1)
    bricks = cells // _BRICK
    order = np.lexsort((*cells[::-1], *bricks[::-1]))
    return cells[:, order].astype(np.float32)
