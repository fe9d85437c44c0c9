# SPDX-License-Identifier: BSD-3-Clause
"""Amounts as people write them: '90', '30s', '1.5h'; '500k', '2M', '64KiB'."""

from __future__ import annotations

from amgsrn_core.amounts import amount, byte_count

from .errors import InvalidOption

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
# What comes after is centuries.
_MOST_SECONDS = 1e9


def parse_duration(option: str, text: str) -> float:
    """Seconds from '90', '30s', '2m' or '1.5h'.

    Args:
        option: named when the text makes no sense.
        text: as given.

    Raises:
        InvalidOption: it is not a duration, or not above 0.
    """
    seconds = amount(text, _SECONDS)
    if seconds is None or not 0 < seconds <= _MOST_SECONDS:
        raise InvalidOption(f"{option} '{text}' is not a duration above 0; write 90, 30s, 2m or 1.5h")
    return seconds


def parse_bytes(option: str, text: str) -> int:
    """Bytes from '300000', '500k', '2M' (thousands, millions) or '64KiB' (of 1024).

    Raises:
        InvalidOption: it is not a number of bytes, or less than 1.
    """
    count = byte_count(text)
    if count is None:
        raise InvalidOption(f"{option} '{text}' is not a number of bytes; write 300000, 500k, 2M or 64KiB")
    return count
