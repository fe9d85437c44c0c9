# SPDX-License-Identifier: BSD-3-Clause
"""Into which bricks a volume is cut, and how many of them are learned at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from amgsrn_core.partition import Partition

from ..errors import InvalidOption
from ..volumes.layout import VolumeLayout
from .cuts import cuts_along_chunks, equal_cuts, most_bricks, read_factor
from .memory import PROCESS_BYTES, fit_bytes, values_within

Triple = tuple[int, int, int]

# Half width in nodes of the zone in which neighbours are blended, unless --ghost says otherwise.
DEFAULT_OVERLAP = 2
# Bricks of fewer nodes along an axis are not worth a network.
LEAST_NODES = 24
# One fit of the whole volume is comfortable in this part of the memory.
_COMFORTABLE = 0.5
# What reading twice as much costs, in units of having twice as many bricks or bricks twice as long as wide.
_READ_WEIGHT = 0.5
# Bricks of so many values are large enough that their overlaps and networks' fixed costs are little.
_GOOD_VALUES = 1 << 21
_MOST_PER_AXIS = 128
# Networks of the small preset that keep a GPU busy.
_MOST_TOGETHER = 16


@dataclass(frozen=True)
class Resources:
    """What a run may use.

    Attributes:
        memory: bytes of all its processes together.
        workers: fits at a time, at most.
        asked: whether so many workers were asked for; then there are bricks for all of them.
        parameters: of each network, about.
        elsewhere: fits run on other machines, whose memory is theirs.
        shared: the parameters are those of all networks together, each of which has an equal part.
    """

    memory: int
    workers: int
    asked: bool
    parameters: int
    elsewhere: bool = False
    shared: bool = False

    def network(self, bricks: int) -> int:
        """Parameters of the network of one of so many bricks, about."""
        return self.parameters // bricks if self.shared else self.parameters


@dataclass(frozen=True)
class Grid:
    """A volume to be cut.

    Attributes:
        nodes: along (x, y, z).
        components: values per node.
        starts: first nodes of the file's chunks along (x, y, z); None for values that can be read one by one.
    """

    nodes: Triple
    components: int = 1
    starts: tuple[list[int], list[int], list[int]] | None = None

    @classmethod
    def of(cls, layout: VolumeLayout) -> Grid:
        """That of a file's volume."""
        x, y, z = (layout.chunk_starts(axis).tolist() for axis in range(3))
        return cls(layout.domain.dimensions, layout.components, None if layout.chunks is None else (x, y, z))

    @property
    def values(self) -> int:
        """Number of values."""
        return math.prod(self.nodes) * self.components

    def axis_starts(self, axis: int) -> list[int] | None:
        """First nodes of the chunks along an axis; None without chunks."""
        return None if self.starts is None else self.starts[axis]


@dataclass(frozen=True)
class _Way:
    """A way to cut an axis: into how many bricks, their width, the nodes of the largest with its overlap, and how many
    times the nodes that are needed are read."""

    count: int
    width: float
    largest: int
    read_factor: float


def fits_comfortably(grid: Grid, resources: Resources) -> bool:
    """Whether the whole volume can well be one fit, in one process."""
    return PROCESS_BYTES + fit_bytes(grid.values, resources.parameters) <= _COMFORTABLE * resources.memory


def choose_bricks(grid: Grid, resources: Resources, overlap: float) -> Triple:
    """The number of bricks along (x, y, z) that suits the memory and the number of workers: as few as possible, about as
    long as wide in nodes, and such that little is read twice.

    Raises:
        InvalidOption: the memory is too small for any bricks.
    """
    if fits_comfortably(grid, resources) and not (resources.asked and resources.workers > 1):
        return (1, 1, 1)
    ways = [_ways(grid, axis, overlap) for axis in range(3)]
    workers = 1 if resources.elsewhere else resources.workers
    least = min(resources.workers if resources.asked else 1, math.prod(len(axis) for axis in ways))
    # With little memory, rather fewer fits at a time than bricks that are hardly more than their overlaps.
    wanted = min(_GOOD_VALUES, grid.values // workers)
    about = max(1, grid.values // max(1, wanted))
    running = next((w for w in range(workers, 1, -1) if _values_per_brick(resources, w, about) >= wanted), 1)
    found = _cheapest(ways, grid.components, lambda count: _values_per_brick(resources, running, count), least)
    if found is not None:
        return found
    smallest, most = (
        math.prod(numbers) for numbers in zip(*((axis[-1].largest, axis[-1].count) for axis in ways), strict=True)
    )
    raise InvalidOption(
        f"--max-memory {resources.memory} is too small: the smallest bricks of this volume need about "
        f"{needed_bytes(smallest * grid.components, resources, most):,} bytes"
    )


def workers_within(largest: int, resources: Resources, bricks: int) -> int:
    """How many fits of bricks of so many values may run at a time on this machine.

    Args:
        largest: values of the largest brick.
        resources: of the run.
        bricks: their number.

    Raises:
        InvalidOption: not even one.
    """
    if resources.elsewhere:
        return resources.workers
    each = PROCESS_BYTES + fit_bytes(largest, resources.network(bricks))
    possible = (resources.memory - PROCESS_BYTES) // each
    if possible < 1:
        raise InvalidOption(
            f"--max-memory {resources.memory} is too small: bricks of {largest:,} values need about "
            f"{needed_bytes(largest, resources, bricks):,} bytes; give more, or smaller bricks with --bricks"
        )
    return min(resources.workers, possible)


def bricks_together(largest: int, workers: int, resources: Resources) -> int:
    """How many bricks of so many values each of some processes can hold at the same time, for a GPU."""
    free = (resources.memory - PROCESS_BYTES) // workers - PROCESS_BYTES
    return max(1, min(_MOST_TOGETHER, free // fit_bytes(largest, resources.parameters)))


def partition_values(partition: Partition) -> int:
    """Nodes of the largest brick, with its overlap."""
    return math.prod(max(last - first + 1 for first, last in partition.axis_extents(axis)) for axis in range(3))


def needed_bytes(largest: int, resources: Resources, bricks: int) -> int:
    """Least memory of a run with so many bricks of so many values: the process that directs it, and one that fits."""
    return 2 * PROCESS_BYTES + fit_bytes(largest, resources.network(bricks))


def choose_partition(grid: Grid, bricks: Triple, overlap: float) -> Partition:
    """Bricks of about equal size, cut along the file's chunks where that is near.

    Raises:
        InvalidOption: bricks too thin for their overlap.
    """
    edges, overlaps = [], []
    for axis, name in enumerate("xyz"):
        nodes, count = grid.nodes[axis], bricks[axis]
        possible = most_bricks(nodes, overlap, 2)
        if count > possible:
            raise InvalidOption(
                f"--bricks {','.join(map(str, bricks))} makes no sense: the volume has {nodes} nodes along {name}, "
                f"enough for {possible} bricks with --ghost {overlap:g}"
            )
        edges.append(tuple(_cuts(grid, axis, count, overlap)))
        overlaps.append(overlap if count > 1 else 0.0)
    x, y, z = edges
    return Partition(grid.nodes, (x, y, z), (overlaps[0], overlaps[1], overlaps[2]))


def _values_per_brick(resources: Resources, running: int, bricks: int) -> int:
    """How many values each of so many bricks may have with so many fits at a time."""
    network = resources.network(bricks)
    if resources.elsewhere:
        return values_within(resources.memory - PROCESS_BYTES, network)
    return values_within((resources.memory - PROCESS_BYTES) // running - PROCESS_BYTES, network)


def _cheapest(
    ways: Sequence[Sequence[_Way]], components: int, limit: Callable[[int], int], least: int
) -> Triple | None:
    """Of all ways to cut into bricks within a limit, the one with the fewest and roundest bricks and least reading.

    Args:
        ways: to cut x, y and z.
        components: values per node.
        limit: values of a brick, at most, by the number of bricks.
        least: number of bricks, at least.
    """
    best: tuple[float, Triple] | None = None
    limit = functools.cache(limit)
    for x in ways[0]:
        for y in ways[1]:
            plane = x.largest * y.largest * components
            # The fewest along z that do; those of two ways are in the order of their numbers.
            counts = ((w, x.count * y.count * w.count) for w in ways[2])
            z, count = next(((w, n) for w, n in counts if n >= least and plane * w.largest <= limit(n)), (None, 0))
            if z is None:
                continue
            widths = (x.width, y.width, z.width)
            reading = x.read_factor * y.read_factor * z.read_factor
            cost = math.log2(count) + math.log2(max(widths) / min(widths)) + _READ_WEIGHT * math.log2(reading)
            if best is None or cost < best[0] - 1e-9:
                best = (cost, (x.count, y.count, z.count))
    return None if best is None else best[1]


def _ways(grid: Grid, axis: int, overlap: float) -> list[_Way]:
    """All ways to cut an axis, fewest bricks first."""
    nodes, starts = grid.nodes[axis], grid.axis_starts(axis)
    ways = []
    for count in range(1, most_bricks(nodes, overlap, LEAST_NODES) + 1):
        extents = _extents(grid, axis, count, overlap)
        largest = max(last - first + 1 for first, last in extents)
        ways.append(_Way(count, nodes / count, largest, read_factor(extents, starts, nodes)))
        # Cutting on changes little any more.
        if count >= _MOST_PER_AXIS:
            break
    return ways


def _cuts(grid: Grid, axis: int, count: int, overlap: float) -> list[float]:
    nodes, starts = grid.nodes[axis], grid.axis_starts(axis)
    if starts is not None:
        cuts = cuts_along_chunks(nodes, count, overlap, starts)
        if all(upper - lower >= max(2.0 * overlap, 2.0) for lower, upper in pairwise(cuts)):
            return cuts
    return equal_cuts(nodes, count)


def _extents(grid: Grid, axis: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """First and last nodes of the bricks along an axis."""
    last, cuts = grid.nodes[axis] - 1, _cuts(grid, axis, count, overlap)
    return [(max(0, math.floor(low - overlap)), min(last, math.ceil(high + overlap))) for low, high in pairwise(cuts)]
