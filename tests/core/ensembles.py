# SPDX-License-Identifier: BSD-3-Clause
"""Random ensembles to compare kernels on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from hypothesis import strategies as st

from amgsrn_core.kernels import Member
from amgsrn_core.partition import Partition


@st.composite
def partitions(draw: st.DrawFn, most: int = 4) -> Partition:
    """Partitions into at most so many bricks along each axis, equal or not, with overlap or without."""
    dimensions, edges, overlap = [], [], []
    for _ in range(3):
        steps = draw(st.lists(st.integers(4, 48), min_size=1, max_size=most))
        cuts = [0.0, *(step / 4 for step in accumulate(steps))]
        nodes = max(2, round(cuts[-1]) + 1)
        dimensions.append(nodes)
        edges.append(tuple(cut * (nodes - 1) / cuts[-1] if cut < cuts[-1] else float(nodes - 1) for cut in cuts))
        narrowest = min(b - a for a, b in pairwise(edges[-1]))
        overlap.append(draw(st.sampled_from([0.0, 0.0, 0.1, 0.25, 0.5])) * narrowest)
    x, y, z = edges
    return Partition((dimensions[0], dimensions[1], dimensions[2]), (x, y, z), (overlap[0], overlap[1], overlap[2]))


@dataclass(frozen=True)
class Ensemble:
    """A partition, and the arguments of each brick's `Member`."""

    partition: Partition
    bricks: list[dict[str, Any]]

    def members(self) -> list[Member]:
        return [Member(**brick) for brick in self.bricks]

    def double(self) -> list[Member]:
        """The same members in double precision."""
        return [Member(**{name: _double(value) for name, value in brick.items()}) for brick in self.bricks]

    def points(self, count: int, seed: int, size: float = 1.1) -> torch.Tensor:
        """Random points; half of those along each axis lie about the bricks' faces."""
        generator = torch.Generator().manual_seed(seed)
        points = size * (torch.rand(count, 3, generator=generator) * 2 - 1)
        for axis in range(3):
            starts, width = self.partition.blend_starts(axis), self.partition.blend_width(axis)
            if starts:
                choice = torch.randint(len(starts), (count,), generator=generator)
                near = torch.tensor(starts)[choice] + (width or 0.05) * (
                    torch.rand(count, generator=generator) * 1.4 - 0.2
                )
                moved = torch.rand(count, generator=generator) < 0.5
                points[:, axis] = torch.where(moved, near, points[:, axis])
        return points


def _double(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.double()
    return [v.double() for v in value] if isinstance(value, list) else value


@st.composite
def ensembles(draw: st.DrawFn) -> Ensemble:
    """Ensembles of networks of different sizes and of constants."""
    partition, outputs = draw(partitions(3)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    sizes = draw(st.lists(network_sizes, min_size=1, max_size=3))
    constants = draw(st.sampled_from([0.0, 0.3]))
    bricks = []
    for brick in range(partition.count):
        arguments: dict[str, Any] = {name: torch.randn(outputs, generator=generator) for name in ("scale", "shift")}
        if float(torch.rand((), generator=generator)) >= constants:
            arguments |= random_network(*sizes[brick % len(sizes)], outputs, generator)
        bricks.append(arguments)
    return Ensemble(partition, bricks)


# Grids, channels, nodes of a grid (z, y, x), hidden layers' widths, biases.
network_sizes = st.tuples(
    st.integers(1, 5),
    st.integers(1, 4),
    st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(2, 5)),
    st.lists(st.integers(1, 33), max_size=3),
    st.booleans(),
)


def random_network(
    m: int,
    c: int,
    shape: tuple[int, int, int],
    hidden: list[int],
    biased: bool,
    outputs: int,
    generator: torch.Generator,
) -> dict[str, Any]:
    """A network as `Member` takes it."""

    def random(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    transforms = torch.eye(4).repeat(m, 1, 1)
    transforms[:, :3] += 0.3 * random(m, 3, 4)
    widths = [m * c, *hidden, outputs]
    return {
        "transforms": transforms,
        "grids": random(m, c, *shape),
        "weights": [random(b, a) / a**0.5 for a, b in pairwise(widths)],
        "biases": [random(b) for b in widths[1:]] if biased else None,
    }


def small_ensemble(bricks: tuple[int, int, int], overlap: float, nodes: int = 41, outputs: int = 1) -> Ensemble:
    """An ensemble of small networks, all different."""
    generator = torch.Generator().manual_seed(5)
    partition = Partition.equal_split((nodes, nodes, nodes), bricks, overlap)
    return Ensemble(
        partition,
        [
            {
                "scale": torch.rand(outputs, generator=generator) + 0.5,
                "shift": torch.randn(outputs, generator=generator),
            }
            | random_network(4, 2, (4, 5, 6), [16, 16], True, outputs, generator)
            for _ in range(partition.count)
        ],
    )
