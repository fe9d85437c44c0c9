# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from Exodus II files, which are NetCDF files: nodes, blocks of elements, time steps, and variables at nodes or
in elements.

Source: Schoof, Yarberry, "EXODUS II: A Finite Element Data Model", SAND92-2137, appendix A.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..errors import VolumeFileDamaged
from .cells import at_nodes, cut
from .damage import damage_reported
from .mesh import Mesh
from .mesh_reader import MeshReader
from .meshed import MeshedVariables
from .reader import VariableInfo

# What element types begin with, and how many of their nodes are corners; the others are of higher order.
_ELEMENTS = {"HEX": ("hexahedron", 8), "TET": ("tetrahedron", 4), "WED": ("wedge", 6), "PYR": ("pyramid", 5)}


def is_exodus(path: Path) -> bool:
    """Whether a NetCDF file has what Exodus files have.

    Raises:
        VolumeFileDamaged: the library cannot open it.
    """
    with damage_reported(path), netCDF4.Dataset(str(path), "r") as dataset:
        return {"num_nodes", "num_el_blk"} <= dataset.dimensions.keys()


class ExodusReader(MeshReader):
    """An open Exodus II file."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            VolumeFileDamaged: the library cannot open it.
        """
        super().__init__(path)
        with damage_reported(path):
            self._dataset = netCDF4.Dataset(str(path), "r")
            self._dataset.set_auto_maskandscale(False)

    def close(self) -> None:
        if self._dataset.isopen():
            self._dataset.close()

    def variables(self) -> list[VariableInfo]:
        shape, steps = (1, 1, len(self._dataset.dimensions["num_nodes"])), self._steps
        return [VariableInfo(name, shape, steps) for name in (*self._nodal, *self._of_elements)]

    def _meshed(self, names: tuple[str, ...], time: int | None, must_choose: bool) -> MeshedVariables:
        step = self._step(names[0], self._steps, time, must_choose)
        with damage_reported(self._path):
            columns = [self._values(name, step or 0) for name in names]
            times = tuple(float(t) for t in self._dataset.variables["time_whole"][:]) if self._steps else None
        values = np.stack(columns, axis=1).astype(np.float32)
        self.bytes_read += values.nbytes
        notes = [f"'{name}' has values in elements: averaged to nodes" for name in names if name not in self._nodal]
        if self._left_out:
            notes.append(f"elements of type {', '.join(self._left_out)} are left out")
        if times is not None and not np.isfinite(times).all():
            times = None
        moment = None if times is None or step is None else times[step]
        return MeshedVariables(
            self._path,
            self._mesh_of(values),
            names,
            names,
            ("",) * len(names),
            itemsize=self._itemsize(names[0]),
            step=step,
            steps=self._steps,
            time=moment,
            times=times,
            notes=tuple(notes),
        )

    @property
    def _steps(self) -> int | None:
        """Number of time steps; None for a file without any, which has no variables either."""
        return len(self._dataset.dimensions["time_step"]) if "time_step" in self._dataset.dimensions else None

    @cached_property
    def _nodal(self) -> dict[str, int]:
        """Variables at nodes and their numbers, counted from 1."""
        return self._names("name_nod_var")

    @cached_property
    def _of_elements(self) -> dict[str, int]:
        """Variables in elements, as far as none at nodes has the same name."""
        return {name: k for name, k in self._names("name_elem_var").items() if name not in self._nodal}

    def _names(self, table: str) -> dict[str, int]:
        if table not in self._dataset.variables or not self._steps:
            return {}
        with damage_reported(self._path):
            rows = np.ma.getdata(self._dataset.variables[table][:])
        texts = [row.tobytes().split(b"\0")[0].decode("utf-8", "replace").strip() for row in rows]
        return {text: k + 1 for k, text in enumerate(texts)}

    @cached_property
    def _blocks(self) -> list[tuple[int, str, np.ndarray]]:
        """Blocks of elements with three dimensions: number from 1, kind, and corners (k, corners), counted from 0."""
        found = []
        for number, variable, kind in self._connectivities():
            if kind[:3] in _ELEMENTS:
                name, corners = _ELEMENTS[kind[:3]]
                if variable.ndim != 2 or variable.shape[1] < corners:
                    raise VolumeFileDamaged(self._path, f"elements of type {kind} have too few nodes")
                with damage_reported(self._path):
                    found.append((number, name, np.asarray(variable[:, :corners], dtype=np.int64) - 1))
        return found

    @property
    def _left_out(self) -> list[str]:
        return sorted({kind for _, _, kind in self._connectivities() if kind[:3] not in _ELEMENTS})

    def _connectivities(self) -> list[tuple[int, Any, str]]:
        count = len(self._dataset.dimensions["num_el_blk"])
        named = [(k, self._dataset.variables.get(f"connect{k}")) for k in range(1, count + 1)]
        return [(k, v, str(getattr(v, "elem_type", "")).upper()) for k, v in named if v is not None]

    @cached_property
    def _geometry(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points (n, 3), hexahedra and tetrahedra."""
        variables = self._dataset.variables
        with damage_reported(self._path):
            if "coord" in variables:
                lines = list(np.asarray(variables["coord"][:]))
            else:
                lines = [np.asarray(variables[name][:]) for name in ("coordx", "coordy", "coordz") if name in variables]
        points = np.zeros((len(self._dataset.dimensions["num_nodes"]), 3))
        for axis, line in enumerate(lines[:3]):
            points[:, axis] = line
        parts = [cut(kind, cells) for _, kind, cells in self._blocks] or [
            cut("tetrahedron", np.zeros((0, 4), np.int64))
        ]
        hexahedra, tetrahedra = np.concatenate([h for h, _ in parts]), np.concatenate([t for _, t in parts])
        for cells in (hexahedra, tetrahedra):
            if cells.size and not 0 <= cells.min() <= cells.max() < len(points):
                raise VolumeFileDamaged(self._path, "elements have nodes that are not there")
        return points, hexahedra, tetrahedra

    def _mesh_of(self, values: np.ndarray) -> Mesh:
        points, hexahedra, tetrahedra = self._geometry
        return Mesh.of(points, values, hexahedra, tetrahedra)

    def _values(self, name: str, step: int) -> np.ndarray:
        """Values (nodes,) of a variable, float64."""
        variables, nodes = self._dataset.variables, len(self._dataset.dimensions["num_nodes"])
        if name in self._nodal:
            number = self._nodal[name]
            if f"vals_nod_var{number}" in variables:
                return np.asarray(variables[f"vals_nod_var{number}"][step], dtype=np.float64)
            return np.asarray(variables["vals_nod_var"][step, number - 1], dtype=np.float64)
        values = []
        for block, _, cells in self._blocks:
            own = variables.get(f"vals_elem_var{self._of_elements[name]}eb{block}")
            values.append(np.full(len(cells), np.nan) if own is None else np.asarray(own[step], dtype=np.float64))
        everything = np.concatenate([np.zeros(0, np.int64), *(cells.reshape(-1) for _, _, cells in self._blocks)])
        corners = np.concatenate(
            [np.zeros(0, np.int64), *(np.full(c.shape[0], c.shape[1]) for _, _, c in self._blocks)]
        )
        return at_nodes(everything, corners, np.concatenate([np.zeros(0), *values])[:, None], nodes)[:, 0]

    def _itemsize(self, name: str) -> int:
        for variable, values in self._dataset.variables.items():
            if variable.startswith("vals_nod_var" if name in self._nodal else "vals_elem_var"):
                return int(values.dtype.itemsize)
        return 4
