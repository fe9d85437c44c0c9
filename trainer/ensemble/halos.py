# SPDX-License-Identifier: BSD-3-Clause
"""Reading bricks of a chunked file without decoding chunks twice.

Neighbours overlap by a thin layer. The upper one would have to decode a whole layer of chunks for it, which the lower
one has decoded before: so whoever reads a brick leaves the layers that its upper neighbours need as files, and a brick
that finds them reads only the rest, which begins where a chunk begins (`cuts`). Along an axis, neighbours have the same
extents along the others, so that three layers are all that a brick needs.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np

from amgsrn_core.errors import ModelNotWritable
from amgsrn_core.partition import Partition
from amgsrn_core.storage import atomic_path

from ..errors import NothingButMissing
from ..volumes import VolumeReader
from ..volumes.region import Region

_AXES = "xyz"


class Halos:
    """Layers in files of a folder.

    Args:
        folder: where they are.
        partition: of the volume.
    """

    def __init__(self, folder: Path, partition: Partition) -> None:
        self._folder, self._partition = folder, partition

    def save(self, brick: int, values: np.ndarray) -> None:
        """Leave what a brick's upper neighbours need of its values [z, y, x, c]; where there is no room they read it for
        themselves."""
        for axis in range(3):
            upper = self._neighbour(brick, axis, 1)
            if upper is None:
                continue
            thickness = _layer(self._partition, upper, axis)
            index = [slice(None)] * 3
            index[2 - axis] = slice(values.shape[2 - axis] - thickness, None)
            with contextlib.suppress(ModelNotWritable), atomic_path(self._path(upper, axis)) as temporary:
                with temporary.open("wb") as file:
                    np.save(file, np.ascontiguousarray(values[tuple(index)]))

    def load(self, brick: int, axis: int) -> np.ndarray | None:
        """The layer [z, y, x, c] at a brick's lower face; None if nobody has left it, or it is unusable."""
        try:
            values = np.load(self._path(brick, axis))
        except (OSError, ValueError, EOFError):
            return None
        expected = [last - first + 1 for first, last in reversed(self._partition.extent(brick))]
        expected[2 - axis] = _layer(self._partition, brick, axis)
        usable = values.dtype == np.float32 and list(values.shape[:3]) == expected and values.ndim == 4
        return values if usable else None

    def remove(self, brick: int) -> None:
        """Remove what was left for a brick."""
        for axis in range(3):
            self._path(brick, axis).unlink(missing_ok=True)

    def _neighbour(self, brick: int, axis: int, side: int) -> int | None:
        return neighbour(self._partition, brick, axis, side)

    def _path(self, brick: int, axis: int) -> Path:
        return self._folder / f"halo-{brick:05d}-{_AXES[axis]}.npy"


def neighbour(partition: Partition, brick: int, axis: int, side: int) -> int | None:
    """The brick beyond a face; None at the volume's own.

    Args:
        side: 1 for the upper face, -1 for the lower one.
    """
    position = partition.position(brick)[axis] + side
    if not 0 <= position < partition.bricks[axis]:
        return None
    return brick + side * math.prod(partition.bricks[:axis])


def read_brick(
    reader: VolumeReader,
    variables: tuple[str, ...],
    time: int | None,
    partition: Partition,
    brick: int,
    components: int,
    halos: Halos | None,
) -> np.ndarray:
    """The values of a brick's extent, float32 [z, y, x, c]; missing ones are NaN.

    Args:
        reader: of the volume.
        variables, time: as for `VolumeReader.read`.
        partition: of the volume.
        brick: which.
        components: values per node.
        halos: where layers are found, and left for others; None to read everything from the file.

    Raises:
        VolumeError: see `VolumeReader.read`.
    """
    extent = partition.extent(brick)
    firsts, layers = [first for first, _ in extent], {}
    for axis in range(3):
        layer = None if halos is None or neighbour(partition, brick, axis, -1) is None else halos.load(brick, axis)
        # What remains has to be something that can be read by itself.
        if (
            layer is not None
            and layer.shape[3] == components
            and extent[axis][1] - firsts[axis] > layer.shape[2 - axis]
        ):
            layers[axis] = layer
            firsts[axis] += layer.shape[2 - axis]
    x, y, z = ((first, last) for first, (_, last) in zip(firsts, extent, strict=True))
    rest = _read(reader, variables, time, (x, y, z), components)
    if layers:
        shape = [last - first + 1 for first, last in reversed(extent)]
        values = np.empty((*shape, components), dtype=np.float32)
        values[tuple(slice(values.shape[k] - rest.shape[k], None) for k in range(3))] = rest
        for axis, layer in layers.items():
            index = [slice(None)] * 3
            index[2 - axis] = slice(layer.shape[2 - axis])
            values[tuple(index)] = layer
    else:
        values = rest
    if halos is not None:
        halos.save(brick, values)
    return values


def _read(
    reader: VolumeReader, variables: tuple[str, ...], time: int | None, region: Region, components: int
) -> np.ndarray:
    try:
        return reader.read(variables, time, region).values
    except NothingButMissing:
        shape = [last - first + 1 for first, last in reversed(region)]
        return np.full((*shape, components), np.nan, dtype=np.float32)


def _layer(partition: Partition, brick: int, axis: int) -> int:
    """Nodes along an axis that a brick has in common with its lower neighbour."""
    lower = neighbour(partition, brick, axis, -1)
    assert lower is not None
    return partition.extent(lower)[axis][1] - partition.extent(brick)[axis][0] + 1
