# SPDX-License-Identifier: BSD-3-Clause
"""Writing a field's values as an ordinary volume, slab by slab: NetCDF (any grid) or VTK image data (evenly spaced)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import quoteattr

import netCDF4
import numpy as np

from amgsrn_core import Field
from amgsrn_core.grid import sample_nodes
from amgsrn_core.storage.atomic import atomic_path

from .errors import InvalidOption
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
    """Write the values at nodes, all or nothing; see `choose_nodes` for `shape` and `roi`.

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
            _write_image_data(temporary, field, nodes, progress)
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
    """First plane and values float32 [k, y, x] of consecutive slabs."""
    x, y, z = nodes.normalized
    planes = max(1, _SLAB_VALUES // (len(x) * len(y)))
    for start in range(0, len(z), planes):
        yield start, sample_nodes(field, x, y, z[start : start + planes])[..., 0]
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
            # A variable must not have the name of a dimension, or it would be taken for its coordinates.
            safe = array.name.replace("/", "_") or "value"
            values = file.createVariable(f"{safe}_value" if safe in file.variables else safe, "f4", ("z", "y", "x"))
            if array.units:
                values.units = array.units
            if domain.time is not None:
                values.coordinates = "time"
            for start, slab in _slabs(field, nodes, progress):
                values[start : start + len(slab)] = slab
    except RuntimeError as error:
        # What the library makes of a full disk.
        raise OSError(f"{error}; is the disk full?") from error


def _write_image_data(path: Path, field: Field, nodes: Nodes, progress: Advance | None) -> None:
    nz, ny, nx = nodes.shape
    origin = [float(places[0]) for places in nodes.world]
    spacing = [float((places[-1] - places[0]) / (len(places) - 1)) for places in nodes.world]
    extent = f"0 {nx - 1} 0 {ny - 1} 0 {nz - 1}"
    name = quoteattr(field.array.name)
    order = "LittleEndian" if sys.byteorder == "little" else "BigEndian"
    header = (
        '<?xml version="1.0"?>\n'
        f'<VTKFile type="ImageData" version="1.0" byte_order="{order}" header_type="UInt64">\n'
        f'<ImageData WholeExtent="{extent}" Origin="{_joined(origin)}" Spacing="{_joined(spacing)}">\n'
        f'<Piece Extent="{extent}"><PointData Scalars={name}>\n'
        f'<DataArray type="Float32" Name={name} format="appended" offset="0"/>\n'
        "</PointData></Piece></ImageData>\n"
        '<AppendedData encoding="raw">\n_'
    )
    with path.open("wb") as file:
        file.write(header.encode())
        file.write(np.uint64(4 * nx * ny * nz).tobytes())
        _write_slabs(file, field, nodes, progress)
        file.write(b"\n</AppendedData>\n</VTKFile>\n")


def _write_slabs(file: BinaryIO, field: Field, nodes: Nodes, progress: Advance | None) -> None:
    for _, slab in _slabs(field, nodes, progress):
        file.write(np.ascontiguousarray(slab).data)


def _joined(numbers: list[float]) -> str:
    return " ".join(repr(n) for n in numbers)
