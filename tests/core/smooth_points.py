# SPDX-License-Identifier: BSD-3-Clause
"""Points at which gradients of a network can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from amgsrn_core.kernels import reference


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
