# SPDX-License-Identifier: BSD-3-Clause
"""Volumes in files that follow the Climate and Forecast conventions, whatever their format: regular, rectilinear and
curvilinear grids, time steps, packed and missing values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from amgsrn_core import Axis, Domain
from amgsrn_core.errors import InvalidDomain

from ..errors import CoordinatesUnusable, NotAVolume, VariablesDiffer
from .cf import CFVariable, Roles, auxiliary_names, roles
from .curvilinear import BentGrid, bent_grid
from .damage import damage_reported
from .lattice import LatticeReader, StoredArray
from .layout import VolumeLayout
from .mesh import Mesh
from .meshed import MeshedVariables
from .packing import Packing
from .reader import Progress, VariableInfo
from .region import Region, whole
from .settle import settle
from .tiles import Tile
from .volume import Volume


class CFReader(LatticeReader):
    """An open file with dimensions, variables and attributes."""

    # What the library raises of its own when it finds a file damaged.
    _library_errors: tuple[type[Exception], ...] = ()

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._latest: tuple[tuple[tuple[str, ...], int | None], MeshedVariables] | None = None
        self._grids: dict[tuple, BentGrid | None] = {}

    @abstractmethod
    def _variables(self) -> dict[str, CFVariable]:
        """All variables by their names, groups included, in the file's order."""

    def layout(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> VolumeLayout:
        meshed = self._meshed(self._chosen(variables), time, must_choose=False)
        return super().layout(variables, time) if meshed is None else meshed.layout()

    def read(
        self,
        variables: str | Sequence[str] | None = None,
        time: int | None = None,
        region: Region | None = None,
        progress: Progress | None = None,
    ) -> Volume:
        meshed = self._meshed(self._chosen(variables), time)
        if meshed is not None:
            return meshed.volume(region, progress)
        return super().read(variables, time, region, progress)

    def fingerprint(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> str:
        meshed = self._meshed(self._chosen(variables), time)
        return super().fingerprint(variables, time) if meshed is None else meshed.fingerprint()

    def variables(self) -> list[VariableInfo]:
        everything = self._variables()
        auxiliary = auxiliary_names(everything.values())
        found = []
        for name, variable in everything.items():
            role = roles(variable)
            if isinstance(role, Roles) and name not in auxiliary:
                found.append(VariableInfo(name, role.shape(variable), role.steps(variable)))
        return found

    def _everything(self) -> dict[str, str]:
        return {name: f"{name}({', '.join(v.dimensions)})" for name, v in self._variables().items()}

    def _array(self, name: str, time: int | None, must_choose: bool = True) -> StoredArray:
        variable, role = self._volume(name, time)
        steps = role.steps(variable)
        step = self._step(name, steps, time, must_choose)
        axes, units, flips = [], [], []
        lines = self._straight(name, step)
        for position, line in zip(role.spatial, lines, strict=True):
            axis, unit, flip = self._axis(variable, position, line)
            axes.append(axis)
            units.append(unit)
            flips.append(flip)
        times, time_units = self._times(variable, role)
        moment = None if times is None or step is None else times[step]
        if moment is not None and not np.isfinite(moment):
            moment = None
        known = times if times is not None and np.isfinite(times).all() else None
        chunks, depth = _chunks(variable, role)
        return StoredArray(
            name,
            Domain((axes[2], axes[1], axes[0]), (units[2], units[1], units[0]), moment, time_units),
            (name,),
            (variable.text("units"),),
            self._dtype(variable).itemsize,
            chunks,
            (flips[0], flips[1], flips[2]),
            depth,
            step,
            steps,
            known,
        )

    def _fill(self, array: StoredArray, tile: Tile, out: np.ndarray) -> None:
        variable, role = self._volume(array.name, array.step)
        index: list[slice | int] = [0] * len(variable.dimensions)
        if role.time is not None and array.step is not None:
            index[role.time] = array.step
        for position, part in zip(role.spatial, tile, strict=True):
            index[position] = part
        with damage_reported(self._path, *self._library_errors):
            stored = np.asarray(variable.read(tuple(index)))
        Packing.of(variable).unpack(stored.reshape(out.shape), out)

    def _meshed(self, names: tuple[str, ...], time: int | None, must_choose: bool = True) -> MeshedVariables | None:
        """Variables on a curvilinear grid, which are kept for the next call; None where the grid is straight."""
        variable, role = self._volume(names[0], time)
        step = self._step(names[0], role.steps(variable), time, must_choose)
        grid = self._grid(names[0], step)
        if grid is None or grid.straight() is not None:
            return None
        if self._latest is None or self._latest[0] != (names, step):
            self._latest = ((names, step), self._read_mesh(names, step, grid))
        return self._latest[1]

    def _read_mesh(self, names: tuple[str, ...], step: int | None, grid: BentGrid) -> MeshedVariables:
        for name in names[1:]:
            other = self._grid(name, step)
            if other is None or other.names != grid.names:
                raise VariablesDiffer(self._path, names[0], name)
        # Nodes have their own coordinates: axes stay as the file has them.
        arrays = [replace(array, flips=(False, False, False)) for array in self._arrays(names, step, must_choose=False)]
        values = self._values(arrays, whole(arrays[0].domain), None)
        points = grid.points()
        none = np.zeros((0, 4), dtype=np.int64)
        settle(values)
        mesh = Mesh.of(points, values.reshape(len(points), -1), grid.cells(points), none)
        first = arrays[0]
        notes: tuple[str, ...] = ()
        if grid.guessed:
            notes = (f"nothing says which of the coordinates {', '.join(grid.names)} is x, y or z: taken as z, y, x",)
        return MeshedVariables(
            self._path,
            mesh,
            names,
            tuple(name for array in arrays for name in array.names),
            tuple(unit for array in arrays for unit in array.units),
            grid.units,
            first.itemsize,
            first.step,
            first.steps,
            first.domain.time,
            first.times,
            first.domain.time_units,
            notes,
        )

    def _grid(self, name: str, step: int | None) -> BentGrid | None:
        """The grid of a variable whose coordinates have several dimensions; None for others."""
        variable, role = self._volume(name, step)
        # Variables with the same coordinates share them; those of one step are kept.
        key = (name.rpartition("/")[0], variable.dimensions, role, variable.text("coordinates"), step or 0)
        if key not in self._grids:
            self._grids = {key: bent_grid(variable, role, step or 0, self._numbers)}
        return self._grids[key]

    def _straight(self, name: str, step: int | None) -> list[tuple[np.ndarray, str] | None]:
        """Coordinates and units along z, y, x of a grid that is straight although its coordinates have several
        dimensions; None where the dimensions' own coordinates count."""
        grid = self._grid(name, step)
        lines = None if grid is None else grid.straight()
        if grid is None or lines is None:
            return [None, None, None]
        return list(zip(lines, reversed(grid.units), strict=True))

    def _volume(self, name: str, time: int | None) -> tuple[CFVariable, Roles]:
        variable = self._variables()[name]
        role = roles(variable, time_asked_for=time is not None)
        if isinstance(role, str):
            raise NotAVolume(self._path, name, role, [info.name for info in self.variables()])
        return variable, role

    def _axis(self, variable: CFVariable, position: int, line: tuple[np.ndarray, str] | None) -> tuple[Axis, str, bool]:
        """One axis, ascending; its units; and whether it descends in the file. `line`: coordinates and units in place
        of those of the dimension's own variable."""
        dimension, count = variable.dimensions[position], variable.shape[position]
        coordinate = variable.coordinate(dimension)
        if count < 2:
            reason = f"dimension '{dimension}' has length {count}, at least 2 are needed"
            raise NotAVolume(self._path, variable.name, reason)
        if line is not None:
            nodes, unit = line
        elif coordinate is not None:
            nodes, unit = self._numbers(coordinate), coordinate.text("units")
        else:
            return Axis.uniform(count), "", False
        flip = bool(nodes[0] > nodes[-1])
        try:
            return Axis.rectilinear(nodes[::-1] if flip else nodes), unit, flip
        except InvalidDomain as error:
            if np.isfinite(nodes).all():
                raise CoordinatesUnusable(self._path, dimension, "neither ascending nor descending") from error
            raise CoordinatesUnusable(self._path, dimension, "not finite everywhere") from error

    def _times(self, variable: CFVariable, role: Roles) -> tuple[tuple[float, ...] | None, str]:
        """The times of all steps and their units; None where the file does not say."""
        coordinate = None if role.time is None else variable.coordinate(variable.dimensions[role.time])
        if coordinate is None:
            return None, ""
        return tuple(self._numbers(coordinate).tolist()), coordinate.text("units")

    def _numbers(self, coordinate: CFVariable, index: tuple[slice | int, ...] | None = None) -> np.ndarray:
        """The values of a coordinate variable or of a part of it, float64; NaN where missing."""
        with damage_reported(self._path, *self._library_errors):
            stored = np.asarray(coordinate.read(index if index is not None else (slice(None),) * len(coordinate.shape)))
        packing = Packing.of(coordinate)
        check = np.empty(stored.shape, dtype=np.float32)
        packing.unpack(stored, check)
        values = stored.astype(np.float64) * packing.scale + packing.offset
        values[np.isnan(check)] = np.nan
        return values

    @staticmethod
    def _dtype(variable: CFVariable) -> np.dtype:
        assert variable.dtype is not None, "only variables of numbers have roles"
        return variable.dtype


def _chunks(variable: CFVariable, role: Roles) -> tuple[tuple[int, int, int] | None, int]:
    """The chunks along z, y, x, and how many steps along all other dimensions they hold besides."""
    if variable.chunks is None:
        return None, 1
    depth = 1
    for position, (chunk, count) in enumerate(zip(variable.chunks, variable.shape, strict=True)):
        if position not in role.spatial:
            depth *= min(chunk, count)
    z, y, x = (int(variable.chunks[k]) for k in role.spatial)
    return (z, y, x), depth
