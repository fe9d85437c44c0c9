# SPDX-License-Identifier: BSD-3-Clause
"""Cells between nodes that lie anywhere: curvilinear and unstructured grids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hashlib import blake2b

# Cells looked at together, so that little memory is needed.
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Mesh:
    """Values at the nodes of a mesh, and its cells.

    Attributes:
        points: world coordinates of the nodes, float64 (n, 3), x, y, z.
        values: float32 (n, c); NaN where missing.
        hexahedra: nodes of each, int64 (k, 8) in VTK's order (0-3 around the bottom, 4-7 above them).
        tetrahedra: nodes of each, int64 (k, 4).
    """

    points: np.ndarray
    values: np.ndarray
    hexahedra: np.ndarray
    tetrahedra: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, values: np.ndarray, hexahedra: np.ndarray, tetrahedra: np.ndarray) -> Mesh:
        """A mesh whose cells are turned the right way round; cells with a corner that is not finite, tetrahedra
        without volume, and nodes without cells are left out."""
        finite = np.isfinite(points).all(axis=1)
        hexahedra = hexahedra[finite[hexahedra].all(axis=1)]
        tetrahedra = tetrahedra[finite[tetrahedra].all(axis=1)]
        for block in _blocks(hexahedra):
            inverted = _signs(points[block]) < 0
            block[inverted] = block[inverted][:, [4, 5, 6, 7, 0, 1, 2, 3]]
        kept = np.ones(len(tetrahedra), dtype=bool)
        for start, block in zip(range(0, len(tetrahedra), _BLOCK), _blocks(tetrahedra), strict=True):
            corners = points[block]
            edges = corners[:, 1:] - corners[:, :1]
            volumes = np.linalg.det(edges)
            kept[start : start + len(block)] = np.abs(volumes) > 1e-12 * np.abs(edges).max(axis=(1, 2)) ** 3
            inverted = volumes < 0
            block[inverted] = block[inverted][:, [0, 1, 3, 2]]
        return cls(points, values, hexahedra, tetrahedra[kept]).without_loose_nodes()

    def without_loose_nodes(self) -> Mesh:
        """The same without nodes that belong to no cell."""
        used = np.zeros(len(self.points), dtype=bool)
        used[self.hexahedra.reshape(-1)] = True
        used[self.tetrahedra.reshape(-1)] = True
        if used.all():
            return self
        number = np.cumsum(used) - 1
        return Mesh(self.points[used], self.values[used], number[self.hexahedra], number[self.tetrahedra])

    def within(self, low: np.ndarray, high: np.ndarray) -> Mesh:
        """The cells that reach into a box, world coordinates (3,) each."""
        parts = []
        for cells in (self.hexahedra, self.tetrahedra):
            kept = [block[((b >= low) & (a <= high)).all(axis=1)] for block, a, b in boxes(self.points, cells)]
            parts.append(np.concatenate(kept) if kept else cells)
        return Mesh(self.points, self.values, *parts).without_loose_nodes()

    def add_to(self, digest: blake2b) -> None:
        """Feed all of it to a hash."""
        for array in (self.points, self.values, self.hexahedra, self.tetrahedra):
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def boxes(points: np.ndarray, cells: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cells block by block (k, corners), with the lowest and the highest coordinates of their corners (k, 3)."""
    for block in _blocks(cells):
        low = points[block[:, 0]]
        high = low.copy()
        for corner in block.T[1:]:
            np.minimum(low, points[corner], out=low)
            np.maximum(high, points[corner], out=high)
        yield block, low, high


def _blocks(cells: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(cells), _BLOCK):
        yield cells[start : start + _BLOCK]


def _signs(corners: np.ndarray) -> np.ndarray:
    """Signed volumes (k,) of the parallelepipeds that hexahedra (k, 8, 3) are nearest to."""
    r = corners[:, [1, 2, 5, 6]].sum(axis=1) - corners[:, [0, 3, 4, 7]].sum(axis=1)
    s = corners[:, [2, 3, 6, 7]].sum(axis=1) - corners[:, [0, 1, 4, 5]].sum(axis=1)
    t = corners[:, [4, 5, 6, 7]].sum(axis=1) - corners[:, [0, 1, 2, 3]].sum(axis=1)
    return np.einsum("ki,ki->k", np.cross(r, s), t)
