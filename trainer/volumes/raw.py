# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from files that hold nothing but numbers, x fastest; what they are has to be said, or be in the name, as in
those of the Open SciVis Datasets: skull_256x256x256_uint8.raw."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amgsrn_core import Axis, Domain

from ..errors import InvalidOption, RawFormatMissing, RawSizeWrong
from .lattice import LatticeReader, StoredArray
from .reader import VariableInfo
from .tiles import Tile

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
_DESCRIPTION = re.compile(r"(.+)_(\d+)x(\d+)x(\d+)_(u?int(?:8|16|32|64)|float(?:32|64)|float|double)", re.IGNORECASE)


@dataclass(frozen=True)
class RawFormat:
    """What the numbers of a file are.

    Attributes:
        shape: number of values along x, y and z; from the file's name if None.
        dtype: one of `TYPES`; from the file's name if None.
        big_endian: whether the first byte of a number is the most significant one.
        spacing, origin: distance of values along x, y, z, and where the first is, world units.
        header_bytes: to be skipped at the beginning.
    """

    shape: tuple[int, int, int] | None = None
    dtype: str | None = None
    big_endian: bool = False
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    header_bytes: int = 0

    def __post_init__(self) -> None:
        if self.shape is not None and min(self.shape) < 2:
            raise InvalidOption(f"--shape {_listed(self.shape)} makes no sense; give at least 2 values along each axis")
        if self.dtype is not None and self.dtype not in TYPES:
            raise InvalidOption(f"--dtype {self.dtype} is not known; choose one of: {', '.join(TYPES)}")
        if not all(0 < s < float("inf") for s in self.spacing):
            raise InvalidOption(f"--spacing {_listed(self.spacing)} makes no sense; give positive distances")
        if not np.isfinite(self.origin).all():
            raise InvalidOption(f"--origin {_listed(self.origin)} makes no sense; give finite coordinates")
        if self.header_bytes < 0:
            raise InvalidOption(f"--header-bytes {self.header_bytes} makes no sense; give a number from 0")


def described_by_name(path: Path) -> tuple[str, tuple[int, int, int], str] | None:
    """Name, shape (x, y, z) and type of a volume whose file's name says them, else None."""
    found = _DESCRIPTION.fullmatch(path.stem)
    if found is None:
        return None
    kind = {"float": "float32", "double": "float64"}.get(found[5].lower(), found[5].lower())
    return found[1], (int(found[2]), int(found[3]), int(found[4])), kind


class RawReader(LatticeReader):
    """A file of numbers."""

    def __init__(self, path: Path, form: RawFormat) -> None:
        """
        Raises:
            RawFormatMissing: neither the format nor the name says the shape and the type.
            RawSizeWrong: the file is shorter or longer than that.
        """
        super().__init__(path)
        name, shape, kind = described_by_name(path) or (path.stem, None, None)
        shape, kind = form.shape or shape, form.dtype or kind
        if shape is None or kind is None:
            raise RawFormatMissing(path, "--shape" if shape is None else "--dtype")
        dtype = np.dtype(kind).newbyteorder(">" if form.big_endian else "<")
        expected, found = form.header_bytes + dtype.itemsize * int(np.prod(shape, dtype=object)), path.stat().st_size
        if found != expected:
            about = f"{_listed(shape)} values of type {kind}"
            if form.header_bytes:
                about += f" after {form.header_bytes} bytes"
            raise RawSizeWrong(path, found, about, expected)
        x, y, z = shape
        self._name, self._dtype, self._skipped, self._shape = name, dtype, form.header_bytes, (z, y, x)
        axes = [Axis.uniform(*placed) for placed in zip(shape, form.origin, form.spacing, strict=True)]
        self._domain = Domain((axes[0], axes[1], axes[2]))

    def close(self) -> None:
        """Nothing is kept open."""

    def variables(self) -> list[VariableInfo]:
        return [VariableInfo(self._name, self._domain.shape, None)]

    def _array(self, name: str, time: int | None, must_choose: bool = True) -> StoredArray:
        step = self._step(name, None, time)
        return StoredArray(name, self._domain, (name,), ("",), self._dtype.itemsize, step=step)

    def _fill(self, array: StoredArray, tile: Tile, out: np.ndarray) -> None:
        # Mapped for one piece only: pages that were read would count as the process's own memory.
        stored = np.memmap(self._path, self._dtype, "r", self._skipped, self._shape)
        with np.errstate(over="ignore"):
            out[..., 0] = stored[tile]


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
