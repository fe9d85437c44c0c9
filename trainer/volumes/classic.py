# SPDX-License-Identifier: BSD-3-Clause
"""How long a NetCDF 3 file has to be. The library reads a truncated one without complaint, as zeros.

Source: "The NetCDF Classic Format Specification" (NUG, appendix B): CDF-1, CDF-2 (64-bit offsets), CDF-5 (64-bit data).
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

# Bytes per value of types 1 to 11: byte, char, short, int, float, double, ubyte, ushort, uint, int64, uint64.
_SIZES = (1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8)
# Number of records while a file is being written as a stream.
_STREAMING = (2**32 - 1, 2**64 - 1)


def expected_bytes(path: Path) -> int:
    """The least length of a NetCDF 3 file whose values are all there.

    Raises:
        ValueError: the header is not complete, or not one.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _Header(file).expected_bytes()
        except (struct.error, IndexError, OverflowError, MemoryError) as error:
            raise ValueError("its header is incomplete") from error


class _Header:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        version = file.read(4)[3]
        self._count_format = ">Q" if version == 5 else ">I"
        self._offset_format = ">I" if version == 1 else ">Q"

    def expected_bytes(self) -> int:
        records = self._count()
        self._tag()
        lengths = []
        for _ in range(self._count()):
            self._name()
            lengths.append(self._count())
        self._attributes()
        end, record_size, record_parts = self._file.tell(), 0, []
        self._tag()
        for _ in range(self._count()):
            self._name()
            shape = [lengths[self._count()] for _ in range(self._count())]
            self._attributes()
            size = _SIZES[self._number(">I") - 1]
            self._count()  # vsize, which cannot tell the size of large variables
            begin = self._number(self._offset_format)
            if shape and shape[0] == 0:  # the record dimension
                part = size * math.prod(shape[1:])
                record_parts.append((begin, part))
                record_size += _padded(part)
            else:
                end = max(end, begin + size * math.prod(shape))
        if len(record_parts) == 1:
            record_size = record_parts[0][1]  # a single one is not padded
        if records and records not in _STREAMING:
            end = max([end, *(begin + (records - 1) * record_size + part for begin, part in record_parts)])
        return max(end, self._file.tell())

    def _attributes(self) -> None:
        self._tag()
        for _ in range(self._count()):
            self._name()
            size = _SIZES[self._number(">I") - 1]
            self._skip(_padded(size * self._count()))

    def _name(self) -> None:
        self._skip(_padded(self._count()))

    def _tag(self) -> None:
        self._number(">I")

    def _count(self) -> int:
        return self._number(self._count_format)

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._file.read(struct.calcsize(form)))[0]

    def _skip(self, count: int) -> None:
        self._file.seek(count, 1)


def _padded(count: int) -> int:
    return -(-count // 4) * 4
