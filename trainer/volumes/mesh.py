# SPDX-License-Identifier: BSD-3-Clause
"""Cells between nodes that lie anywhere: curvilinear and unstructured grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hashlib import blake2b


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

    def add_to(self, digest: blake2b) -> None:
        """Feed all of it to a hash."""
        for array in (self.points, self.values, self.hexahedra, self.tetrahedra):
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
