# SPDX-License-Identifier: BSD-3-Clause
"""Training samples from the cells of a mesh: points anywhere inside, values interpolated in the cell.

Points are equally likely everywhere in space until it is known where the network errs, then more likely there, as in
`importance`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from amgsrn_core.models import AMGSRN

from .error_map import PLACES, ErrorMap
from .hexahedra import density_coefficients, spread, trilinear_weights
from .placement import Cells, residual_at
from .sampling import Sampler
from .volumes import Mesh, Volume

# Cells whose volumes are computed together.
_BLOCK = 1 << 14


class MeshSampler(Sampler):
    """Points in the cells of a volume's mesh whose nodes all have values.

    Args:
        volume: with a mesh.
        batch: points per step, about: those outside a part of a domain are left out.
        seed: of the random numbers.
        follow: whether samples follow the error.
    """

    def __init__(self, volume: Volume, batch: int, seed: int, follow: bool) -> None:
        assert volume.mesh is not None
        self._batch, self._seed, self._follow = batch, seed, follow
        self._cells = _Cells(volume.mesh, _nodes(volume, volume.mesh))
        self._groups = Cells.of(volume)
        self._group_of = self._groups.index(self._cells.centres())
        self._map = ErrorMap(int(np.prod(self._groups.shape)))
        self._even = np.cumsum(self._cells.volumes)
        self._focus()

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._draw(self._ends, self._batch, (self._seed, step))

    def attend(self, step: int, network: AMGSRN) -> None:
        if not self._follow or not self._map.is_due(step):
            return
        # A number more, so that they are not the points that the network learns from.
        points, targets = self._draw(self._even, PLACES, (self._seed, step, 1))
        self._map.learn(residual_at(network, points, targets, self._groups).ravel())
        self._focus()

    def state(self) -> dict[str, torch.Tensor]:
        return {"errors": torch.from_numpy(self._map.errors)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self._map.errors = state["errors"].numpy().copy()
        self._focus()

    def _focus(self) -> None:
        """Decide how likely each cell is."""
        volumes, attraction = self._cells.volumes, self._map.attraction()[self._group_of]
        self._ends = np.cumsum(volumes * attraction)
        if self._map.known:
            errors = self._map.errors[self._group_of]
            mean = np.average(errors, weights=volumes)
            self.bias = float(np.average(errors, weights=volumes * attraction) / mean) if mean > 0 else 1.0

    def _draw(self, ends: np.ndarray, count: int, key: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and targets; cells have the probabilities that `ends` (cells,) are the running sum of."""
        random = np.random.Generator(np.random.SFC64(key))
        # One in each of as many equal parts: cells are drawn as evenly as may be.
        parts = (np.arange(count) + random.random(count)) * (ends[-1] / count)
        cell = np.minimum(np.searchsorted(ends, parts, side="right"), len(ends) - 1)
        drawn = torch.from_numpy(self._cells.at(cell, random.random((3, count))))
        # What rounding has put outside is inside.
        outside = (drawn[:, :3].abs() > 1.0 + 1e-6).any(dim=1)
        if outside.any():
            drawn = drawn[~outside]
        return drawn[:, :3].clamp(-1.0, 1.0), drawn[:, 3:].contiguous()


class _Cells:
    """The cells of a mesh whose nodes all have values: hexahedra first, then tetrahedra.

    Attributes:
        volumes: of each, not negative, float64 (cells,).

    Args:
        mesh: the mesh.
        nodes: what is interpolated, see `_nodes`.
    """

    def __init__(self, mesh: Mesh, nodes: np.ndarray) -> None:
        self._nodes = nodes
        valid = np.isfinite(mesh.values[:, 0])
        self._hexahedra, self._tetrahedra = (
            cells if valid.all() else cells[valid[cells].all(axis=1)] for cells in (mesh.hexahedra, mesh.tetrahedra)
        )
        self._density = np.empty((len(self._hexahedra), 3, 3, 3), dtype=np.float32)
        volumes = np.empty(len(self._hexahedra) + len(self._tetrahedra))
        for part in _blocks(len(self._hexahedra)):
            density = density_coefficients(mesh.points[self._hexahedra[part]])
            volume = density.mean(axis=(1, 2, 3))
            volumes[part] = np.abs(volume)
            # In units of the cell's volume, for float32; inside out as a whole, a cell is as good as any.
            unit = np.where(volume < 0, -1.0, 1.0) * np.maximum(np.abs(volume), 1e-300)
            self._density[part] = density / unit[:, None, None, None]
        for part in _blocks(len(self._tetrahedra)):
            corners = mesh.points[self._tetrahedra[part]]
            determinants = np.linalg.det(corners[:, 1:] - corners[:, :1])
            first = len(self._hexahedra)
            volumes[first + part.start : first + part.stop] = np.abs(determinants) / 6.0
        # Where no cell has a volume, each counts the same.
        self.volumes = volumes if volumes.sum() > 0 else np.ones_like(volumes)

    def centres(self) -> np.ndarray:
        """Normalized coordinates of the middle of each cell's corners, (cells, 3)."""
        parts = []
        for cells in (self._hexahedra, self._tetrahedra):
            parts += [self._nodes[cells[part], :3].mean(axis=1) for part in _blocks(len(cells))]
        return np.concatenate(parts)

    def at(self, cell: np.ndarray, random: np.ndarray) -> np.ndarray:
        """What there is at points in cells, equally likely everywhere inside.

        Args:
            cell: numbers of the cells, ascending, (n,).
            random: uniform in [0, 1), float64 (3, n).

        Returns:
            As the nodes, (n, 3 + c).
        """
        count = int(np.searchsorted(cell, len(self._hexahedra)))
        boxes, others = cell[:count], cell[count:] - len(self._hexahedra)
        parts = []
        if len(boxes):
            weights = trilinear_weights(spread(self._density.take(boxes, axis=0), random[:, :count]))
            parts.append(self._interpolated(self._hexahedra.take(boxes, axis=0), weights))
        if len(others):
            parts.append(self._interpolated(self._tetrahedra.take(others, axis=0), _in_tetrahedra(random[:, count:])))
        return np.concatenate(parts)

    def _interpolated(self, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of what is at the corners (n, k), counted as weights (n, k) say."""
        # `take` is several times faster than an index.
        return np.einsum("nk,nkd->nd", weights.astype(np.float32), self._nodes.take(corners, axis=0))


def _nodes(volume: Volume, mesh: Mesh) -> np.ndarray:
    """Normalized coordinates and targets of the nodes of a mesh, float32 (n, 3 + c): both are linear in what they are
    made from, so that they may be interpolated as well as that."""
    assert volume.domain.is_uniform, "a lattice"
    normalized = volume.domain.world_to_normalized(torch.from_numpy(mesh.points)).numpy()
    ranges = np.array(volume.output_ranges, dtype=np.float64)
    spans = ranges[:, 1] - ranges[:, 0]
    scale = np.divide(1.0, spans, out=np.zeros_like(spans), where=spans > 0)
    targets = (mesh.values - ranges[:, 0]) * scale
    return np.concatenate([normalized, targets], axis=1).astype(np.float32)


def _in_tetrahedra(random: np.ndarray) -> np.ndarray:
    """Barycentric coordinates (n, 4), equally likely everywhere, of random numbers (3, n): the gaps between them."""
    return np.diff(np.sort(random, axis=0), axis=0, prepend=0.0, append=1.0).T


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))
