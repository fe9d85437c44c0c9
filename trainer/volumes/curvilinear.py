# SPDX-License-Identifier: BSD-3-Clause
"""Grids of files with CF conventions whose nodes have coordinates in two or three dimensions: longitude and latitude
of every column, say, or x, y and z of every node.

Source: CF Metadata Conventions 1.11, chapter 4 (which coordinate is which) and 5.2 (two-dimensional coordinates).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .cells import structured
from .cf import CFVariable, Roles

# Standard names of coordinates that are true, if not geographic, ones: those of a map projection.
_PROJECTED = frozenset(
    {"grid_longitude", "grid_latitude", "projection_x_coordinate", "projection_y_coordinate"}
    | {"projection_x_angular_coordinate", "projection_y_angular_coordinate"}
)
_STANDARD_NAMES = {
    "longitude": "x",
    "grid_longitude": "x",
    "projection_x_coordinate": "x",
    "latitude": "y",
    "grid_latitude": "y",
    "projection_y_coordinate": "y",
    "altitude": "z",
    "height": "z",
    "depth": "z",
    "air_pressure": "z",
    "geopotential_height": "z",
}
_UNITS = (
    (re.compile(r"degrees?_?(east|e)", re.IGNORECASE), "x"),
    (re.compile(r"degrees?_?(north|n)", re.IGNORECASE), "y"),
    (re.compile(r"(h|k)?pa|(milli|m|d)?bars?|level", re.IGNORECASE), "z"),
)
_NAMES = (
    (re.compile(r"(.*_)?(x|lon|nav_lon|xlong)", re.IGNORECASE), "x"),
    (re.compile(r"(.*_)?(y|lat|nav_lat|xlat)", re.IGNORECASE), "y"),
    (re.compile(r"(.*_)?(z|lev|depth|height|alt)", re.IGNORECASE), "z"),
)


@dataclass(frozen=True, eq=False)
class BentGrid:
    """World coordinates of the nodes of a structured grid.

    Attributes:
        x, y, z: float64 [z, y, x] as the file has them; NaN where missing.
        units: of x, y and z.
        names: of the coordinate variables with more than one dimension.
        guessed: whether nothing says which of them is which.
        turns: whether x is a longitude, which begins anew after 360 degrees.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    units: tuple[str, str, str]
    names: tuple[str, ...]
    guessed: bool
    turns: bool

    def straight(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Coordinates along z, y and x if each depends on its own dimension alone, so that the grid is not bent; else
        None."""
        found = []
        for position, nodes in enumerate((self.z, self.y, self.x)):
            line = nodes[tuple(slice(None) if k == position else slice(0, 1) for k in range(3))]
            if not np.abs(nodes - line).max() <= 1e-6 * np.ptp(line):
                return None
            found.append(line.reshape(-1))
        return (found[0], found[1], found[2])

    def points(self) -> np.ndarray:
        """float64 (n, 3): x, y, z of the nodes, x fastest."""
        x = _unwrapped(self.x) if self.turns else self.x
        return np.stack([x.reshape(-1), self.y.reshape(-1), self.z.reshape(-1)], axis=1)

    def cells(self, points: np.ndarray) -> np.ndarray:
        """Hexahedra between neighbouring nodes, int64 (k, 8); without those that reach around the globe."""
        z, y, x = self.x.shape
        cells = structured((z, y, x))
        if self.turns:
            longitudes = points[:, 0][cells]
            cells = cells[~(np.ptp(longitudes, axis=1) > 180.0)]
        return cells


def bent_grid(
    variable: CFVariable, role: Roles, step: int, numbers: Callable[[CFVariable, tuple[slice | int, ...]], np.ndarray]
) -> BentGrid | None:
    """The grid of a variable whose coordinates have several dimensions; None if they have one each.

    Args:
        variable: the volume.
        role: its dimensions.
        step: time step, for coordinates that change.
        numbers: reads coordinates.
    """
    several = _coordinates_of_several_dimensions(variable, role)
    if not several or _is_projected(variable, role):
        return None
    chosen: dict[str, CFVariable] = {}
    unknown = []
    for coordinate in several:
        axis = direction(coordinate)
        if axis is None:
            unknown.append(coordinate)
        else:
            chosen.setdefault(axis, coordinate)
    free = [axis for axis in "zyx" if axis not in chosen]
    guessed = bool(unknown and free)
    chosen.update(zip(free, unknown, strict=False))
    names = tuple(coordinate.name for coordinate in chosen.values())
    lines = _lines(chosen, variable, role)
    nodes, units = [], []
    for axis in "xyz":
        found = chosen.get(axis) or variable.coordinate(lines[axis])
        if found is None:
            count = variable.shape[variable.dimensions.index(lines[axis])]
            nodes.append(_spread(np.arange(count, dtype=np.float64), (lines[axis],), variable, role))
            units.append("")
        else:
            index = tuple(step if _is_time(d, variable, role) else slice(None) for d in found.dimensions)
            kept = tuple(d for d in found.dimensions if not _is_time(d, variable, role))
            nodes.append(_spread(numbers(found, index), kept, variable, role))
            units.append(found.text("units"))
    turns = units[0].lower().startswith("degree")
    return BentGrid(nodes[0], nodes[1], nodes[2], (units[0], units[1], units[2]), names, guessed, turns)


def direction(coordinate: CFVariable) -> str | None:
    """Whether a coordinate variable is "x", "y" or "z", by axis, standard name, units, or its own name; None if nothing
    tells."""
    axis = coordinate.text("axis").lower()
    if axis in ("x", "y", "z"):
        return axis
    standard = _STANDARD_NAMES.get(coordinate.text("standard_name"))
    if standard is not None:
        return standard
    if coordinate.text("positive"):
        return "z"
    for pattern, found in _UNITS:
        if pattern.fullmatch(coordinate.text("units")):
            return found
    name = coordinate.name.rsplit("/", 1)[-1].lower()
    for pattern, found in _NAMES:
        if pattern.fullmatch(name):
            return found
    # xc, x_coordinate, lon_rho, level: by how it begins.
    for beginnings, found in ((("x", "lon"), "x"), (("y", "lat"), "y"), (("z", "lev", "dep", "alt", "hei"), "z")):
        if name.startswith(beginnings):
            return found
    return None


def _coordinates_of_several_dimensions(variable: CFVariable, role: Roles) -> list[CFVariable]:
    found = []
    spatial = {variable.dimensions[k] for k in role.spatial}
    for name in variable.text("coordinates").split():
        coordinate = variable.find(name)
        if coordinate is None or coordinate.dtype is None:
            continue
        own = set(coordinate.dimensions)
        if len(own & spatial) > 1 and own <= set(variable.dimensions) and len(own) == len(coordinate.dimensions):
            found.append(coordinate)
    return found


def _is_projected(variable: CFVariable, role: Roles) -> bool:
    """Whether the grid is straight in the coordinates of a map projection, which its 1-D coordinates are."""
    lines = [variable.coordinate(variable.dimensions[k]) for k in role.spatial]
    return sum(line is not None and line.text("standard_name") in _PROJECTED for line in lines) == 2


def _lines(chosen: dict[str, CFVariable], variable: CFVariable, role: Roles) -> dict[str, str]:
    """The dimensions of the directions without coordinates of several dimensions: one whose coordinate says so first,
    then one that no other coordinate has, then by position."""
    spatial = [variable.dimensions[k] for k in role.spatial]
    coordinates = {d: variable.coordinate(d) for d in spatial}
    told = {d: direction(found) for d, found in coordinates.items() if found is not None}
    taken = {d for coordinate in chosen.values() for d in coordinate.dimensions}
    lines: dict[str, str] = {}
    for axis in [axis for axis in "zyx" if axis not in chosen]:
        saying = [d for d in spatial if told.get(d) == axis]
        alone = [d for d in spatial if d not in taken]
        candidates = [*saying, *alone, spatial["zyx".index(axis)], *spatial]
        lines[axis] = next(d for d in candidates if d not in lines.values())
        taken.add(lines[axis])
    return lines


def _is_time(dimension: str, variable: CFVariable, role: Roles) -> bool:
    return role.time is not None and dimension == variable.dimensions[role.time]


def _spread(nodes: np.ndarray, dimensions: tuple[str, ...], variable: CFVariable, role: Roles) -> np.ndarray:
    """Coordinates with some of the variable's dimensions, as an array [z, y, x]."""
    spatial = [variable.dimensions[k] for k in role.spatial]
    # Dimensions that are neither time nor space have length 1.
    nodes = nodes[tuple(slice(None) if d in spatial else 0 for d in dimensions)]
    own = [d for d in dimensions if d in spatial]
    order = sorted(range(len(own)), key=lambda k: spatial.index(own[k]))
    shape = [variable.shape[role.spatial[k]] if d in own else 1 for k, d in enumerate(spatial)]
    return np.broadcast_to(nodes.transpose(order).reshape(shape), role.shape(variable))


def _unwrapped(longitude: np.ndarray) -> np.ndarray:
    """Longitudes [z, y, x] without jumps of 360 degrees along x, and then along y."""
    gaps = np.isnan(longitude)
    if gaps.any():  # a gap would go on to the end of its row
        return longitude
    rows = np.unwrap(longitude, period=360.0, axis=2)
    start = np.unwrap(rows[:, :, :1], period=360.0, axis=1)
    return rows - rows[:, :, :1] + start
