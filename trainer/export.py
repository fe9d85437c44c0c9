# SPDX-License-Identifier: BSD-3-Clause
"""Writing a field's values as an ordinary volume, slab by slab: NetCDF (any grid) or VTK image data (evenly spaced)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from amgsrn_core import Field
from amgsrn_core.grid import sample_nodes
from amgsrn_core.storage.atomic import atomic_path

from .errors import InvalidOption
from .image_data import write_image_data
from .regions import Nodes, choose_nodes

_SLAB_VALUES = 1 << 20

Advance = Callable[[float], object]


def export(
    field: Field,
    path: Path,
    shape: tuple[int, int, int] | None = None,
    roi: tuple[int, int, int, int, int, int] | None = None,
    progress: Advance | None = None,
) -> tuple[int, int, int]:
    """Write the values at nodes, all or nothing; see `choose_nodes` for `shape` and `roi`. Where the field has gaps the
    values are NaN, which NetCDF files name as their fill value, and points of image data are hidden.

    Returns:
        the number of nodes [z, y, x].

    Raises:
        InvalidOption: unknown kind of file, or no such region.
        ModelNotWritable: no such folder, not allowed, or no space.
    """
    kind = check_kind(path)
    nodes = choose_nodes(field.domain, shape, roi, evenly=kind == ".vti")
    with atomic_path(path) as temporary:
        if kind == ".nc":
            _write_netcdf(temporary, field, nodes, progress)
        else:
            write_image_data(temporary, field.array, nodes, _slabs(field, nodes, progress), field.has_gaps)
    return nodes.shape


def check_kind(path: Path) -> str:
    """The suffix, if it is one that can be written.

    Raises:
        InvalidOption: it is not.
    """
    kind = path.suffix.lower()
    if kind not in (".nc", ".vti"):
        raise InvalidOption(f"'{path}' should end in .nc (NetCDF) or .vti (VTK image data)")
    return kind


def _slabs(field: Field, nodes: Nodes, progress: Advance | None) -> Iterator[tuple[int, np.ndarray]]:
    """First plane and values float32 [k, y, x, c] of consecutive slabs."""
    x, y, z = nodes.normalized
    planes = max(1, _SLAB_VALUES // (len(x) * len(y) * field.array.components))
    for start in range(0, len(z), planes):
        yield start, sample_nodes(field, x, y, z[start : start + planes])
        if progress is not None:
            progress(min(1.0, (start + planes) / len(z)))


def _write_netcdf(path: Path, field: Field, nodes: Nodes, progress: Advance | None) -> None:
    domain, array = field.domain, field.array
    try:
        with netCDF4.Dataset(str(path), "w", format="NETCDF4") as file:
            file.Conventions = "CF-1.8"
            file.title = f"{array.name}, evaluated from a neural representation"
            for name, axis, units, places in zip("zyx", "ZYX", domain.units[::-1], nodes.world[::-1], strict=True):
                file.createDimension(name, len(places))
                coordinate = file.createVariable(name, "f8", (name,))
                coordinate.axis = axis
                if units:
                    coordinate.units = units
                coordinate[:] = places
            if domain.time is not None:
                moment = file.createVariable("time", "f8", ())
                moment.axis = "T"
                if domain.time_units:
                    moment.units = domain.time_units
                moment[...] = domain.time
            variables = [_variable(file, name, field) for name in array.component_names or (array.name,)]
            for start, slab in _slabs(field, nodes, progress):
                for component, variable in enumerate(variables):
                    variable[start : start + len(slab)] = slab[..., component]
    except RuntimeError as error:
        # What the library makes of a full disk.
        raise OSError(f"{error}; is the disk full?") from error


def _variable(file: Any, wanted: str, field: Field) -> Any:
    """A new variable for the values of one component."""
    name = wanted.replace("/", "_") or "value"
    # It must not have the name of a dimension, or it would be taken for its coordinates.
    while name in file.variables:
        name += "_value"
    fill = np.float32("nan") if field.has_gaps else None
    variable = file.createVariable(name, "f4", ("z", "y", "x"), fill_value=fill)
    # Filled values would be turned into masked arrays and back.
    variable.set_auto_maskandscale(False)
    if field.array.units:
        variable.units = field.array.units
    if field.domain.time is not None:
        variable.coordinates = "time"
    return variable
