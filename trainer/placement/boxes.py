# SPDX-License-Identifier: BSD-3-Clause
"""Axis-aligned boxes for the feature grids, searched so that nodes are dense where the data needs them.

A grid of n nodes in a box of half sizes h has the density n / (hx hy hz) inside. The search moves boxes at random and
keeps what lowers the error that the detail table predicts for the summed density. It takes a second or two, and its
predicted gain tells beforehand whether placement pays on a volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detail import CELLS, DetailTable

_STEPS = 3000
_SMALLEST_HALF_SIZE = 0.2
# Part of the search in which small losses are accepted, to leave poor optima.
_WARM = 0.6
_ACCEPTED_LOSS = 2e-4


@dataclass(frozen=True)
class SearchResult:
    """Boxes and what they promise.

    Attributes:
        boxes: (m, 6), centre and half size along x, y, z in normalized coordinates.
        predicted_gain_db: by how much the table's error is lower than with all grids over the whole domain.
    """

    boxes: np.ndarray
    predicted_gain_db: float


class BoxSearch:
    """The search over one volume.

    Args:
        table: the volume's detail.
        nodes: nodes per grid.
        grids: number of grids.
        fixed: how many of the first grids stay over the whole domain; with fewer than four, some volumes are ruined.
    """

    def __init__(self, table: DetailTable, nodes: int, grids: int, fixed: int) -> None:
        self._table, self._nodes, self._grids, self._fixed = table, nodes, grids, min(fixed, grids)
        self._centres = (np.arange(CELLS) + 0.5) / CELLS * 2.0 - 1.0

    def run(self, seed: int = 0, steps: int = _STEPS) -> SearchResult:
        """Search; the same seed gives the same boxes."""
        random = np.random.default_rng(seed)
        boxes = np.zeros((self._grids, 6))
        boxes[:, 3:] = 1.0
        shares = [self._density(box) for box in boxes]
        density = np.sum(shares, axis=0)
        error = start = self._table.total(density)
        if self._fixed == self._grids or start <= 0.0:
            return SearchResult(boxes, 0.0)
        for step in range(steps):
            grid = int(random.integers(self._fixed, self._grids))
            box = _moved(boxes[grid], random)
            share = self._density(box)
            candidate = density - shares[grid] + share
            new_error = self._table.total(candidate)
            tolerance = -_ACCEPTED_LOSS * np.log(random.random()) if step < _WARM * steps else 0.0
            if new_error < error * (1.0 + tolerance):
                boxes[grid], shares[grid], density, error = box, share, candidate, new_error
        return SearchResult(boxes, float(10.0 * np.log10(start / error)))

    def _density(self, box: np.ndarray) -> np.ndarray:
        """Nodes per domain volume that a box adds to each cell, (CELLS^3,); cells on its faces count in part."""
        x, y, z = (
            np.clip((box[3 + k] - np.abs(self._centres - box[k])) * (CELLS / 2) + 0.5, 0.0, 1.0) for k in range(3)
        )
        inside = z[:, None, None] * y[:, None] * x
        return (self._nodes / np.prod(box[3:])) * inside.ravel()


def _moved(box: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A random change of a box, kept inside the domain."""
    centre, half = box[:3].copy(), box[3:].copy()
    kind, axis = random.random(), int(random.integers(3))
    if kind < 0.15:  # somewhere else
        centre, half = random.uniform(-1, 1, 3), random.uniform(_SMALLEST_HALF_SIZE, 1, 3)
    elif kind < 0.25:  # the whole domain
        centre, half = np.zeros(3), np.ones(3)
    elif kind < 0.6:  # longer or shorter
        half[axis] *= np.exp(0.3 * random.normal())
    elif kind < 0.8:  # shifted
        centre += 0.15 * random.normal(size=3)
    else:  # one face moved
        faces = np.array([centre[axis] - half[axis], centre[axis] + half[axis]])
        faces[int(random.integers(2))] += 0.2 * random.normal()
        low, high = np.clip(faces, -1.0, 1.0)
        if high - low >= 2 * _SMALLEST_HALF_SIZE:
            centre[axis], half[axis] = (low + high) / 2, (high - low) / 2
    half = np.clip(half, _SMALLEST_HALF_SIZE, 1.0)
    return np.concatenate([np.clip(centre, half - 1.0, 1.0 - half), half])
