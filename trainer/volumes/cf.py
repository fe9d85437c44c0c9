# SPDX-License-Identifier: BSD-3-Clause
"""The parts of the Climate and Forecast conventions that are needed to find volumes, time and coordinates, in files of
any format that has dimensions, variables and attributes.

Source: CF Metadata Conventions 1.11, chapters 4 (coordinate types), 5 (coordinate systems) and 8.1 (packed data).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_TIME_NAMES = frozenset({"time", "t", "times", "timestep", "time_step"})


@dataclass(frozen=True, eq=False)
class CFVariable(ABC):
    """A variable of an open file.

    Attributes:
        name: with its groups ("run/last/v").
        dimensions: names.
        shape: their lengths.
        dtype: of stored values; None for what is not real numbers.
        attributes: as stored.
        chunks: along the dimensions; None for values in one piece.
        unlimited: whether each dimension may grow.
    """

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype | None
    attributes: Mapping[str, Any]
    chunks: tuple[int, ...] | None
    unlimited: tuple[bool, ...]

    @abstractmethod
    def read(self, index: tuple[slice | int, ...]) -> np.ndarray:
        """Stored values of a part, one slice or index per dimension."""

    @abstractmethod
    def find(self, name: str) -> CFVariable | None:
        """The variable that this one means by a name: in its group, or a group above it."""

    @property
    def default_fill(self) -> float | None:
        """What missing values are stored as where no attribute says it; None where the format has no such number."""
        return None

    def text(self, attribute: str) -> str:
        """An attribute as text; empty where there is none or it is not text."""
        value = self.attributes.get(attribute, "")
        return value.strip() if isinstance(value, str) else ""

    def coordinate(self, dimension: str) -> CFVariable | None:
        """The numeric 1-D variable named like a dimension; None if there is none."""
        found = self.find(dimension)
        if found is None or found.dtype is None or found.dimensions != (dimension,):
            return None
        return found


@dataclass(frozen=True)
class Roles:
    """Which dimensions of a variable are what: positions of time (None: none) and of z, y, x; all others have
    length 1."""

    time: int | None
    spatial: tuple[int, int, int]

    def shape(self, variable: CFVariable) -> tuple[int, int, int]:
        """[z, y, x]"""
        z, y, x = (int(variable.shape[k]) for k in self.spatial)
        return (z, y, x)

    def steps(self, variable: CFVariable) -> int | None:
        """Number of time steps; None without time."""
        return None if self.time is None else int(variable.shape[self.time])


def roles(variable: CFVariable, time_asked_for: bool = False) -> Roles | str:
    """Which dimensions are time and space, or why the variable is not a volume."""
    if variable.dtype is None:
        return "its values are not numbers"
    positions = list(range(len(variable.dimensions)))
    time = next((k for k in positions if _is_time(variable, k)), None)
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
    return Roles(time, (spatial[0], spatial[1], spatial[2]))


def _is_time(variable: CFVariable, position: int) -> bool:
    """Whether a dimension is time: by its coordinate variable (axis, standard_name, units "... since ..."), by its
    name, or as an unlimited leading dimension."""
    name = variable.dimensions[position]
    coordinate = variable.coordinate(name)
    if coordinate is not None:
        axis = coordinate.text("axis").upper()
        if axis in ("X", "Y", "Z"):
            return False
        if axis == "T" or coordinate.text("standard_name") in ("time", "forecast_period"):
            return True
        if " since " in coordinate.text("units"):
            return True
    if name.lower() in _TIME_NAMES:
        return True
    return position == 0 and len(variable.dimensions) > 3 and variable.unlimited[0]


def auxiliary_names(variables: Iterable[CFVariable]) -> set[str]:
    """Names of the variables that describe others: coordinates, bounds, and parts of formulas."""
    names: set[str] = set()
    for variable in variables:
        names.update(variable.text("coordinates").split())
        names.update(word for word in variable.text("formula_terms").split() if not word.endswith(":"))
        names.update(variable.text(kind) for kind in ("bounds", "climatology"))
    return names - {""}
