# SPDX-License-Identifier: BSD-3-Clause
"""Options that are several numbers, separated by commas."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def numbers(count: int, kind: Callable[[str], Number], example: str) -> Callable[[str], tuple[Number, ...]]:
    """A converter for argparse: `count` numbers.

    Args:
        count: how many there must be.
        kind: int or float.
        example: shown when they are wrong.
    """

    def convert(text: str) -> tuple[Number, ...]:
        try:
            values = tuple(kind(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"'{text}' is not {count} numbers separated by commas, as in {example}")
        return values

    return convert
