# SPDX-License-Identifier: BSD-3-Clause
"""VTK image data (.vti) with values that are given slab by slab."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import quoteattr

import numpy as np

from amgsrn_core import ArrayInfo

from .regions import Nodes

# VTK's array that hides points, and the cells at them; and its value for that.
_GHOSTS, _HIDDEN_POINT = "vtkGhostType", 2
_LENGTH = np.dtype(np.uint64)


def write_image_data(
    path: Path, array: ArrayInfo, nodes: Nodes, slabs: Iterable[tuple[int, np.ndarray]], gaps: bool
) -> None:
    """Write a file.

    Args:
        path: the file.
        array: what the values are.
        nodes: equally spaced.
        slabs: first plane and values float32 [k, y, x, c] of parts that follow each other; NaN where there are none.
        gaps: whether there may be such, which are then hidden, too.
    """
    nz, ny, nx = nodes.shape
    value_bytes = 4 * array.components * nx * ny * nz
    ghosts_at = _LENGTH.itemsize + value_bytes
    with path.open("wb") as file:
        file.write(_header(array, nodes, ghosts_at if gaps else None).encode())
        begin = file.tell()
        _write_length(file, value_bytes)
        for first, slab in slabs:
            start = first * ny * nx
            file.seek(begin + _LENGTH.itemsize + 4 * array.components * start)
            file.write(np.ascontiguousarray(slab).data)
            if gaps:
                hidden = np.isnan(slab[..., 0]).astype(np.uint8) * np.uint8(_HIDDEN_POINT)
                file.seek(begin + ghosts_at + _LENGTH.itemsize + start)
                file.write(hidden.data)
        if gaps:
            file.seek(begin + ghosts_at)
            _write_length(file, nx * ny * nz)
        file.seek(0, 2)
        file.write(b"\n</AppendedData>\n</VTKFile>\n")


def _header(array: ArrayInfo, nodes: Nodes, ghosts_at: int | None) -> str:
    nz, ny, nx = nodes.shape
    origin = [float(places[0]) for places in nodes.world]
    spacing = [float((places[-1] - places[0]) / (len(places) - 1)) for places in nodes.world]
    extent = f"0 {nx - 1} 0 {ny - 1} 0 {nz - 1}"
    name = quoteattr(array.name)
    components = f' NumberOfComponents="{array.components}"' if array.components > 1 else ""
    components += "".join(f" ComponentName{k}={quoteattr(part)}" for k, part in enumerate(array.component_names))
    ghosts = f'<DataArray type="UInt8" Name="{_GHOSTS}" format="appended" offset="{ghosts_at}"/>\n'
    order = "LittleEndian" if sys.byteorder == "little" else "BigEndian"
    return (
        '<?xml version="1.0"?>\n'
        f'<VTKFile type="ImageData" version="1.0" byte_order="{order}" header_type="UInt64">\n'
        f'<ImageData WholeExtent="{extent}" Origin="{_joined(origin)}" Spacing="{_joined(spacing)}">\n'
        f'<Piece Extent="{extent}"><PointData Scalars={name}>\n'
        f'<DataArray type="Float32" Name={name}{components} format="appended" offset="0"/>\n'
        f"{'' if ghosts_at is None else ghosts}"
        "</PointData></Piece></ImageData>\n"
        '<AppendedData encoding="raw">\n_'
    )


def _write_length(file: BinaryIO, length: int) -> None:
    file.write(_LENGTH.type(length).tobytes())


def _joined(numbers: list[float]) -> str:
    return " ".join(repr(n) for n in numbers)
