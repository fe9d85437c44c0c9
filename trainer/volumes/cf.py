# SPDX-License-Identifier: BSD-3-Clause
"""The parts of the Climate and Forecast conventions that are needed to find volumes, time and coordinates in a NetCDF
file.

Source: CF Metadata Conventions 1.11, chapters 4 (coordinate types), 5 (coordinate systems) and 8.1 (packed data).
"""

from __future__ import annotations

from typing import Any

import netCDF4

_TIME_NAMES = frozenset({"time", "t", "times", "timestep", "time_step"})


def attribute(variable: Any, name: str, default: Any = None) -> Any:
    """An attribute's value, or `default`."""
    return variable.getncattr(name) if name in variable.ncattrs() else default


def text(variable: Any, name: str) -> str:
    """An attribute as text; empty where there is none or it is not text."""
    value = attribute(variable, name, "")
    return value.strip() if isinstance(value, str) else ""


def coordinate_variable(variable: Any, dimension: str) -> Any | None:
    """The numeric 1-D variable named like the dimension, in the variable's group or one above it; None if there is
    none."""
    group = variable.group()
    while group is not None:
        if dimension in group.variables:
            found = group.variables[dimension]
            return found if found.dimensions == (dimension,) and is_numeric(found) else None
        if dimension in group.dimensions:
            return None
        group = group.parent
    return None


def is_numeric(variable: Any) -> bool:
    """Whether the values are real numbers (not text, and no user-defined type)."""
    kind = getattr(variable.dtype, "kind", "") if variable.dtype is not str else ""
    return kind in "iuf" and isinstance(variable.datatype, type(variable.dtype))


def is_time(variable: Any, position: int) -> bool:
    """Whether a dimension of a variable is time.

    By its coordinate variable (axis, standard_name, units "... since ..."), by its name, or as an unlimited leading
    dimension.
    """
    name = variable.dimensions[position]
    coordinate = coordinate_variable(variable, name)
    if coordinate is not None:
        axis = text(coordinate, "axis").upper()
        if axis in ("X", "Y", "Z"):
            return False
        if axis == "T" or text(coordinate, "standard_name") == "time" or " since " in text(coordinate, "units"):
            return True
    if name.lower() in _TIME_NAMES:
        return True
    return position == 0 and len(variable.dimensions) > 3 and variable.get_dims()[0].isunlimited()


def auxiliary_names(dataset: netCDF4.Dataset) -> set[str]:
    """Names of the variables that describe others: coordinates, bounds, and parts of formulas."""
    names: set[str] = set()
    for variable in dataset.variables.values():
        names.update(text(variable, "coordinates").split())
        names.update(word for word in text(variable, "formula_terms").split() if not word.endswith(":"))
        names.update(text(variable, kind) for kind in ("bounds", "climatology"))
    return names - {""}
