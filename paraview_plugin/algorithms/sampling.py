# SPDX-License-Identifier: BSD-3-Clause
"""How finely a field is sampled, and how much memory the samples take. Needs neither VTK nor torch."""

from __future__ import annotations

import math

Dimensions = tuple[int, int, int]

PREVIEW_POINTS = 1 << 18
# What evaluating a batch takes besides the result; an upper estimate.
_WORKING_BYTES = 256 << 20
# A byte for the point, one for the cell, and what it takes to find them.
_BYTES_OF_FLAGS = 5


def preview_dimensions(native: Dimensions, limit: int = PREVIEW_POINTS) -> Dimensions:
    """The finest dimensions with at most `limit` points that shrink all axes alike; never finer than `native`.

    >>> preview_dimensions((64, 64, 64))
    (64, 64, 64)
    >>> preview_dimensions((1001, 501, 251))
    (128, 64, 32)
    """
    low, high = 0.0, 1.0
    if math.prod(native) <= limit:
        return native
    for _ in range(60):
        middle = 0.5 * (low + high)
        if math.prod(_shrunk(native, middle)) <= limit:
            low = middle
        else:
            high = middle
    return _shrunk(native, low)


def sample_bytes(dimensions: Dimensions, components: int, has_gaps: bool = False) -> int:
    """Memory that sampling float32 values at that many points needs at its peak, with the flags of what is hidden."""
    return (4 * components + (_BYTES_OF_FLAGS if has_gaps else 0)) * math.prod(dimensions) + _WORKING_BYTES


def _shrunk(native: Dimensions, factor: float) -> Dimensions:
    nx, ny, nz = (max(2, math.floor((n - 1) * factor + 1e-9) + 1) for n in native)
    return (nx, ny, nz)
