# SPDX-License-Identifier: BSD-3-Clause
"""Amounts as people write them: '90', '30s', '1.5h'; '500k', '2M', '64KiB'."""

from __future__ import annotations

import math
import re

from .errors import InvalidOption

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+|[0-9]+\.)\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "kb": 10**3,
    "kib": 2**10,
    "m": 10**6,
    "mb": 10**6,
    "mib": 2**20,
    "g": 10**9,
    "gb": 10**9,
    "gib": 2**30,
}
# What comes after is centuries, or more than any disk holds.
_MOST_SECONDS = 1e9
_MOST_BYTES = 1e15


def parse_duration(option: str, text: str) -> float:
    """Seconds from '90', '30s', '2m' or '1.5h'.

    Args:
        option: named when the text makes no sense.
        text: as given.

    Raises:
        InvalidOption: it is not a duration, or not above 0.
    """
    seconds = _amount(text, _SECONDS)
    if seconds is None or not 0 < seconds <= _MOST_SECONDS:
        raise InvalidOption(f"{option} '{text}' is not a duration above 0; write 90, 30s, 2m or 1.5h")
    return seconds


def parse_bytes(option: str, text: str) -> int:
    """Bytes from '300000', '500k', '2M' (thousands, millions) or '64KiB' (of 1024).

    Raises:
        InvalidOption: it is not a number of bytes, or less than 1.
    """
    count = _amount(text, _BYTES)
    if count is None or not 1 <= count <= _MOST_BYTES:
        raise InvalidOption(f"{option} '{text}' is not a number of bytes; write 300000, 500k, 2M or 64KiB")
    return math.floor(count)


def _amount(text: str, units: dict[str, float] | dict[str, int]) -> float | None:
    match = _NUMBER.fullmatch(text)
    if match is None or match[2].lower() not in units:
        return None
    return float(match[1]) * units[match[2].lower()]
