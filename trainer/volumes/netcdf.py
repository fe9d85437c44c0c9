# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from NetCDF 3 and 4 files: regular and rectilinear grids, time steps, packed and missing values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from amgsrn_core import Axis, Domain
from amgsrn_core.errors import InvalidDomain

from ..errors import (
    CoordinatesUnusable,
    NoSuchTime,
    NoSuchVariable,
    NotAVolume,
    NothingButMissing,
    NoVolumeInFile,
    TimeNotChosen,
    VariableNotChosen,
    VolumeFileDamaged,
)
from . import cf
from .packing import Packing
from .reader import VariableInfo, VolumeReader
from .tiles import cache_bytes, tiles
from .volume import Volume, VolumeSource


@dataclass(frozen=True)
class _Layout:
    """Which dimensions of a variable are what: positions of time (None: none) and of z, y, x; all others have
    length 1."""

    time: int | None
    spatial: tuple[int, int, int]


class NetCDFReader(VolumeReader):
    """An open NetCDF file."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            VolumeFileDamaged: the library cannot open it.
        """
        self._path = path
        with self._damage_reported():
            self._dataset = netCDF4.Dataset(str(path), "r")
            self._dataset.set_auto_maskandscale(False)

    def close(self) -> None:
        if self._dataset.isopen():
            self._dataset.close()

    def variables(self) -> list[VariableInfo]:
        auxiliary = cf.auxiliary_names(self._dataset)
        found = []
        for name, variable in self._all_variables():
            layout = _layout(variable)
            if isinstance(layout, _Layout) and name not in auxiliary:
                steps = None if layout.time is None else variable.shape[layout.time]
                found.append(VariableInfo(name, _shape(variable, layout), steps))
        return found

    def read(
        self, variable: str | None = None, time: int | None = None, progress: Callable[[float], object] | None = None
    ) -> Volume:
        name = variable if variable is not None else self._only_variable()
        stored, layout = self._find(name, time)
        step = self._time_index(name, stored, layout, time)
        domain, flips = self._domain(name, stored, layout, step)
        values, valid, value_range = self._values(name, stored, layout, step, progress)
        if valid == 0:
            raise NothingButMissing(self._path, name)
        _flip_in_place(values, flips)
        source = VolumeSource(self._path.name, (name,), step, values.size * stored.dtype.itemsize)
        notes, units = self._notes(stored, layout), (cf.text(stored, "units"),)
        return Volume(values[..., None], domain, name, units, (value_range,), valid, source, notes)

    def _all_variables(self) -> Iterator[tuple[str, Any]]:
        groups = [("", self._dataset)]
        while groups:
            prefix, group = groups.pop(0)
            for name, variable in group.variables.items():
                yield prefix + name, variable
            groups += [(f"{prefix}{name}/", inner) for name, inner in group.groups.items()]

    def _only_variable(self) -> str:
        names = [info.name for info in self.variables()]
        if not names:
            raise NoVolumeInFile(self._path, [_described(name, v) for name, v in self._all_variables()])
        if len(names) > 1:
            raise VariableNotChosen(self._path, names)
        return names[0]

    def _find(self, name: str, time: int | None) -> tuple[Any, _Layout]:
        everything = dict(self._all_variables())
        candidates = [info.name for info in self.variables()]
        if name not in everything:
            raise NoSuchVariable(self._path, name, candidates or list(everything))
        variable = everything[name]
        layout = _layout(variable, time_asked_for=time is not None)
        if isinstance(layout, str):
            raise NotAVolume(self._path, name, layout, candidates)
        return variable, layout

    def _time_index(self, name: str, variable: Any, layout: _Layout, time: int | None) -> int | None:
        if layout.time is None:
            # A single time step may have been stored without a time dimension.
            if time not in (None, 0, -1):
                raise NoSuchTime(self._path, name, int(time or 0), 0)
            return None
        steps = variable.shape[layout.time]
        if time is None:
            if steps != 1:
                raise TimeNotChosen(self._path, name, steps)
            return 0
        if not -steps <= time < steps:
            raise NoSuchTime(self._path, name, time, steps)
        return time % steps

    def _domain(
        self, name: str, variable: Any, layout: _Layout, step: int | None
    ) -> tuple[Domain, tuple[bool, bool, bool]]:
        """The domain, and which axes (z, y, x) have to be reversed so that coordinates ascend."""
        axes, units, flips = [], [], []
        for position in layout.spatial:
            axis, unit, flip = self._axis(name, variable, position)
            axes.append(axis)
            units.append(unit)
            flips.append(flip)
        moment, moment_units = self._moment(variable, layout, step)
        z, y, x = axes
        return Domain((x, y, z), (units[2], units[1], units[0]), moment, moment_units), (flips[0], flips[1], flips[2])

    def _axis(self, name: str, variable: Any, position: int) -> tuple[Axis, str, bool]:
        dimension, count = variable.dimensions[position], variable.shape[position]
        coordinate = cf.coordinate_variable(variable, dimension)
        if count < 2:
            raise NotAVolume(self._path, name, f"dimension '{dimension}' has length {count}, at least 2 are needed")
        if coordinate is None:
            return Axis.uniform(count), "", False
        nodes = self._numbers(coordinate)
        flip = bool(nodes[0] > nodes[-1])
        try:
            return Axis.rectilinear(nodes[::-1] if flip else nodes), cf.text(coordinate, "units"), flip
        except InvalidDomain as error:
            if np.isfinite(nodes).all():
                raise CoordinatesUnusable(self._path, dimension, "neither ascending nor descending") from error
            raise CoordinatesUnusable(self._path, dimension, "not finite everywhere") from error

    def _moment(self, variable: Any, layout: _Layout, step: int | None) -> tuple[float | None, str]:
        """The time of a step and its units; None where the file does not say."""
        if layout.time is None or step is None:
            return None, ""
        coordinate = cf.coordinate_variable(variable, variable.dimensions[layout.time])
        if coordinate is None:
            return None, ""
        moment = float(self._numbers(coordinate)[step])
        return (moment if np.isfinite(moment) else None), cf.text(coordinate, "units")

    def _numbers(self, coordinate: Any) -> np.ndarray:
        """The values of a coordinate variable, float64; NaN where missing."""
        with self._damage_reported():
            stored = np.asarray(coordinate[:])
        packing = Packing.of(coordinate)
        check = np.empty(stored.shape, dtype=np.float32)
        packing.unpack(stored, check)
        values = stored.astype(np.float64) * packing.scale + packing.offset
        values[np.isnan(check)] = np.nan
        return values

    def _values(
        self, name: str, variable: Any, layout: _Layout, step: int | None, progress: Callable[[float], object] | None
    ) -> tuple[np.ndarray, int, tuple[float, float]]:
        """The array [z, y, x], read piece by piece; the number of valid values; and their range."""
        shape = _shape(variable, layout)
        try:
            values = np.empty(shape, dtype=np.float32)
        except MemoryError as error:
            raise MemoryError(
                f"variable '{name}' needs {4 * np.prod(shape, dtype=float) / 2**30:.1f} GiB of memory"
            ) from error
        chunking = variable.chunking()
        chunks = [chunking[k] for k in layout.spatial] if isinstance(chunking, list) else None
        if chunks is not None:
            # The default cache would hold much of the volume a second time. Size 0 would mean: leave it as it is.
            variable.set_var_chunk_cache(size=max(1, cache_bytes(chunks, variable.dtype.itemsize)))
        packing, valid, low, high, done = Packing.of(variable), 0, np.inf, -np.inf, 0
        for tile in tiles(shape, chunks, variable.dtype.itemsize):
            index: list[slice | int] = [0] * len(variable.dimensions)
            if layout.time is not None and step is not None:
                index[layout.time] = step
            for position, part in zip(layout.spatial, tile, strict=True):
                index[position] = part
            with self._damage_reported():
                stored = np.asarray(variable[tuple(index)])
            target = values[tile]
            packing.unpack(stored.reshape(target.shape), target)
            count = target.size - int(np.isnan(target).sum())
            if count:
                low, high = min(low, float(np.nanmin(target))), max(high, float(np.nanmax(target)))
            valid += count
            done += target.size
            if progress is not None:
                progress(done / values.size)
        return values, valid, (low, high)

    def _notes(self, variable: Any, layout: _Layout) -> tuple[str, ...]:
        curvilinear = []
        for name in cf.text(variable, "coordinates").split():
            other = variable.group().variables.get(name)
            if other is not None and sum(variable.dimensions[k] in other.dimensions for k in layout.spatial) > 1:
                curvilinear.append(name)
        if not curvilinear:
            return ()
        return (f"the nodes lie on a curvilinear grid ({', '.join(curvilinear)}); it is learned, and shown, unbent",)

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, IndexError, UnicodeDecodeError) as error:
            reason = str(error).split("\n")[0]
            raise VolumeFileDamaged(self._path, reason.replace(f": '{self._path}'", "")) from error


def _layout(variable: Any, time_asked_for: bool = False) -> _Layout | str:
    """Which dimensions are time and space, or why the variable is not a volume."""
    if not cf.is_numeric(variable):
        return "its values are not numbers"
    positions = list(range(len(variable.dimensions)))
    time = next((k for k in positions if cf.is_time(variable, k)), None)
    spatial = [k for k in positions if k != time]
    # What has length 1 is not needed to tell nodes apart.
    long = [k for k in spatial if variable.shape[k] != 1]
    if len(spatial) > 3 and len(long) <= 3:
        while len(spatial) > 3:
            spatial.remove(next(k for k in spatial if variable.shape[k] == 1))
    if len(spatial) == 4 and time is None and time_asked_for:
        time, spatial = spatial[0], spatial[1:]
    if len(spatial) != 3:
        dims = ", ".join(f"{variable.dimensions[k]} ({variable.shape[k]})" for k in spatial) or "none"
        besides = " besides time" if time is not None else ""
        hint = "; with --time the first counts as time" if len(spatial) == 4 and time is None else ""
        return f"it has {len(spatial)} spatial dimensions{besides}, not 3: {dims}{hint}"
    if 0 in variable.shape:
        return "it is empty"
    return _Layout(time, (spatial[0], spatial[1], spatial[2]))


def _shape(variable: Any, layout: _Layout) -> tuple[int, int, int]:
    z, y, x = (int(variable.shape[k]) for k in layout.spatial)
    return (z, y, x)


def _described(name: str, variable: Any) -> str:
    return f"{name}({', '.join(variable.dimensions)})"


def _flip_in_place(values: np.ndarray, flips: tuple[bool, bool, bool]) -> None:
    """Reverse axes without a second array."""
    if flips[0]:
        for low in range(len(values) // 2):
            high = len(values) - 1 - low
            plane = values[low].copy()
            values[low] = values[high]
            values[high] = plane
    if flips[1] or flips[2]:
        for plane in values:
            plane[:] = plane[:: -1 if flips[1] else 1, :: -1 if flips[2] else 1].copy()
