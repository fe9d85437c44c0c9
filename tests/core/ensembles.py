# SPDX-License-Identifier: BSD-3-Clause
"""Random ensembles to compare kernels on."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import strategies as st

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
        narrowest = min(b - a for a, b in zip(edges[-1], edges[-1][1:], strict=False))
        overlap.append(draw(st.sampled_from([0.0, 0.0, 0.1, 0.25, 0.5])) * narrowest * (1 - 1e-12))
    x, y, z = edges
    return Partition((dimensions[0], dimensions[1], dimensions[2]), (x, y, z), (overlap[0], overlap[1], overlap[2]))
