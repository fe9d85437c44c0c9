# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a volume: a range of nodes along each axis."""

from __future__ import annotations

from amgsrn_core import Axis, Domain

from ..errors import InvalidRegion
from .tiles import Tile

# First and last node, both included, along x, y, z.
Region = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def whole(domain: Domain) -> Region:
    """All nodes."""
    nx, ny, nz = domain.dimensions
    return ((0, nx - 1), (0, ny - 1), (0, nz - 1))


def slices(region: Region) -> Tile:
    """The same part as slices (z, y, x) of an array."""
    x, y, z = (slice(first, last + 1) for first, last in region)
    return (z, y, x)


def part_of(domain: Domain, region: Region) -> Domain:
    """The domain of a part of a volume.

    Raises:
        InvalidRegion: it is not inside, or thinner than two nodes.
    """
    axes = []
    for axis, (first, last) in zip(domain.axes, region, strict=True):
        if not 0 <= first < last < axis.count:
            raise InvalidRegion(region, domain.dimensions)
        if (first, last) == (0, axis.count - 1):
            axes.append(axis)
        elif axis.coordinates is not None:
            axes.append(Axis.rectilinear(list(axis.coordinates[first : last + 1])))
        else:
            axes.append(Axis.uniform(last - first + 1, axis.origin + first * axis.spacing, axis.spacing))
    x, y, z = axes
    return Domain((x, y, z), domain.units, domain.time, domain.time_units)
