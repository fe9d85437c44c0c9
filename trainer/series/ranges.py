# SPDX-License-Identifier: BSD-3-Clause
"""In units of which ranges the network of a time step gives its values."""

from __future__ import annotations

from amgsrn_core.field import Ranges

# A range may be so many times as wide as the scaling, or as narrow.
_MOST_CHANGE = 2.0
# So much of it must lie within the scaling.
_LEAST_INSIDE = 0.5


def fits(ranges: Ranges, scaling: Ranges) -> bool:
    """Whether values in these ranges can be learned in units of an earlier step's: those of each component are between
    half and twice as wide, and for the greater part within them."""
    return all(_fits(*new, *old) for new, old in zip(ranges, scaling, strict=True))


def _fits(low: float, high: float, old_low: float, old_high: float) -> bool:
    width, old_width = high - low, old_high - old_low
    if old_width == 0 or width == 0:
        return (low, high) == (old_low, old_high)
    inside = min(high, old_high) - max(low, old_low)
    return old_width <= _MOST_CHANGE * width and width <= _MOST_CHANGE * old_width and inside >= _LEAST_INSIDE * width


def union(ranges: list[Ranges]) -> Ranges:
    """The range of each component over all steps."""
    return tuple((min(low for low, _ in ends), max(high for _, high in ends)) for ends in zip(*ranges, strict=True))
