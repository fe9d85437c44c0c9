# SPDX-License-Identifier: BSD-3-Clause
"""Volumes in files that follow the Climate and Forecast conventions, whatever their format: regular and rectilinear
grids, time steps, packed and missing values."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from amgsrn_core import Axis, Domain
from amgsrn_core.errors import InvalidDomain

from ..errors import CoordinatesUnusable, NotAVolume, VolumeFileDamaged
from .cf import CFVariable, Roles, auxiliary_names, roles
from .lattice import LatticeReader, StoredArray
from .packing import Packing
from .reader import VariableInfo
from .tiles import Tile


class CFReader(LatticeReader):
    """An open file with dimensions, variables and attributes."""

    @abstractmethod
    def _variables(self) -> dict[str, CFVariable]:
        """All variables by their names, groups included, in the file's order."""

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
        for position in role.spatial:
            axis, unit, flip = self._axis(variable, position)
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
            self._notes(variable, role),
        )

    def _fill(self, array: StoredArray, tile: Tile, out: np.ndarray) -> None:
        variable, role = self._volume(array.name, array.step)
        index: list[slice | int] = [0] * len(variable.dimensions)
        if role.time is not None and array.step is not None:
            index[role.time] = array.step
        for position, part in zip(role.spatial, tile, strict=True):
            index[position] = part
        with self._damage_reported():
            stored = np.asarray(variable.read(tuple(index)))
        Packing.of(variable).unpack(stored.reshape(out.shape), out)

    def _volume(self, name: str, time: int | None) -> tuple[CFVariable, Roles]:
        variable = self._variables()[name]
        role = roles(variable, time_asked_for=time is not None)
        if isinstance(role, str):
            raise NotAVolume(self._path, name, role, [info.name for info in self.variables()])
        return variable, role

    def _axis(self, variable: CFVariable, position: int) -> tuple[Axis, str, bool]:
        """One axis, ascending; its units; and whether it descends in the file."""
        dimension, count = variable.dimensions[position], variable.shape[position]
        coordinate = variable.coordinate(dimension)
        if count < 2:
            reason = f"dimension '{dimension}' has length {count}, at least 2 are needed"
            raise NotAVolume(self._path, variable.name, reason)
        if coordinate is None:
            return Axis.uniform(count), "", False
        nodes = self._numbers(coordinate)
        flip = bool(nodes[0] > nodes[-1])
        try:
            return Axis.rectilinear(nodes[::-1] if flip else nodes), coordinate.text("units"), flip
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
        with self._damage_reported():
            stored = np.asarray(coordinate.read(index if index is not None else (slice(None),) * len(coordinate.shape)))
        packing = Packing.of(coordinate)
        check = np.empty(stored.shape, dtype=np.float32)
        packing.unpack(stored, check)
        values = stored.astype(np.float64) * packing.scale + packing.offset
        values[np.isnan(check)] = np.nan
        return values

    def _notes(self, variable: CFVariable, role: Roles) -> tuple[str, ...]:
        curvilinear = []
        for name in variable.text("coordinates").split():
            other = variable.find(name)
            if other is not None and sum(variable.dimensions[k] in other.dimensions for k in role.spatial) > 1:
                curvilinear.append(name)
        if not curvilinear:
            return ()
        return (f"the nodes lie on a curvilinear grid ({', '.join(curvilinear)}); it is learned, and shown, unbent",)

    @staticmethod
    def _dtype(variable: CFVariable) -> np.dtype:
        assert variable.dtype is not None, "only variables of numbers have roles"
        return variable.dtype

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        """What the library says about a damaged file becomes one clear line."""
        try:
            yield
        except (OSError, RuntimeError, IndexError, UnicodeDecodeError) as error:
            reason = str(error).split("\n")[0]
            raise VolumeFileDamaged(self._path, reason.replace(f": '{self._path}'", "")) from error


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
