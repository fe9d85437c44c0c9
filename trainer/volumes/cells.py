# SPDX-License-Identifier: BSD-3-Clause
"""Cells of all kinds as hexahedra and tetrahedra.

Source of the cuts of wedges and pyramids: Dompierre, Labbé, Vallet, Camarero, "How to Subdivide Pyramids, Prisms and
Hexahedra into Tetrahedra" (1999): every quadrilateral is cut from its corner with the lowest number, so that neighbours
cut a common face alike.
"""

from __future__ import annotations

import numpy as np

# Cell types of VTK with three dimensions: what they are, and how many of their nodes are corners. Those of higher order
# have further nodes, which come last.
_KINDS = {
    10: ("tetrahedron", 4),
    11: ("voxel", 8),
    12: ("hexahedron", 8),
    13: ("wedge", 6),
    14: ("pyramid", 5),
    24: ("tetrahedron", 4),
    25: ("hexahedron", 8),
    26: ("wedge", 6),
    27: ("pyramid", 5),
    29: ("hexahedron", 8),
    32: ("wedge", 6),
    33: ("hexahedron", 8),
    37: ("pyramid", 5),
    71: ("tetrahedron", 4),
    72: ("hexahedron", 8),
    73: ("wedge", 6),
}
FLAT = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 21, 22, 23, 28, 30, 31, 34, 35, 36, 68, 69, 70, 75, 76, 77})

# A wedge turned so that its corner with the lowest number comes first.
_WEDGE_TURNS = np.array(
    [
        [0, 1, 2, 3, 4, 5],
        [1, 2, 0, 4, 5, 3],
        [2, 0, 1, 5, 3, 4],
        [3, 5, 4, 0, 2, 1],
        [4, 3, 5, 1, 0, 2],
        [5, 4, 3, 2, 1, 0],
    ]
)


def structured(shape: tuple[int, int, int]) -> np.ndarray:
    """Hexahedra between the nodes of an array [z, y, x], int64 (k, 8), x fastest."""
    nodes = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    corners = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
    ends = [tuple(slice(k, n - 1 + k) for k, n in zip(corner, shape, strict=True)) for corner in corners]
    return np.stack([nodes[end].reshape(-1) for end in ends], axis=1)


def unstructured(
    types: np.ndarray, offsets: np.ndarray, connectivity: np.ndarray
) -> tuple[np.ndarray, np.ndarray, frozenset[int]]:
    """Hexahedra (k, 8) and tetrahedra (k, 4) of cells as VTK stores them, and the types of three-dimensional cells that
    are none of those known here.

    Args:
        types: of the cells (n,), numbers of VTK.
        offsets: where in `connectivity` each begins, (n + 1,).
        connectivity: the cells' nodes.

    Raises:
        ValueError: a cell has fewer nodes than its type has corners.
    """
    hexahedra, tetrahedra = [np.zeros((0, 8), np.int64)], [np.zeros((0, 4), np.int64)]
    present = {int(t) for t in np.unique(types)}
    for number in sorted(present & _KINDS.keys()):
        kind, corners = _KINDS[number]
        first, end = (ends[types == number] for ends in (offsets[:-1], offsets[1:]))
        if (end - first < corners).any():
            raise ValueError(f"a {kind} has fewer than {corners} points")
        cells = connectivity[first[:, None] + np.arange(corners)].astype(np.int64)
        new_hexahedra, new_tetrahedra = cut(kind, cells)
        hexahedra.append(new_hexahedra)
        tetrahedra.append(new_tetrahedra)
    return np.concatenate(hexahedra), np.concatenate(tetrahedra), frozenset(present - _KINDS.keys() - FLAT)


def cut(kind: str, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hexahedra (k, 8) and tetrahedra (k, 4) of cells of one kind, int64 (n, corners) in VTK's order.

    Raises:
        KeyError: of a kind that is not three-dimensional.
    """
    no_hexahedra, no_tetrahedra = np.zeros((0, 8), np.int64), np.zeros((0, 4), np.int64)
    if kind == "voxel":
        return cells[:, [0, 1, 3, 2, 4, 5, 7, 6]], no_tetrahedra
    if kind == "hexahedron":
        return cells, no_tetrahedra
    return no_hexahedra, {"tetrahedron": lambda c: c, "pyramid": _cut_pyramids, "wedge": _cut_wedges}[kind](cells)


def _cut_pyramids(cells: np.ndarray) -> np.ndarray:
    even = np.minimum(cells[:, 0], cells[:, 2]) < np.minimum(cells[:, 1], cells[:, 3])
    one = np.where(even[:, None], cells[:, [0, 1, 2, 4]], cells[:, [1, 2, 3, 4]])
    other = np.where(even[:, None], cells[:, [0, 2, 3, 4]], cells[:, [1, 3, 0, 4]])
    return np.concatenate([one, other])


def _cut_wedges(cells: np.ndarray) -> np.ndarray:
    turned = np.take_along_axis(cells, _WEDGE_TURNS[cells.argmin(axis=1)], axis=1)
    even = np.minimum(turned[:, 1], turned[:, 5]) < np.minimum(turned[:, 2], turned[:, 4])
    one = np.where(even[:, None], turned[:, [0, 1, 2, 5]], turned[:, [0, 1, 2, 4]])
    other = np.where(even[:, None], turned[:, [0, 1, 5, 4]], turned[:, [0, 4, 2, 5]])
    return np.concatenate([one, other, turned[:, [0, 4, 5, 3]]])


def at_nodes(connectivity: np.ndarray, corners: np.ndarray, values: np.ndarray, nodes: int) -> np.ndarray:
    """Means (nodes, c) of the values of the cells around each node; NaN where there are none.

    Args:
        connectivity: the nodes of all cells, one cell after the other.
        corners: how many nodes each cell has (n,).
        values: of the cells (n, c); those that are not finite do not count.
        nodes: their number.
    """
    known = np.isfinite(values).all(axis=1)
    of_cells = np.repeat(known, corners)
    flat = connectivity[of_cells]
    count = np.bincount(flat, minlength=nodes).astype(np.float64)
    count[count == 0] = np.nan
    columns = [np.bincount(flat, np.repeat(v, corners)[of_cells], minlength=nodes) / count for v in values.T]
    return np.stack(columns, axis=1)
