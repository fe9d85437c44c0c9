# SPDX-License-Identifier: BSD-3-Clause
"""Which bricks take part in the values at points: the geometry of `Partition` for many points at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch

from ...partition import Partition


@dataclass(frozen=True)
class Entries:
    """Pairs of a point and a brick that has a weight there, at most eight per point.

    Attributes:
        points: int64 (e,), numbers of the points.
        bricks: int64 (e,).
        weights: float64 (e,), above 0; those of a point sum to one.
        local: float32 (e, 3), the point in the brick's own normalized coordinates.
    """

    points: torch.Tensor
    bricks: torch.Tensor
    weights: torch.Tensor
    local: torch.Tensor

    def chosen(self, where: torch.Tensor) -> Entries:
        """Those with numbers, or where a mask is true."""
        return Entries(self.points[where], self.bricks[where], self.weights[where], self.local[where])


class Geometry:
    """A partition's tables on a device."""

    def __init__(self, partition: Partition, device: torch.device) -> None:
        def table(numbers: list[float] | list[tuple[float, float]]) -> torch.Tensor:
            return torch.tensor(numbers, dtype=torch.float64, device=device)

        self._bricks = partition.bricks
        self._starts = [table(partition.blend_starts(axis)) for axis in range(3)]
        self._widths = [partition.blend_width(axis) for axis in range(3)]
        self._maps = [table(partition.axis_maps(axis)) for axis in range(3)]

    def entries(self, points: torch.Tensor) -> Entries:
        """Of points (n, 3), normalized coordinates of the volume."""
        axes = [list(self._along(axis, points[:, axis].double())) for axis in range(3)]
        nx, ny, _ = self._bricks
        parts = []
        for (ix, wx, x), (iy, wy, y), (iz, wz, z) in product(*axes):
            weights = wx * wy * wz
            where = torch.nonzero(weights > 0)[:, 0]
            local = torch.stack([x, y, z], dim=1)[where].to(points.dtype)
            parts.append(Entries(where, (ix + nx * (iy + ny * iz))[where], weights[where], local))
        return Entries(
            torch.cat([part.points for part in parts]),
            torch.cat([part.bricks for part in parts]),
            torch.cat([part.weights for part in parts]),
            torch.cat([part.local for part in parts]),
        )

    def _along(self, axis: int, coordinate: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """The one or two bricks that may have a weight along an axis: number (n,), weight (n,) and local coordinate (n,)
        of each."""
        starts, width, maps = self._starts[axis], self._widths[axis], self._maps[axis]
        upper = torch.searchsorted(starts, coordinate.contiguous(), right=True)
        share = torch.ones_like(coordinate)
        if len(starts) and width > 0:
            # How far the upper brick has taken over from the one below, of which the first has none.
            below = (upper - 1).clamp(min=0)
            passed = ((coordinate - starts[below]) / width).clamp(0.0, 1.0)
            share = torch.where(upper > 0, passed * passed * (3.0 - 2.0 * passed), share)
            yield below, 1.0 - share, maps[below, 0] * coordinate + maps[below, 1]
        yield upper, share, maps[upper, 0] * coordinate + maps[upper, 1]
