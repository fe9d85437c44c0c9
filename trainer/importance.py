# SPDX-License-Identifier: BSD-3-Clause
"""Training samples that are drawn more often where the network errs.

The volume is cut into cells. Now and then the network's error is measured in each; from then on samples are spread over
the cells in proportion to the root of the mean squared error. The loss is not weighted to undo that: what is drawn more
often also counts more.
"""

from __future__ import annotations

import numpy as np
import torch

from amgsrn_core.models import AMGSRN

from .error_map import PLACES, ErrorMap
from .placement import Cells, measure_residual
from .sampling import VolumeSampler
from .volumes import Volume


class ImportanceSampler(VolumeSampler):
    """Random nodes, or points between them, more of them where the error was; as evenly spread as a lattice otherwise.

    Args:
        volume, batch, seed: as for all samplers.
        snap: draw nodes; else any points, values interpolated.
    """

    def __init__(self, volume: Volume, batch: int, seed: int, snap: bool) -> None:
        super().__init__(volume, batch, seed)
        self._volume, self._batch, self._snap = volume, batch, snap
        self._cells = Cells.of(volume)
        bounds = [_bounds(count, size) for count, size in zip(self._cells.shape, volume.shape, strict=True)]
        cells = np.indices(self._cells.shape).reshape(3, -1)
        first = np.stack([bound[index] for bound, index in zip(bounds, cells, strict=True)])
        size = np.stack([np.diff(bound)[index] for bound, index in zip(bounds, cells, strict=True)])
        self._nodes = size.prod(axis=0).astype(np.float64)
        self._valid = self._nodes if self._all_valid else _count_valid(volume.values[..., 0], bounds)
        # What makes a cell likely, all else being equal.
        self._extent = self._nodes if snap else np.ones_like(self._nodes)
        # Per cell, its low corner and size along x, y, z, (3, cells): in nodes, or in cells.
        self._corner = (first if snap else cells)[::-1].astype(np.float32)
        self._size = size[::-1].astype(np.float32) if snap else np.ones_like(self._corner)
        units = np.array(volume.shape) - 1 if snap else np.array(self._cells.shape)
        self._scale = (2.0 / units[::-1, None]).astype(np.float32)
        _, ny, nx = volume.shape
        self._strides = np.array([1.0, nx, nx * ny])
        self._map = ErrorMap(self._nodes.size)
        self._focus()

    def attend(self, step: int, network: AMGSRN) -> None:
        if not self._map.is_due(step):
            return
        self._map.learn(measure_residual(network, self._volume, self._cells, self._seed, step, PLACES).ravel())
        self._focus()

    @property
    def errors(self) -> np.ndarray:
        """The error that is known of each cell, float32 (cells,)."""
        return self._map.errors

    def state(self) -> dict[str, torch.Tensor]:
        return {"errors": torch.from_numpy(self.errors)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self._map.errors = state["errors"].numpy().copy()
        self._focus()

    def _focus(self) -> None:
        """Decide how many samples each cell gets."""
        extent = np.where(self._valid > 0, self._extent, 0.0)
        weights = extent * self._map.attraction()
        if self._map.known:
            self.bias = float(np.average(self.errors, weights=weights) / np.average(self.errors, weights=extent))
        # Where values are missing, more is drawn: what is missing is thrown away.
        valid = (weights * self._valid / self._nodes).sum() / weights.sum()
        self._ends = np.cumsum(weights) / weights.sum() * min(self._batch / valid, self.tries)

    def _draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        random = np.random.Generator(np.random.SFC64([self._seed, step]))
        ticks = np.floor(self._ends + random.random()).astype(np.int64)
        cell = np.repeat(np.arange(ticks.size), np.diff(ticks, prepend=0))
        places = random.random((3, cell.size), dtype=np.float32)
        places *= self._size.take(cell, axis=1)
        if self._snap:
            # Below the size, whatever was drawn: rounding does not reach it.
            np.floor(places, out=places)
        places += self._corner.take(cell, axis=1)
        points = torch.from_numpy(np.ascontiguousarray((places * self._scale - np.float32(1.0)).T))
        if self._snap:
            return points, self._targets.at_nodes(torch.from_numpy((self._strides @ places).astype(np.int64)))
        return points, self._targets.at(points)


def _bounds(count: int, size: int) -> np.ndarray:
    """The first node of each of `count` cells along an axis of `size` nodes, and the end, (count + 1,)."""
    bounds = np.ceil(np.arange(count + 1) * (size - 1) / count).astype(np.int64)
    bounds[-1] = size
    return bounds


def _count_valid(values: np.ndarray, bounds: list[np.ndarray]) -> np.ndarray:
    """Valid values [z, y, x] per cell, (cells,)."""
    count = np.isfinite(values)
    for axis, bound in enumerate(bounds):
        count = np.add.reduceat(count, bound[:-1], axis=axis, dtype=np.float64)
    return count.ravel()
