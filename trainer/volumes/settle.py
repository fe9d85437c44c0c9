# SPDX-License-Identifier: BSD-3-Clause
"""Which values are missing, and the range of the others."""

from __future__ import annotations

import numpy as np

# Nodes looked at together, so that little memory is needed.
_BLOCK = 1 << 18


def settle(values: np.ndarray) -> tuple[tuple[tuple[float, float], ...], int]:
    """Make nodes with a component that is not finite NaN in all components, in place.

    Args:
        values: float32 [..., c], contiguous.

    Returns:
        (lowest, highest) valid value of each component, and the number of valid nodes; without any, ranges are
        (inf, -inf).
    """
    components = values.shape[-1]
    nodes = values.reshape(-1, components)
    lows, highs, valid = np.full(components, np.inf), np.full(components, -np.inf), 0
    for start in range(0, len(nodes), _BLOCK):
        block = nodes[start : start + _BLOCK]
        good = np.isfinite(block[:, 0])
        for k in range(1, components):
            good &= np.isfinite(block[:, k])
        count = int(good.sum())
        valid += count
        if count < len(block):
            block[~good] = np.nan
        if count:
            for k in range(components):
                lows[k] = min(lows[k], np.nanmin(block[:, k]))
                highs[k] = max(highs[k], np.nanmax(block[:, k]))
    return tuple((float(low), float(high)) for low, high in zip(lows, highs, strict=True)), valid
