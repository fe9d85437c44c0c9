# SPDX-License-Identifier: BSD-3-Clause
"""Finding the reader for a file by its first bytes, for names and suffixes may lie; raw files by name or by what is said
about them."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import NotAVolumeFile, VolumeFileDamaged, VolumeFileMissing
from .classic import expected_bytes
from .exodus import ExodusReader, is_exodus
from .netcdf import NetCDFReader
from .raw import RawFormat, RawReader, described_by_name
from .reader import VolumeReader
from .vtk_lattice import VTKLatticeReader
from .vtk_mesh import VTKMeshReader
from .vtk_source import LegacySource, VTKSource, XMLSource
from .xarray_reader import GRIBReader, ZarrReader

_NETCDF_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF")
_ZARR_FILES = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
_VTK_FILE = re.compile(rb"<VTKFile\b[^>]*?\btype\s*=\s*[\"'](\w+)[\"']")
_LATTICES = ("ImageData", "RectilinearGrid")
_MESHES = ("StructuredGrid", "UnstructuredGrid")


def open_volume(path: str | Path, raw: RawFormat | None = None) -> VolumeReader:
    """A reader for the file or, for Zarr, the folder; to be used as a context manager.

    Args:
        path: the file.
        raw: what a file of nothing but numbers holds; files whose name says it need none.

    Raises:
        VolumeFileMissing: no such file, or not readable.
        NotAVolumeFile: of no format that is known.
        RawFormatMissing: a raw file, and neither `raw` nor its name say what it holds.
        VolumeFileDamaged: the format is known, but the file cannot be opened.
        LibraryMissing: the format needs a library that is not installed.
    """
    file = Path(path)
    if not file.exists():
        raise VolumeFileMissing(path)
    if file.is_dir():
        if any((file / name).exists() for name in _ZARR_FILES):
            return ZarrReader(file)
        raise NotAVolumeFile(path, "a folder, and not one of Zarr")
    if not file.is_file():
        raise VolumeFileMissing(path, "not a file")
    try:
        with file.open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise VolumeFileMissing(path, error.strerror or str(error)) from error
    if not start:
        raise VolumeFileDamaged(path, "the file is empty")
    if raw is not None:
        return RawReader(file, raw)
    if start[:4] in _NETCDF_MAGIC:
        if start.startswith(b"CDF"):
            _check_length(file)
        return ExodusReader(file) if is_exodus(file) else NetCDFReader(file)
    if start.startswith(b"GRIB"):
        return GRIBReader(file)
    if start.startswith(b"# vtk DataFile"):
        return _vtk_reader(file, LegacySource(file))
    kind = _VTK_FILE.search(start)
    if kind is not None:
        return _xml_reader(file, kind.group(1).decode())
    if file.suffix.lower() == ".raw" or described_by_name(file) is not None:
        return RawReader(file, RawFormat())
    raise NotAVolumeFile(path)


def _xml_reader(file: Path, kind: str) -> VolumeReader:
    if kind.removeprefix("P") not in (*_LATTICES, *_MESHES):
        raise NotAVolumeFile(file, f"a VTK file of type {kind}")
    return _vtk_reader(file, XMLSource(file, kind))


def _vtk_reader(file: Path, source: VTKSource) -> VolumeReader:
    if source.kind in _LATTICES:
        return VTKLatticeReader(file, source)
    if source.kind in _MESHES:
        return VTKMeshReader(file, source)
    raise NotAVolumeFile(file, f"a VTK file of type {source.kind}")


def _check_length(file: Path) -> None:
    try:
        expected, found = expected_bytes(file), file.stat().st_size
    except ValueError as error:
        raise VolumeFileDamaged(file, str(error)) from error
    if found < expected:
        raise VolumeFileDamaged(file, f"{found} of {expected} bytes")
