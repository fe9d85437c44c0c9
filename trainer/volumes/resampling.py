# SPDX-License-Identifier: BSD-3-Clause
"""Values of a mesh on the nodes of a uniform lattice. Cells are drawn into the lattice one after the other, so that no
search structure is needed: for every node within a cell's box, its position in the cell is solved for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from amgsrn_core import Axis, Domain

from .mesh import Mesh, boxes
from .region import Region

# Nodes of the lattice per median cell along each axis: gaps end half-way between nodes, which shows as steps.
_PER_CELL = 2
# Nodes of the lattice: at most so many times those of the mesh, and so many along an axis.
_GENEROSITY, _MOST_PER_AXIS = 16, 256
# Pairs of a cell and a node looked at together.
_BATCH = 1 << 17
# How far outside a cell, in its own coordinates, a node still belongs to it, for round-off.
_TOLERANCE = 1e-6
_ITERATIONS = 20


def lattice_for(mesh: Mesh) -> Domain | None:
    """A lattice over the mesh's bounding box, twice as fine as the median cell; None if the mesh, or every cell, is flat.

    It is coarser where that takes more than sixteen times as many nodes as the mesh has, or more than 256 along an axis.
    """
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    if (high - low <= 1e-9 * np.maximum(np.abs(low), np.abs(high))).any():
        return None
    sizes = np.concatenate(
        [b - a for cells in (mesh.hexahedra, mesh.tetrahedra) for _, a, b in boxes(mesh.points, cells)]
    )
    if not (sizes > 0).any(axis=0).all():
        return None
    intervals = np.array(
        [
            (h - s) / max(np.median(size[size > 0]) / _PER_CELL, (h - s) / (_MOST_PER_AXIS - 1))
            for s, h, size in zip(low, high, sizes.T, strict=True)
        ]
    )
    excess = np.prod(intervals + 1) / (_GENEROSITY * len(mesh.points))
    if excess > 1:
        intervals /= np.cbrt(excess)
    counts = np.clip(np.ceil(intervals - 1e-6).astype(int) + 1, 2, _MOST_PER_AXIS)
    x, y, z = (Axis.uniform(n, s, (h - s) / (n - 1)) for n, s, h in zip(counts, low, high, strict=True))
    return Domain((x, y, z))


def resample(
    mesh: Mesh, lattice: Domain, region: Region, progress: Callable[[float], object] | None = None
) -> np.ndarray:
    """Values at the nodes of a part of a uniform lattice, float32 [z, y, x, c]; NaN outside the cells.

    Within hexahedra interpolation is trilinear in the cell's own coordinates, within tetrahedra linear. Near missing
    nodes the others count alone, up to half-way.
    """
    first = np.array([low for low, _ in region])
    counts = np.array([high - low + 1 for low, high in region])
    origin = np.array([axis.origin for axis in lattice.axes])
    spacing = np.array([axis.spacing for axis in lattice.axes])
    points = (mesh.points - origin) / spacing - first  # in units of nodes
    components = mesh.values.shape[1]
    values = np.full((int(counts.prod()), components), np.nan, dtype=np.float32)
    covered = np.zeros(len(values), dtype=bool)
    done, total = 0, len(mesh.hexahedra) + len(mesh.tetrahedra)
    for cells, locate in ((mesh.hexahedra, _in_hexahedra), (mesh.tetrahedra, _in_tetrahedra)):
        for block, low, high in boxes(points, cells):
            for cell, node in _pairs(low, high, counts):
                index = node @ np.array([1, counts[0], counts[0] * counts[1]])
                new = ~covered[index]
                cell, node, index = block[cell[new]], node[new], index[new]
                weights, inside = locate(points[cell], node.astype(np.float64))
                cell, index = cell[inside], index[inside]
                values[index] = _interpolate(mesh.values, cell, weights[inside])
                covered[index] = True
            done += len(block)
            if progress is not None:
                progress(done / total)
    nx, ny, nz = (int(n) for n in counts)
    return values.reshape(nz, ny, nx, components)


def _pairs(low: np.ndarray, high: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which lattice nodes are in which boxes: numbers of boxes (m,), and nodes (m, 3), batch by batch.

    Args:
        low, high: corners of the boxes (k, 3) in units of nodes.
        counts: nodes of the lattice along x, y, z.
    """
    first = np.clip(np.ceil(low - _TOLERANCE), 0, counts).astype(np.int64)
    last = np.clip(np.floor(high + _TOLERANCE), -1, counts - 1).astype(np.int64)
    size = np.maximum(last - first + 1, 0)
    ends = np.cumsum(size.prod(axis=1))
    for start in range(0, int(ends[-1]), _BATCH):
        number = np.arange(start, min(start + _BATCH, int(ends[-1])))
        box = np.searchsorted(ends, number, side="right")
        size_of, rest = size[box], number - (ends[box] - size[box].prod(axis=1))
        x, rest = rest % size_of[:, 0], rest // size_of[:, 0]
        y, z = rest % size_of[:, 1], rest // size_of[:, 1]
        yield box, first[box] + np.stack([x, y, z], axis=1)


def _in_hexahedra(corners: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trilinear weights (m, 8) of points (m, 3) in hexahedra (m, 8, 3), by Newton's method, and which are inside."""
    c = corners.transpose(1, 2, 0)  # [corner, axis, m]
    a, b, d = c[1] - c[0], c[3] - c[0], c[4] - c[0]
    ab, bd, ad = c[2] - c[1] - b, c[7] - c[3] - d, c[5] - c[1] - d
    abd = c[6] - c[5] - c[2] + c[1] - (c[7] - c[4] - c[3] + c[0])
    terms = np.stack([a, b, d, ab, bd, ad, abd, points.T - c[0]])  # [term, axis, m]
    own, residual = np.full((3, len(points)), 0.5), np.zeros((3, len(points)))
    moving = np.arange(len(points))
    for _ in range(_ITERATIONS):
        a, b, d, ab, bd, ad, abd, goal = terms
        r, s, t = old = own[:, moving]
        error = r * (a + s * ab + t * ad) + s * (b + t * (bd + r * abd)) + t * d - goal
        residual[:, moving] = error
        step = _solve(
            a + s * ab + t * (ad + s * abd), b + r * ab + t * (bd + r * abd), d + s * bd + r * (ad + s * abd), error
        )
        # What is far outside comes to rest at these limits.
        new = np.clip(old - step, -1.0, 2.0)
        own[:, moving] = new
        still = (np.abs(new - old) > 1e-9).any(axis=0)
        moving, terms = moving[still], terms[..., still]
        if not moving.size:
            break
    inside = ((own >= -_TOLERANCE) & (own <= 1 + _TOLERANCE)).all(axis=0) & (np.abs(residual) < 1e-3).all(axis=0)
    r, s, t = np.clip(own, 0.0, 1.0)
    i, j, k = 1 - r, 1 - s, 1 - t
    weights = [i * j * k, r * j * k, r * s * k, i * s * k, i * j * t, r * j * t, r * s * t, i * s * t]
    return np.stack(weights, axis=1), inside


def _in_tetrahedra(corners: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear weights (m, 4) of points (m, 3) in tetrahedra (m, 4, 3), and which are inside."""
    c = corners.transpose(1, 2, 0)
    own = _solve(c[1] - c[0], c[2] - c[0], c[3] - c[0], points.T - c[0])
    weights = np.concatenate([1 - own.sum(axis=0, keepdims=True), own]).T
    inside = (weights >= -_TOLERANCE).all(axis=1)
    weights = np.clip(weights, 0.0, None)
    return weights / weights.sum(axis=1, keepdims=True), inside


def _solve(a: np.ndarray, b: np.ndarray, c: np.ndarray, right: np.ndarray) -> np.ndarray:
    """u with u0 a + u1 b + u2 c = right, all [axis, m], by Cramer's rule; 0 where there is none."""
    bc, ca, ab = _cross(b, c), _cross(c, a), _cross(a, b)
    determinant = (a * bc).sum(axis=0)
    inverse = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=np.abs(determinant) > 1e-30)
    return np.stack([(right * bc).sum(axis=0), (right * ca).sum(axis=0), (right * ab).sum(axis=0)]) * inverse


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # numpy.cross is several times slower with the axis first.
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _interpolate(values: np.ndarray, cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means (m, c) of the valid corners; NaN where these weigh less than half."""
    corner = values[cells]  # (m, corners, c)
    valid = np.isfinite(corner[..., 0])
    if not valid.all():
        weights, corner = weights * valid, np.where(valid[..., None], corner, 0.0)
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.einsum("mk,mkc->mc", weights, corner) / total[:, None]
    mean[total < 0.5 - 1e-9] = np.nan
    return mean
