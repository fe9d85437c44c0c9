# SPDX-License-Identifier: BSD-3-Clause
"""Options that several commands have."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .numbers import numbers

if TYPE_CHECKING:
    from ..volumes import RawFormat


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device, for `amgsrn_core.device.select_device`."""
    parser.add_argument("--device", metavar="D", default="auto", help="auto (default), cpu, cuda:0, ...")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json, for `report.emit`."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """--overwrite, for `outputs.check_replaceable`."""
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def add_format(parser: argparse.ArgumentParser) -> None:
    """What a file of nothing but numbers holds, for `raw_format`."""
    group = parser.add_argument_group(
        "raw files", "of nothing but numbers, x fastest; names like skull_256x256x256_uint8.raw say the first two"
    )
    group.add_argument(
        "--shape", metavar="X,Y,Z", type=numbers(3, int, "256,256,256"), help="number of values along each axis"
    )
    group.add_argument("--dtype", metavar="TYPE", help="uint8, int16, float32, float64, ...")
    group.add_argument("--byte-order", choices=("little", "big"), help="of the numbers (default little)")
    group.add_argument(
        "--spacing", metavar="X,Y,Z", type=numbers(3, float, "1,1,2.5"), help="distance of values (default 1,1,1)"
    )
    group.add_argument(
        "--origin",
        metavar="X,Y,Z",
        type=numbers(3, float, "0,0,0"),
        help="where the first value is (default 0,0,0; with a minus first: --origin=-1,0,0)",
    )
    group.add_argument("--header-bytes", metavar="N", type=int, help="to be skipped at the beginning (default 0)")


def raw_format(arguments: argparse.Namespace) -> RawFormat | None:
    """What `add_format`'s options say; None if none of them was given.

    Raises:
        InvalidOption: they make no sense.
    """
    from ..volumes import RawFormat

    given = {
        "shape": arguments.shape,
        "dtype": arguments.dtype,
        "big_endian": None if arguments.byte_order is None else arguments.byte_order == "big",
        "spacing": arguments.spacing,
        "origin": arguments.origin,
        "header_bytes": arguments.header_bytes,
    }
    said = {name: value for name, value in given.items() if value is not None}
    return RawFormat(**said) if said else None
