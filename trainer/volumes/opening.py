# SPDX-License-Identifier: BSD-3-Clause
"""Finding the reader for a file by its first bytes; names and suffixes may lie."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotAVolumeFile, VolumeFileDamaged, VolumeFileMissing
from .classic import expected_bytes
from .netcdf import NetCDFReader
from .reader import VolumeReader

_NETCDF_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF")


def open_volume(path: str | Path) -> VolumeReader:
    """A reader for the file; to be used as a context manager.

    Raises:
        VolumeFileMissing: no such file, or not readable.
        NotAVolumeFile: of no format that is known.
        VolumeFileDamaged: the format is known, but the file cannot be opened.
    """
    file = Path(path)
    if not file.exists():
        raise VolumeFileMissing(path)
    if not file.is_file():
        raise VolumeFileMissing(path, "not a file")
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise VolumeFileMissing(path, error.strerror or str(error)) from error
    if not start:
        raise VolumeFileDamaged(path, "the file is empty")
    if start not in _NETCDF_MAGIC:
        raise NotAVolumeFile(path)
    if start.startswith(b"CDF"):
        _check_length(file)
    return NetCDFReader(file)


def _check_length(file: Path) -> None:
    try:
        expected, found = expected_bytes(file), file.stat().st_size
    except ValueError as error:
        raise VolumeFileDamaged(file, str(error)) from error
    if found < expected:
        raise VolumeFileDamaged(file, f"{found} of {expected} bytes")
