# SPDX-License-Identifier: BSD-3-Clause
"""Memory for the gradients of a network's parameters.

Those of all small parameters (transforms, weights, biases) are parts of one tensor, so that one call clears it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

# Each part begins at a multiple of this many elements: 16 bytes, which kernels can count on.
_ALIGNMENT = 4


@dataclass(frozen=True)
class Wanted:
    """Which gradients are asked for: of points, transforms, grids' features, weights and biases."""

    points: bool
    transforms: bool
    features: bool
    mlp: bool


@dataclass(frozen=True)
class Shapes:
    """Shapes of the small parameters."""

    transforms: torch.Size
    weights: list[torch.Size]
    biases: list[torch.Size]

    @classmethod
    def of(cls, transforms: torch.Tensor, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor]) -> Shapes:
        return cls(transforms.shape, [w.shape for w in weights], [b.shape for b in biases])


@dataclass(frozen=True)
class SmallGradients:
    """Gradients of the small parameters; None for those that are not wanted."""

    transforms: torch.Tensor | None
    weights: list[torch.Tensor | None]
    biases: list[torch.Tensor | None]

    @classmethod
    def parts_of(cls, small: torch.Tensor, shapes: Shapes, wanted: Wanted) -> SmallGradients:
        """Views of the tensor that `zeros` made."""
        start = 0

        def take(shape: torch.Size, wanted: bool) -> torch.Tensor | None:
            nonlocal start
            if not wanted:
                return None
            part = small[start : start + shape.numel()].view(shape)
            start += _aligned(shape)
            return part

        return cls(
            take(shapes.transforms, wanted.transforms),
            [take(s, wanted.mlp) for s in shapes.weights],
            [take(s, wanted.mlp) for s in shapes.biases],
        )


def zeros(
    wanted: Wanted, points: torch.Tensor, grids: torch.Tensor, shapes: Shapes
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Float32 zeros for the gradients of the points, of the grids (with their strides), and of the small parameters;
    empty where not wanted."""
    small = ([shapes.transforms] if wanted.transforms else []) + (shapes.weights + shapes.biases if wanted.mlp else [])
    return (
        points.new_zeros(points.shape if wanted.points else (0,)),
        torch.zeros_like(grids, dtype=torch.float32) if wanted.features else points.new_zeros(0),
        points.new_zeros(sum(_aligned(s) for s in small)),
    )


def _aligned(shape: torch.Size) -> int:
    return -(-shape.numel() // _ALIGNMENT) * _ALIGNMENT
