# SPDX-License-Identifier: BSD-3-Clause
"""Reading volumes whose nodes are those of a lattice: piece by piece, any part, several variables at once."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from amgsrn_core import Domain

from ..errors import NothingButMissing, VariablesDiffer
from .layout import VolumeLayout
from .names import array_name
from .reader import Progress, VolumeReader
from .region import Region, part_of, slices, whole
from .settle import settle
from .tiles import Tile, decoded_values, tiles
from .volume import Volume, VolumeSource

# What a fingerprint looks at: so many blocks of so many nodes along each axis, at most.
_BLOCKS, _BLOCK_NODES = 32, 8
# Multiples of these, modulo 1, fill a cube evenly (powers of the inverse of x^4 = x + 1's root).
_SPREAD = np.array([0.8191725133961645, 0.6710436067037893, 0.5497004779019703])


@dataclass(frozen=True)
class StoredArray:
    """One variable of a file at one time.

    Attributes:
        name: as `VolumeReader.read` takes it.
        domain: where its nodes are, axes ascending.
        names: of its components.
        units: of each.
        itemsize: bytes per value in the file.
        chunks: the file's chunks along its own z, y, x; None for values in one piece.
        flips: which of its axes z, y, x descend in the file.
        depth: how many steps of time, say, a chunk holds besides.
        step: the time step; None for a variable without time, or where none was chosen.
        times: of all steps; None where the file does not say.
        steps: number of time steps.
        notes: what the user should know.
    """

    name: str
    domain: Domain
    names: tuple[str, ...]
    units: tuple[str, ...]
    itemsize: int
    chunks: tuple[int, int, int] | None = None
    flips: tuple[bool, bool, bool] = (False, False, False)
    depth: int = 1
    step: int | None = None
    steps: int | None = None
    times: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


class LatticeReader(VolumeReader):
    """An open file whose variables are stored node by node."""

    @abstractmethod
    def _array(self, name: str, time: int | None, must_choose: bool = True) -> StoredArray:
        """A variable that the file has, at a time, or, where none is given and none has to be chosen, at any."""

    @abstractmethod
    def _fill(self, array: StoredArray, tile: Tile, out: np.ndarray) -> None:
        """Read a piece, its axes as the file has them, into float32 [z, y, x, c]; NaN where missing."""

    def layout(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> VolumeLayout:
        arrays = self._arrays(self._chosen(variables), time, must_choose=False)
        first = arrays[0]
        chunks = first.chunks and (first.chunks[2], first.chunks[1], first.chunks[0])
        starts = None
        if chunks:
            starts = list(chunks)
            for axis, (count, flipped) in enumerate(zip(first.domain.dimensions, reversed(first.flips), strict=True)):
                if flipped:
                    starts[axis] = count % chunks[axis] or chunks[axis]
        return VolumeLayout(
            first.domain,
            tuple(array.name for array in arrays),
            _component_names(arrays),
            first.itemsize,
            chunks,
            None if starts is None else (starts[0], starts[1], starts[2]),
            first.steps,
            first.times,
            first.domain.time_units,
            first.notes,
            tuple(unit for array in arrays for unit in array.units),
        )

    def read(
        self,
        variables: str | Sequence[str] | None = None,
        time: int | None = None,
        region: Region | None = None,
        progress: Progress | None = None,
    ) -> Volume:
        arrays = self._arrays(self._chosen(variables), time)
        first, names = arrays[0], tuple(array.name for array in arrays)
        part = region if region is not None else whole(first.domain)
        domain = part_of(first.domain, part)
        values = self._values(arrays, part, progress)
        ranges, valid = settle(values)
        if valid == 0:
            raise NothingButMissing(self._path, ",".join(names))
        units = tuple(unit for array in arrays for unit in array.units)
        size = sum(array.itemsize * len(array.names) for array in arrays) * (values.size // values.shape[3])
        source = VolumeSource(self._path.name, names, first.step, size)
        component_names = _component_names(arrays)
        return Volume(
            values,
            domain,
            array_name(names),
            units,
            ranges,
            valid,
            source,
            first.notes,
            component_names=() if component_names == names else component_names,
        )

    def fingerprint(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> str:
        arrays = self._arrays(self._chosen(variables), time)
        about = {
            "domain": arrays[0].domain.to_dict(),
            "variables": [array.name for array in arrays],
            "units": [array.units for array in arrays],
            "names": _component_names(arrays),
        }
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
        for block in _blocks(arrays[0].domain):
            digest.update(self._values(arrays, block, None).tobytes())
        return digest.hexdigest()

    def _arrays(self, names: tuple[str, ...], time: int | None, must_choose: bool = True) -> list[StoredArray]:
        arrays = [self._array(name, time, must_choose) for name in names]
        for other in arrays[1:]:
            if (other.domain.axes, other.domain.time) != (arrays[0].domain.axes, arrays[0].domain.time):
                raise VariablesDiffer(self._path, names[0], other.name)
        return arrays

    def _values(self, arrays: Sequence[StoredArray], region: Region, progress: Progress | None) -> np.ndarray:
        """float32 [z, y, x, c] of a part, axes ascending."""
        part = slices(region)
        shape = (*(s.stop - s.start for s in part), sum(len(array.names) for array in arrays))
        try:
            values = np.empty(shape, dtype=np.float32)
        except MemoryError as error:
            need = 4 * np.prod(shape, dtype=float) / 2**30
            names = ", ".join(array.name for array in arrays)
            raise MemoryError(f"variable '{names}' needs {need:.1f} GiB of memory") from error
        first = done = 0
        for array in arrays:
            count = len(array.names)
            # The same memory, its axes as the file has them.
            order = tuple(slice(None, None, -1 if flip else 1) for flip in array.flips)
            target = values[order][..., first : first + count]
            stored = _in_file(part, array)
            bytes_per_node = array.itemsize * count
            for tile in tiles(array.domain.shape, array.chunks, bytes_per_node, stored):
                z, y, x = (slice(s.start - o.start, s.stop - o.start) for s, o in zip(tile, stored, strict=True))
                piece = target[z, y, x]
                self._fill(array, tile, piece)
                done += piece.size
                if progress is not None:
                    progress(done / values.size)
            decoded = decoded_values(array.domain.shape, array.chunks, stored)
            self.bytes_read += decoded * bytes_per_node * array.depth
            first += count
        return values


def _in_file(part: Tile, array: StoredArray) -> Tile:
    """A part as the file counts its nodes."""
    turned = []
    for s, n, flip in zip(part, array.domain.shape, array.flips, strict=True):
        turned.append(slice(n - s.stop, n - s.start) if flip else s)
    return (turned[0], turned[1], turned[2])


def _component_names(arrays: Sequence[StoredArray]) -> tuple[str, ...]:
    return tuple(name for array in arrays for name in array.names)


def _blocks(domain: Domain) -> Iterator[Region]:
    """Small parts, evenly spread over the volume, that begin where chunks are likely to begin."""
    counts = np.array(domain.dimensions)
    sizes = np.minimum(counts, _BLOCK_NODES)
    for k in range(_BLOCKS):
        first = ((k * _SPREAD) % 1.0 * (counts - sizes + 1)).astype(int) // _BLOCK_NODES * _BLOCK_NODES
        x, y, z = ((int(f), int(f + s - 1)) for f, s in zip(first, sizes, strict=True))
        yield (x, y, z)
