# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from VTK's image data and rectilinear grids (.vti, .vtr, .pvti, .pvtr, .vtk)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from amgsrn_core import Axis, Domain
from amgsrn_core.errors import InvalidDomain

from ..errors import CoordinatesUnusable, NotAVolume
from .lattice import LatticeReader, StoredArray
from .names import vector_names
from .reader import VariableInfo
from .tiles import Tile
from .vtk_source import GHOSTS, Extent, VTKArray, VTKSource, numbers, time_of

_HIDDEN_POINT, _HIDDEN_CELL = 2, 32
_NEIGHBOURS = (slice(None, -1), slice(1, None))


class VTKLatticeReader(LatticeReader):
    """Image data or a rectilinear grid of VTK. Values of cells are at their centres."""

    def __init__(self, path: Path, source: VTKSource) -> None:
        super().__init__(path)
        self._source = source

    def close(self) -> None:
        """Nothing is kept open: VTK opens the file for every part."""

    def variables(self) -> list[VariableInfo]:
        found = []
        for array in self._source.arrays.values():
            nx, ny, nz = self._counts(array)
            if min(nx, ny, nz) > 1:
                found.append(VariableInfo(array.name, (nz, ny, nx), None, array.components))
        return found

    def _everything(self) -> dict[str, str]:
        return {name: name for name in self._source.arrays}

    def _array(self, name: str, time: int | None, must_choose: bool = True) -> StoredArray:
        array, step = self._source.arrays[name], self._step(name, None, time)
        if min(self._counts(array)) < 2:
            counts = " x ".join(str(n) for n in self._counts(array))
            raise NotAVolume(self._path, name, f"it has {counts} values, at least 2 are needed along each axis")
        axes, flips = [], []
        for axis, (nodes, regular) in enumerate(zip(self._nodes, self._spacings, strict=True)):
            own = 0.5 * (nodes[1:] + nodes[:-1]) if array.on_cells else nodes
            flip = bool(own[0] > own[-1])
            flips.append(flip)
            try:
                if regular is not None:
                    axes.append(Axis.uniform(len(own), own[-1] if flip else own[0], abs(regular)))
                else:
                    axes.append(Axis.rectilinear(own[::-1] if flip else own))
            except InvalidDomain as error:
                raise CoordinatesUnusable(self._path, "xyz"[axis], "neither ascending nor descending") from error
        notes = list(self._notes)
        if array.on_cells:
            notes.append(f"'{name}' has values in cells: they are taken as those of their centres")
        return StoredArray(
            name,
            Domain((axes[0], axes[1], axes[2]), time=self._time),
            vector_names(name, array.components),
            ("",) * array.components,
            array.itemsize,
            flips=(flips[2], flips[1], flips[0]),
            step=step,
            notes=tuple(notes),
        )

    def _fill(self, array: StoredArray, tile: Tile, out: np.ndarray) -> None:
        about, start = self._source.arrays[array.name], self._extent[::2]
        more = 1 if about.on_cells else 0
        wanted: list[int] = []
        for s, offset in zip(reversed(tile), start, strict=True):
            wanted += [offset + s.start, offset + s.stop - 1 + more]
        extent: Extent = tuple(wanted)  # type: ignore[assignment]
        data = self._source.data([array.name], extent)
        attributes = data.GetCellData() if about.on_cells else data.GetPointData()
        with np.errstate(over="ignore"):
            out[...] = _part(data, attributes.GetArray(array.name), extent, more)
        hidden = self._hidden_cells if about.on_cells else self._hidden_points
        if hidden is not None:
            out[hidden[tile]] = np.nan

    @property
    def _extent(self) -> Extent:
        return self._source.extent or (0, 0, 0, 0, 0, 0)

    def _counts(self, array: VTKArray) -> tuple[int, int, int]:
        less = 1 if array.on_cells else 0
        x, y, z = (b - a + 1 - less for a, b in zip(self._extent[::2], self._extent[1::2], strict=True))
        return (x, y, z)

    @cached_property
    def _empty(self) -> Any:
        """The grid without arrays."""
        return self._source.data([])

    @cached_property
    def _nodes(self) -> list[np.ndarray]:
        """Coordinates of the points along x, y and z."""
        if self._source.kind == "RectilinearGrid":
            lines = (getattr(self._empty, f"Get{axis}Coordinates")() for axis in "XYZ")
            return [numbers(line).astype(np.float64) for line in lines]
        ranges = zip(self._extent[::2], self._extent[1::2], strict=True)
        placed = zip(ranges, self._empty.GetOrigin(), self._empty.GetSpacing(), strict=True)
        return [origin + spacing * np.arange(a, b + 1) for (a, b), origin, spacing in placed]

    @cached_property
    def _hidden_cells(self) -> np.ndarray | None:
        """bool [z, y, x]; None if there are none."""
        flags = self._empty.GetCellData().GetArray(GHOSTS)
        if flags is None:
            return None
        return _part(self._empty, flags, self._extent, 1)[..., 0] & _HIDDEN_CELL != 0

    @cached_property
    def _hidden_points(self) -> np.ndarray | None:
        """bool [z, y, x]: those that are hidden, and those between hidden cells alone; None if there are none."""
        flags, cells = self._empty.GetPointData().GetArray(GHOSTS), self._hidden_cells
        hidden = None if flags is None else _part(self._empty, flags, self._extent, 0)[..., 0] & _HIDDEN_POINT != 0
        if cells is None:
            return hidden
        around = np.pad(cells, 1, constant_values=True)
        for axis in range(3):
            first, last = (tuple(part if k == axis else slice(None) for k in range(3)) for part in _NEIGHBOURS)
            around = around[first] & around[last]
        return around if hidden is None else hidden | around

    @property
    def _spacings(self) -> list[float | None]:
        if self._source.kind == "RectilinearGrid":
            return [None, None, None]
        return [float(spacing) for spacing in self._empty.GetSpacing()]

    @cached_property
    def _time(self) -> float | None:
        return time_of(self._empty)

    @cached_property
    def _notes(self) -> tuple[str, ...]:
        if self._source.kind == "ImageData" and not self._empty.GetDirectionMatrix().IsIdentity():
            return ("the image is turned (its direction matrix): it is learned, and shown, along its own axes",)
        return ()


def _part(data: Any, array: Any, extent: Extent, more: int) -> np.ndarray:
    """[z, y, x, c] of the points of an extent, or of the cells between them."""
    has = data.GetExtent()
    nx, ny, nz = (b - a + 1 - more for a, b in zip(has[::2], has[1::2], strict=True))
    values = numbers(array).reshape(nz, ny, nx, -1)
    x, y, z = (
        slice(a - start, b - start + 1 - more) for a, b, start in zip(extent[::2], extent[1::2], has[::2], strict=True)
    )
    return values[z, y, x]
