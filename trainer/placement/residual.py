# SPDX-License-Identifier: BSD-3-Clause
"""Where a network errs, and how many of its nodes are there: the domain cut into cells, each with both."""

from __future__ import annotations

import numpy as np
import torch

from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN

from ..sampling import VoxelSampler
from ..volumes import Volume

# Cells along an axis at most, fewer where there are fewer nodes: grids have about as many.
_MOST_CELLS = 16
# Voxels at which the error is measured, about: thirty per cell, 0.04 s of one core for the small network.
_VOXELS = 1 << 17
# Part of the mean that every cell's error has at least: what happened not to be drawn may err, too.
_FLOOR = 0.05


class Cells:
    """The domain cut into cells; arrays of cells are [z, y, x].

    Attributes:
        shape: number of cells (z, y, x).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._centres = [(np.arange(n) + 0.5) / n * 2.0 - 1.0 for n in shape[::-1]]

    @classmethod
    def of(cls, volume: Volume) -> Cells:
        """Cells that all have nodes of a volume."""
        z, y, x = (min(_MOST_CELLS, size) for size in volume.shape)
        return cls((z, y, x))

    def in_box(self, box: np.ndarray) -> np.ndarray:
        """The part of each cell inside a box (6,), centre and half size along x, y, z."""
        x, y, z = (
            np.clip((box[3 + k] - np.abs(centres - box[k])) * (len(centres) / 2) + 0.5, 0.0, 1.0)
            for k, centres in enumerate(self._centres)
        )
        return z[:, None, None] * y[:, None] * x

    def in_grid(self, transform: np.ndarray) -> np.ndarray:
        """The part of each cell inside a grid, about, from the transform (4, 4) into its own [-1, 1]^3."""
        z, y, x = np.meshgrid(*self._centres[::-1], indexing="ij", sparse=True)
        inside = np.ones(self.shape)
        for row in transform[:3]:
            local = row[0] * x + row[1] * y + row[2] * z + row[3]
            size = sum(abs(row[k]) * 2.0 / len(self._centres[k]) for k in range(3))
            inside *= np.clip((1.0 - np.abs(local)) / size + 0.5, 0.0, 1.0)
        return inside

    def index(self, points: np.ndarray) -> np.ndarray:
        """The flat index of the cell that each point (n, 3) is in, (n,)."""
        count = np.array(self.shape[::-1])
        x, y, z = np.clip(((points + 1.0) * 0.5 * count).astype(np.int64), 0, count - 1).T
        return (z * self.shape[1] + y) * self.shape[2] + x


def measure_residual(
    network: AMGSRN, volume: Volume, cells: Cells, seed: int, step: int = 0, voxels: int = _VOXELS
) -> np.ndarray:
    """Mean squared error of a network in each cell, in units of the value ranges squared, averaged over
    components; 0 where all is missing.

    Args:
        network: as it is now.
        volume: what it learns.
        cells: of the result.
        seed, step: of the choice of voxels.
        voxels: how many, about.
    """
    return residual_at(network, *VoxelSampler(volume, voxels, seed).draw(step), cells)


@torch.inference_mode()
def residual_at(network: AMGSRN, points: torch.Tensor, targets: torch.Tensor, cells: Cells) -> np.ndarray:
    """The same of given points float32 (n, 3) and targets (n, c); 0 where there is no point."""
    evaluate = kernels.evaluator(network.transforms(), network.grids, *network.mlp_parameters())
    device = network.grids.device
    errors = (evaluate(points.to(device)).cpu().double() - targets).square().mean(dim=1).numpy()
    index, size = cells.index(points.numpy()), int(np.prod(cells.shape))
    count = np.bincount(index, minlength=size)
    mean = np.bincount(index, errors, minlength=size) / np.maximum(count, 1)
    floor = _FLOOR * float(errors.mean()) if len(errors) else 0.0
    return np.where(count > 0, np.maximum(mean, floor), 0.0).reshape(cells.shape)
