# SPDX-License-Identifier: BSD-3-Clause
"""Amounts as people write them: a number, and a unit or none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+|[0-9]+\.)\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)
_BYTES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _BYTES |= {_letter: 10 ** (3 * _power), f"{_letter}b": 10 ** (3 * _power), f"{_letter}ib": 1 << (10 * _power)}
# More than any disk holds.
_MOST_BYTES = 1e15


def amount(text: str, units: Mapping[str, float]) -> float | None:
    """What a text says in terms of units, by their names in small letters; None where it says nothing.

    >>> amount("1.5 h", {"h": 3600.0})
    5400.0
    """
    match = _NUMBER.fullmatch(text)
    if match is None or match[2].lower() not in units:
        return None
    return float(match[1]) * units[match[2].lower()]


def byte_count(text: str) -> int | None:
    """Bytes, at least 1, from '300000', '500k', '2M' (thousands, millions) or '64KiB' (of 1024); None where it is no
    number of bytes."""
    count = amount(text, _BYTES)
    return math.floor(count) if count is not None and 1 <= count <= _MOST_BYTES else None
