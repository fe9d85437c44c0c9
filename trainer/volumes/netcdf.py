# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from NetCDF 3 and 4 files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from .cf import CFVariable
from .cf_reader import CFReader
from .damage import damage_reported
from .lattice import StoredArray
from .tiles import Tile, cache_bytes


class NetCDFReader(CFReader):
    """An open NetCDF file."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            VolumeFileDamaged: the library cannot open it.
        """
        super().__init__(path)
        with damage_reported(self._path):
            self._dataset = netCDF4.Dataset(str(path), "r")
            self._dataset.set_auto_maskandscale(False)

    def close(self) -> None:
        if self._dataset.isopen():
            self._dataset.close()

    def _variables(self) -> dict[str, CFVariable]:
        return self._all

    @cached_property
    def _all(self) -> dict[str, CFVariable]:
        found: dict[str, CFVariable] = {}
        groups = [("", self._dataset)]
        with damage_reported(self._path):
            while groups:
                prefix, group = groups.pop(0)
                for name, variable in group.variables.items():
                    found[prefix + name] = _adapted(prefix + name, variable)
                groups += [(f"{prefix}{name}/", inner) for name, inner in group.groups.items()]
        return found

    def _fill(self, array: StoredArray, tile: Tile, out: np.ndarray) -> None:
        variable = self._all[array.name]
        if array.chunks is not None and isinstance(variable, _NetCDFVariable):
            # The default cache would hold much of the volume a second time. Size 0 would mean: leave it as it is.
            variable.handle.set_var_chunk_cache(size=max(1, cache_bytes(array.chunks, array.itemsize * array.depth)))
        super()._fill(array, tile, out)


@dataclass(frozen=True, eq=False)
class _NetCDFVariable(CFVariable):
    handle: Any

    @property
    def default_fill(self) -> float | None:
        # Bytes have none, says the NetCDF User's Guide.
        if self.dtype is None or self.dtype.itemsize == 1:
            return None
        return float(netCDF4.default_fillvals[self.dtype.str[1:]])

    def read(self, index: tuple[slice | int, ...]) -> np.ndarray:
        return np.asarray(self.handle[index])

    def find(self, name: str) -> CFVariable | None:
        group = self.handle.group()
        while group is not None:
            if name in group.variables:
                return _adapted(name, group.variables[name])
            if name in group.dimensions:
                return None
            group = group.parent
        return None


def _adapted(name: str, variable: Any) -> _NetCDFVariable:
    chunking = variable.chunking()
    numeric = variable.dtype is not str and getattr(variable.dtype, "kind", "") in "iuf"
    return _NetCDFVariable(
        name,
        variable.dimensions,
        tuple(int(n) for n in variable.shape),
        # A user-defined type has a dtype, too, but is not one.
        variable.dtype if numeric and isinstance(variable.datatype, type(variable.dtype)) else None,
        {attribute: variable.getncattr(attribute) for attribute in variable.ncattrs()},
        tuple(chunking) if isinstance(chunking, list) else None,
        tuple(dimension.isunlimited() for dimension in variable.get_dims()),
        variable,
    )
