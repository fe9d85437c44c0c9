# SPDX-License-Identifier: BSD-3-Clause
"""Which grids a network needs least where they are, and the boxes in which it needs them most.

The error of a cell is taken to fall with the density of nodes there, as density^-0.8, from what was measured at the
present density. Grids are taken out where that costs least, and put into boxes where it gains most, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .residual import Cells

_EXPONENT = -0.8
# Density that nodes outside all grids are taken to have: the MLP's constant is not nothing.
_LEAST_DENSITY = 500.0
_SMALLEST_HALF_SIZE = 0.2
# Boxes tried per grid; of them, the first part anywhere, the others near the best one.
_TRIES, _ANYWHERE = 300, 0.4
# A box that covers the same cells, to this part, is not worth beginning anew.
_SAME = 0.8


@dataclass(frozen=True)
class Insertion:
    """Grids and where they are to go.

    Attributes:
        grids: their indices, ascending.
        boxes: (len(grids), 6), centre and half size along x, y, z in normalized coordinates.
        predicted_gain_db: by how much the modelled error falls.
    """

    grids: list[int]
    boxes: np.ndarray
    predicted_gain_db: float


def find_insertion(
    errors: np.ndarray, transforms: np.ndarray, nodes: int, fixed: int, count: int, random: np.random.Generator
) -> Insertion:
    """Choose grids to be moved, and their boxes.

    Args:
        errors: mean squared error per cell [z, y, x].
        transforms: (m, 4, 4), from the domain into each grid's [-1, 1]^3.
        nodes: of each grid.
        fixed: so many of the first grids stay where they are.
        count: of the others, so many are tried elsewhere; fewer move where the best place is the one they have.
        random: of the search.
    """
    cells = Cells((errors.shape[0], errors.shape[1], errors.shape[2]))
    shares = [cells.in_grid(matrix) * (nodes * abs(np.linalg.det(matrix[:3, :3]))) for matrix in transforms]
    density = np.sum(shares, axis=0)
    model = _Model(errors, density)
    taken: list[int] = []
    free = list(range(fixed, len(shares)))
    for _ in range(min(count, len(free))):
        grid = min(free, key=lambda m: model.error(density - shares[m]))
        free.remove(grid)
        taken.append(grid)
        density = density - shares[grid]
    moved = {}
    for grid in taken:
        box, share = _best_box(model, cells, density, nodes, random)
        overlap = np.minimum(share, shares[grid]).sum() / max(np.maximum(share, shares[grid]).sum(), 1e-30)
        if overlap < _SAME:
            moved[grid] = box
        else:
            share = shares[grid]
        density = density + share
    before, after = model.start, model.error(density)
    gain = float(10.0 * np.log10(before / after)) if before > 0.0 else 0.0
    grids = sorted(moved)
    return Insertion(grids, np.array([moved[grid] for grid in grids]).reshape(-1, 6), gain)


class _Model:
    """The summed error at any density of nodes, from the error at the present one."""

    def __init__(self, errors: np.ndarray, density: np.ndarray) -> None:
        self._weights = errors * np.maximum(density, _LEAST_DENSITY) ** -_EXPONENT
        self.start = float(errors.sum())

    def error(self, density: np.ndarray) -> float:
        return float((self._weights * np.maximum(density, _LEAST_DENSITY) ** _EXPONENT).sum())


def _best_box(
    model: _Model, cells: Cells, density: np.ndarray, nodes: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The box (6,) in which a grid of so many nodes lowers the error most, and the density that it adds to each cell."""
    box = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    share = _share(cells, box, nodes)
    error = model.error(density + share)
    for trial in range(_TRIES):
        if trial < _ANYWHERE * _TRIES:
            candidate = np.concatenate([random.uniform(-1, 1, 3), random.uniform(_SMALLEST_HALF_SIZE, 1, 3)])
        else:
            candidate, axis = box.copy(), int(random.integers(3))
            if random.random() < 0.5:
                candidate[axis] += 0.12 * random.normal()
            else:
                candidate[3 + axis] *= np.exp(0.25 * random.normal())
        half = np.clip(candidate[3:], _SMALLEST_HALF_SIZE, 1.0)
        candidate = np.concatenate([np.clip(candidate[:3], half - 1.0, 1.0 - half), half])
        new_share = _share(cells, candidate, nodes)
        new_error = model.error(density + new_share)
        if new_error < error:
            box, share, error = candidate, new_share, new_error
    return box, share


def _share(cells: Cells, box: np.ndarray, nodes: int) -> np.ndarray:
    return cells.in_box(box) * (nodes / np.prod(box[3:]))
