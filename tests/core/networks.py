# SPDX-License-Identifier: BSD-3-Clause
"""Random networks to compare kernels on, and points at which their gradients can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from hypothesis import strategies as st

from amgsrn_core.kernels import reference

Network = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor] | None]


@st.composite
def networks(draw: st.DrawFn) -> Network:
    m, c = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    shape = draw(st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 9)))
    hidden = draw(st.lists(st.integers(1, 256), max_size=3))
    widths = [m * c, *hidden, draw(st.integers(1, 4))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def random(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    transforms = torch.eye(4).repeat(m, 1, 1)
    transforms[:, :3] += draw(st.sampled_from([0.05, 0.5, 3.0])) * random(m, 3, 4)
    weights = [random(b, a) / a**0.5 for a, b in pairwise(widths)]
    biases = [random(b) for b in widths[1:]] if draw(st.booleans()) else None
    return transforms, random(m, c, *shape), weights, biases


def double(network: Network) -> Network:
    transforms, grids, weights, biases = network
    return transforms.double(), grids.double(), [w.double() for w in weights], biases and [b.double() for b in biases]


def away_from_kinks(
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Points at which round-off cannot change a gradient: not at a grid's node planes, no hidden value near zero."""
    local = reference.to_local(points.double(), transforms.double())
    nodes = torch.tensor(grids.shape[:1:-1], dtype=torch.float64)
    position = (local + 1) / 2 * (nodes - 1)
    smooth = ((position - position.round()).abs() > 1e-4).all(dim=2).all(dim=0)
    hidden = reference.encode(points.double(), transforms.double(), grids.double())
    for i, weight in enumerate(weights[:-1]):
        hidden = torch.nn.functional.linear(hidden, weight.double(), biases[i].double() if biases else None)
        # Exactly zero is what a point outside all grids has; it is cut off in any precision.
        smooth &= ((hidden.abs() > 1e-4) | (hidden == 0)).all(dim=1)
        hidden = hidden.relu()
    return points[smooth]
