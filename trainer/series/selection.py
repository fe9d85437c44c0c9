# SPDX-License-Identifier: BSD-3-Clause
"""Which time steps --time asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import InvalidOption

_STEP = re.compile(r"[+-]?\d{1,9}")
_SLICE = re.compile(r"([+-]?\d{1,9})?:([+-]?\d{1,9})?(?::([+]?\d{1,9})?)?")


def parse_time(text: str | None) -> int | slice | None:
    """One step's number, a slice of several, or None where nothing was asked for.

    Several are 'all', or FIRST:STOP or FIRST:STOP:STRIDE as in Python: STOP is left out, numbers may be left out and count from the
    end where they are negative.

    Raises:
        InvalidOption: anything else.
    """
    if text is None:
        return None
    if text == "all":
        return slice(None)
    if _STEP.fullmatch(text):
        return int(text)
    match = _SLICE.fullmatch(text)
    if match is None or (match[3] is not None and int(match[3]) == 0):
        raise InvalidOption(
            f"--time {text} makes no sense; give the number of a step (-1 is the last), 'all', or FIRST:STOP:STRIDE"
        )
    first, stop, stride = (None if number is None else int(number) for number in match.groups())
    return slice(first, stop, stride)


def select(chosen: slice, steps: int) -> Sequence[int]:
    """The numbers of the steps chosen out of so many, ascending.

    Raises:
        InvalidOption: none.
    """
    numbers = range(steps)[chosen]
    if not numbers:
        raise InvalidOption(f"--time chooses none of the {steps} time steps; they are counted from 0")
    return numbers
