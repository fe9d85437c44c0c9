# SPDX-License-Identifier: BSD-3-Clause
"""Where one axis of a volume is cut into bricks, and how the cuts follow the file's chunks.

Positions are in units of nodes: 0 is the first node, N - 1 the last. A brick is trained on the nodes of its extent, its
core grown by the overlap on inner faces (`amgsrn_core.partition`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# A cut is moved to a chunk's end by so much of a brick's width at most: bricks are to stay about equal.
_MOST_MOVED = 0.25


def equal_cuts(nodes: int, bricks: int) -> list[float]:
    """The paper's cuts (section 5.1), e_0 = 0 to e_I = N - 1, all at equal distances."""
    return [i * (nodes - 1) / bricks for i in range(bricks)] + [float(nodes - 1)]


def cuts_along_chunks(nodes: int, bricks: int, overlap: float, starts: Sequence[int]) -> list[float]:
    """About equal cuts, each moved, where one is near, to where the lower brick's last node is the last node of a chunk.

    Then the lower brick needs nothing of the chunks of its upper neighbour, which in turn needs a layer of 2 `overlap`
    + 1 nodes of the lower brick's last chunk.

    Args:
        nodes: along the axis.
        bricks: along the axis.
        overlap: half width of the zone in which neighbours are blended, nodes.
        starts: first node of every chunk.
    """
    cuts = equal_cuts(nodes, bricks)
    width = (nodes - 1) / bricks
    candidates = [start - 1 - overlap for start in starts[1:]]
    for i in range(1, bricks):
        near = [c for c in candidates if abs(c - cuts[i]) <= _MOST_MOVED * width]
        if near:
            cuts[i] = float(min(near, key=lambda c, cut=cuts[i]: abs(c - cut)))  # type: ignore[misc]
    return cuts


def most_bricks(nodes: int, overlap: float, least_width: int) -> int:
    """Into how many bricks an axis may be cut so that each is at least so many nodes wide, and no more than two overlap
    anywhere."""
    return max(1, math.floor((nodes - 1) / max(least_width, 2.0 * overlap)))


def read_factor(extents: Sequence[tuple[int, int]], starts: Sequence[int] | None, nodes: int) -> float:
    """Nodes of all chunks that bricks read along one axis, over the nodes they need, if each reads for itself.

    Args:
        extents: first and last node of every brick.
        starts: first node of every chunk; None where any node can be read by itself.
        nodes: along the axis.
    """
    needed = sum(last - first + 1 for first, last in extents)
    if starts is None:
        return 1.0
    ends = [*starts[1:], nodes]
    read = 0
    for first, last in extents:
        read += min(end for end in ends if end > last) - max(start for start in starts if start <= first)
    return read / needed
