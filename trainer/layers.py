# SPDX-License-Identifier: BSD-3-Clause
"""A volume that is read layer by layer, as often as it is looked at, because it does not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np

from .errors import NothingButMissing
from .volumes import Volume, VolumeReader, VolumeSource, array_name
from .volumes.layout import VolumeLayout

# Values that a layer has, about, where the file does not say what belongs together.
_LAYER_VALUES = 1 << 24


class LayeredValues:
    """Values [z, y, x, c] of a volume, of which planes can be asked for; the layer that was read last is kept.

    A layer is as thick as the file's chunks, so that none is decoded twice in a row.

    Args:
        reader: of the file.
        layout: of the volume.
        time: see `VolumeReader.read`.
    """

    def __init__(self, reader: VolumeReader, layout: VolumeLayout, time: int | None) -> None:
        self._reader, self._layout, self._time = reader, layout, time
        self.shape = (*layout.domain.shape, layout.components)
        self.size = math.prod(self.shape)
        starts = layout.chunk_starts(2)
        least = max(2, _LAYER_VALUES // (self.size // self.shape[0]) if layout.chunks is None else 2)
        self._starts = _spaced(starts, self.shape[0], least)
        self._kept: tuple[int, np.ndarray] | None = None

    def __getitem__(self, wanted: Any) -> Any:
        """All of it, given slices along z, y and x; or planes float32 [k, y, x, c], given one slice."""
        if isinstance(wanted, tuple):
            assert all(part.indices(count) == (0, count, 1) for part, count in zip(wanted, self.shape, strict=False))
            return self
        first, last, _ = wanted.indices(self.shape[0])
        planes = []
        while first < last:
            begin, layer = self._layer(first)
            planes.append(layer[first - begin : last - begin])
            first += len(planes[-1])
        return planes[0] if len(planes) == 1 else np.concatenate(planes)

    def layers(self) -> Iterator[np.ndarray]:
        """All layers, one after the other."""
        for start in self._starts[:-1]:
            yield self._layer(start)[1]

    def _layer(self, plane: int) -> tuple[int, np.ndarray]:
        """First plane and values of the layer that a plane is in."""
        begin, end = max(s for s in self._starts[:-1] if s <= plane), min(s for s in self._starts if s > plane)
        if self._kept is None or self._kept[0] != begin:
            _, ny, nx, _ = self.shape
            try:
                part = self._reader.read(
                    self._layout.variables, self._time, ((0, nx - 1), (0, ny - 1), (begin, end - 1))
                )
                self._kept = (begin, part.values)
            except NothingButMissing:
                self._kept = (begin, np.full((end - begin, *self.shape[1:]), np.nan, np.float32))
        return self._kept


def layered_volume(
    reader: VolumeReader, layout: VolumeLayout, time: int | None, progress: Callable[[float], object]
) -> Volume:
    """A volume whose values are read when they are looked at; it is read once to find ranges and missing values.

    Args:
        reader, layout, time: see `LayeredValues`.
        progress: called with the finished fraction in (0, 1].

    Raises:
        VolumeError: see `VolumeReader.read`.
    """
    values = LayeredValues(reader, layout, time)
    low, high, valid, done = np.full(layout.components, np.inf), np.full(layout.components, -np.inf), 0, 0
    for layer in values.layers():
        there = layer[np.isfinite(layer[..., 0])]
        if len(there):
            low, high = np.minimum(low, there.min(axis=0)), np.maximum(high, there.max(axis=0))
        valid += len(there)
        done += len(layer)
        progress(done / values.shape[0])
    if valid == 0:
        raise NothingButMissing(reader.path, ",".join(layout.variables))
    step = None if layout.steps is None else (time or 0) % layout.steps
    source = VolumeSource(reader.path.name, layout.variables, step, layout.itemsize * values.size)
    ranges = tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))
    units, names = layout.units or ("",) * layout.components, () if layout.names == layout.variables else layout.names
    array, name = cast(np.ndarray, values), array_name(layout.variables)
    return Volume(array, layout.domain, name, units, ranges, valid, source, component_names=names)


def _spaced(starts: np.ndarray, count: int, least: int) -> list[int]:
    """Some of the starts, at least so far from each other, and the end."""
    chosen = [0]
    for start in starts:
        if start - chosen[-1] >= least and count - start >= least:
            chosen.append(int(start))
    return [*chosen, count]
