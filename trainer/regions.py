# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes an export has: a box of the domain, and how many nodes along each axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amgsrn_core import Domain

from .errors import InvalidOption


@dataclass(frozen=True)
class Nodes:
    """Nodes along the axes x, y, z.

    Attributes:
        normalized: where to sample, float64 (n,) per axis.
        world: world coordinates of the same nodes.
    """

    normalized: tuple[np.ndarray, np.ndarray, np.ndarray]
    world: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def shape(self) -> tuple[int, int, int]:
        """[z, y, x]."""
        x, y, z = self.world
        return (len(z), len(y), len(x))


def choose_nodes(
    domain: Domain,
    shape: tuple[int, int, int] | None = None,
    roi: tuple[int, int, int, int, int, int] | None = None,
    evenly: bool = False,
) -> Nodes:
    """The nodes of a region.

    Args:
        domain: of the model.
        shape: number of nodes (x, y, z); those of the original volume if left out.
        roi: first and last node (x0, x1, y0, y1, z0, z1) of the original volume, both included; all of it if left out.
        evenly: nodes are equally spaced in world coordinates; else nodes follow the spacing of the original volume.

    Raises:
        InvalidOption: a region outside the volume, or with fewer than 2 nodes along an axis.
    """
    normalized, world = [], []
    for k, (name, axis) in enumerate(zip("xyz", domain.axes, strict=True)):
        first, last = (0, axis.count - 1) if roi is None else (roi[2 * k], roi[2 * k + 1])
        if not 0 <= first < last < axis.count:
            raise InvalidOption(
                f"--roi {name} {first} to {last} makes no sense; "
                f"give two different nodes in ascending order between 0 and {axis.count - 1}"
            )
        count = last - first + 1 if shape is None else shape[k]
        if count < 2:
            raise InvalidOption(f"--shape has {count} along {name}; at least 2 are needed")
        index = np.linspace(first, last, count)
        nodes = index * (2.0 / (axis.count - 1)) - 1.0
        places = axis.denormalize(nodes)
        if evenly and not axis.is_uniform:
            places = np.linspace(places[0], places[-1], count)
            nodes = axis.normalize(places)
        normalized.append(nodes)
        world.append(places)
    return Nodes((normalized[0], normalized[1], normalized[2]), (world[0], world[1], world[2]))
