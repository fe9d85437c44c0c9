# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from VTK's structured and unstructured grids (.vts, .vtu, .pvts, .pvtu, .vtk)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import VolumeFileDamaged
from .cells import FLAT, at_nodes, structured, unstructured
from .damage import damage_reported
from .mesh import Mesh
from .mesh_reader import MeshReader
from .meshed import MeshedVariables
from .names import vector_names
from .reader import VariableInfo
from .settle import settle
from .vtk_source import GHOSTS, VTKSource, complaints_raised, numbers, time_of, vtk_module

_HIDDEN_POINT, _SKIPPED_CELL = 2, 32 | 1  # hidden, or of another process


class VTKMeshReader(MeshReader):
    """A grid of VTK with points anywhere. Values of cells are averaged to nodes."""

    def __init__(self, path: Path, source: VTKSource) -> None:
        super().__init__(path)
        self._source = source

    def close(self) -> None:
        """Nothing is kept open."""

    def variables(self) -> list[VariableInfo]:
        extent = self._source.extent
        if extent is not None:
            nx, ny, nz = (b - a + 1 for a, b in zip(extent[::2], extent[1::2], strict=True))
        else:
            nx, ny, nz = self._source.data([]).GetNumberOfPoints(), 1, 1
        return [VariableInfo(a.name, (nz, ny, nx), None, a.components) for a in self._source.arrays.values()]

    def _meshed(self, names: tuple[str, ...], time: int | None, must_choose: bool) -> MeshedVariables:
        self._step(names[0], None, time)
        arrays = [self._source.arrays[name] for name in names]
        data = self._source.data(names)
        notes = []
        with damage_reported(self._path):
            cells = _cells(data)
        averaged = [array.name for array in arrays if array.on_cells]
        if averaged:
            notes.append(f"'{', '.join(averaged)}' has values in cells: averaged to nodes")
        with damage_reported(self._path):
            columns = [
                _averaged(data, a.name) if a.on_cells else numbers(data.GetPointData().GetArray(a.name)) for a in arrays
            ]
        values = np.concatenate([c.reshape(len(c), -1).astype(np.float32) for c in columns], axis=1)
        self.bytes_read += sum(array.itemsize * array.components for array in arrays) * len(values)
        hidden = data.GetPointData().GetArray(GHOSTS)
        if hidden is not None:
            values[numbers(hidden) & _HIDDEN_POINT != 0] = np.nan
        if cells[2]:
            # Polyhedra and whatever else there may be.
            cells = _cells(self._in_tetrahedra(data))
            notes.append("its cells were cut into tetrahedra")
        for corners in cells[:2]:
            if corners.size and not 0 <= corners.min() <= corners.max() < len(values):
                raise VolumeFileDamaged(self._path, "cells have points that are not there")
        settle(values)
        points = numbers(data.GetPoints().GetData()).astype(np.float64)
        return MeshedVariables(
            self._path,
            Mesh.of(points, values, cells[0], cells[1]),
            names,
            tuple(n for array in arrays for n in vector_names(array.name, array.components, alone=len(arrays) == 1)),
            ("",) * values.shape[1],
            itemsize=arrays[0].itemsize,
            time=time_of(data),
            notes=tuple(notes),
        )

    def _in_tetrahedra(self, data: Any) -> Any:
        """The same points with nothing but tetrahedra."""
        cutting = vtk_module(self._path, "vtkFiltersGeneral").vtkDataSetTriangleFilter()
        cutting.SetInputData(data)
        cutting.TetrahedraOnlyOn()
        with complaints_raised(self._path):
            cutting.Update()
        return cutting.GetOutput()


def _averaged(data: Any, name: str) -> np.ndarray:
    """Values (n, c) at the nodes of those that an array has in three-dimensional cells which are not hidden."""
    values = numbers(data.GetCellData().GetArray(name)).reshape(data.GetNumberOfCells(), -1).astype(np.float64)
    ghosts = data.GetCellData().GetArray(GHOSTS)
    if ghosts is not None:
        values[numbers(ghosts) & _SKIPPED_CELL != 0] = np.nan
    if data.IsA("vtkStructuredGrid"):
        cells = structured(_shape(data))
        if not len(cells):
            return np.full((data.GetNumberOfPoints(), values.shape[1]), np.nan)
        return at_nodes(cells.reshape(-1), np.full(len(cells), 8), values, data.GetNumberOfPoints())
    values[np.isin(numbers(data.GetCellTypesArray()), list(FLAT))] = np.nan
    cells, offsets = data.GetCells(), numbers(data.GetCells().GetOffsetsArray())
    connectivity = numbers(cells.GetConnectivityArray())
    return at_nodes(connectivity, np.diff(offsets), values, data.GetNumberOfPoints())


def _cells(data: Any) -> tuple[np.ndarray, np.ndarray, frozenset[int]]:
    """Hexahedra, tetrahedra, and the types of other three-dimensional cells of a vtkDataSet; without hidden ones."""
    ghosts = data.GetCellData().GetArray(GHOSTS)
    kept = None if ghosts is None else numbers(ghosts) & _SKIPPED_CELL == 0
    if data.IsA("vtkStructuredGrid"):
        hexahedra = structured(_shape(data))
        if not len(hexahedra):
            return hexahedra, np.zeros((0, 4), np.int64), frozenset()
        return hexahedra if kept is None else hexahedra[kept], np.zeros((0, 4), np.int64), frozenset()
    if not data.GetNumberOfCells():
        return np.zeros((0, 8), np.int64), np.zeros((0, 4), np.int64), frozenset()
    types = numbers(data.GetCellTypesArray()).copy()
    if kept is not None:
        types[~kept] = 0  # an empty cell
    cells = data.GetCells()
    return unstructured(types, numbers(cells.GetOffsetsArray()), numbers(cells.GetConnectivityArray()))


def _shape(data: Any) -> tuple[int, int, int]:
    """Number of points [z, y, x] of a structured grid."""
    x0, x1, y0, y1, z0, z1 = data.GetExtent()
    return (z1 - z0 + 1, y1 - y0 + 1, x1 - x0 + 1)
