# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from meshes: the lattice that shows them, and the mesh itself, which has the truth."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from amgsrn_core import Domain

from ..errors import NotAVolume, NothingButMissing
from .layout import VolumeLayout
from .mesh import Mesh
from .names import array_name
from .reader import Progress
from .region import Region, part_of, whole
from .resampling import lattice_for, resample
from .settle import settle
from .volume import Volume, VolumeSource


@dataclass(frozen=True, eq=False)
class MeshedVariables:
    """Variables on the nodes of a mesh at one time.

    Attributes:
        path: the file they are from.
        mesh: of a node that is missing in one component all are NaN.
        variables: as `VolumeReader.read` takes them.
        names, units: of the components.
        axis_units: of x, y and z.
        itemsize: bytes per value in the file.
        step, steps, time, times, time_units: see `VolumeLayout` and `StoredArray`.
        notes: what the user should know.
    """

    path: Path
    mesh: Mesh
    variables: tuple[str, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    axis_units: tuple[str, str, str] = ("", "", "")
    itemsize: int = 4
    step: int | None = None
    steps: int | None = None
    time: float | None = None
    times: tuple[float, ...] | None = None
    time_units: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def domain(self) -> Domain:
        """The lattice.

        Raises:
            NotAVolume: the mesh is flat or has no cells.
        """
        if not len(self.mesh.hexahedra) + len(self.mesh.tetrahedra):
            raise NotAVolume(self.path, ",".join(self.variables), "its grid has no three-dimensional cells")
        lattice = lattice_for(self.mesh)
        if lattice is None:
            raise NotAVolume(self.path, ",".join(self.variables), "all its nodes lie in one plane")
        return replace(lattice, units=self.axis_units, time=self.time, time_units=self.time_units)

    def layout(self) -> VolumeLayout:
        """See `VolumeReader.layout`."""
        return VolumeLayout(
            self.domain,
            self.variables,
            self.names,
            self.itemsize,
            steps=self.steps,
            times=self.times,
            time_units=self.time_units,
            notes=self._all_notes(),
            units=self.units,
        )

    def volume(self, region: Region | None, progress: Progress | None) -> Volume:
        """See `VolumeReader.read`; of a part, the mesh has the cells that reach into it. Where no cell has all its values,
        or no node with a value lies in the part, there is nothing to learn from and to measure at but the lattice, and the
        volume has no mesh."""
        part = region if region is not None else whole(self.domain)
        domain, mesh = part_of(self.domain, part), self.mesh
        if part != whole(self.domain):
            low, high = (np.array(domain.bounds[k::2]) for k in (0, 1))
            mesh = mesh.within(low, high)
        values = resample(mesh, self.domain, part, progress)
        inside = settle(values)[1]
        if inside == 0:
            raise NothingButMissing(self.path, ",".join(self.variables))
        usable = _is_usable(mesh, domain)
        ranges, _ = settle(mesh.values if usable else values)
        size = self.itemsize * mesh.values.size
        source = VolumeSource(self.path.name, self.variables, self.step, size)
        return Volume(
            values,
            domain,
            array_name(self.variables),
            self.units,
            ranges,
            inside,
            source,
            self._all_notes(),
            mesh if usable else None,
            component_names=() if self.names == self.variables else self.names,
        )

    def fingerprint(self) -> str:
        """See `VolumeReader.fingerprint`; of the whole mesh, which is in memory."""
        about = {"domain": self.domain.to_dict(), "variables": self.variables, "units": self.units, "names": self.names}
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
        self.mesh.add_to(digest)
        return digest.hexdigest()

    def _all_notes(self) -> tuple[str, ...]:
        nodes, cells = len(self.mesh.points), len(self.mesh.hexahedra) + len(self.mesh.tetrahedra)
        lattice = " x ".join(str(n) for n in self.domain.dimensions)
        return (*self.notes, f"a mesh of {nodes:,} nodes and {cells:,} cells, shown on a lattice of {lattice} nodes")


def _is_usable(mesh: Mesh, domain: Domain) -> bool:
    """Whether a cell has values at all its corners, and a node with a value lies in a domain."""
    known = np.isfinite(mesh.values[:, 0])
    low, high = (np.array(domain.bounds[k::2]) for k in (0, 1))
    inside = ((mesh.points >= low) & (mesh.points <= high)).all(axis=1)
    return bool((known & inside).any()) and any(
        known[cells].all(axis=1).any() for cells in (mesh.hexahedra, mesh.tetrahedra)
    )
