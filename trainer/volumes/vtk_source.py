# SPDX-License-Identifier: BSD-3-Clause
"""VTK's own file readers, loaded when a file of VTK is opened and not before: XML and legacy files, whole or in part.

What they complain about is collected in place of being printed.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LibraryMissing, VolumeFileDamaged

# Arrays that say which points and cells are blanked out or belong to another process.
GHOSTS = "vtkGhostType"
# Numbers of array types that hold text or anything else than real numbers: bit, string, variant, Unicode string.
_NO_NUMBERS = frozenset({1, 13, 20, 22})

# What VTK says of an error; of legacy files that end too early it only warns.
_ERROR = re.compile(r"ERROR: In [^\n]*\n(?:[^\n]*?\(0x[0-9a-f]+\): )?([^\n]+)|Warning: In [^\n]*\n(Error [^\n]+)")

Extent = tuple[int, int, int, int, int, int]


def vtk_module(path: Path, name: str) -> Any:
    """A module of VTK.

    Raises:
        LibraryMissing: VTK is not installed.
    """
    try:
        return importlib.import_module(f"vtkmodules.{name}")
    except ImportError as error:
        raise LibraryMissing(path, "VTK", "vtk") from error


@dataclass(frozen=True)
class VTKArray:
    """An array of a file.

    Attributes:
        name: its name.
        components: values per point or cell.
        itemsize: bytes per value.
        on_cells: whether it has values in cells and not at points.
    """

    name: str
    components: int
    itemsize: int
    on_cells: bool


class VTKSource(ABC):
    """A data set in a file.

    Attributes:
        kind: "ImageData", "RectilinearGrid", "StructuredGrid" or "UnstructuredGrid".
        arrays: of numbers, by name; those at points hide those in cells that have the same name.
        extent: first and last point along x, y and z of a structured data set.
    """

    kind: str
    arrays: dict[str, VTKArray]
    extent: Extent | None

    @abstractmethod
    def data(self, names: Collection[str], extent: Extent | None = None) -> Any:
        """A vtkDataSet with these arrays (and ghosts, if there are any), at least for the points of an extent."""


class XMLSource(VTKSource):
    """A file as VTK's XML readers read it, part by part where it is structured."""

    def __init__(self, path: Path, kind: str) -> None:
        """
        Args:
            path: the file.
            kind: as its VTKFile element says; with a P in front for a file that names others.

        Raises:
            LibraryMissing, VolumeFileDamaged: see there.
        """
        self._path, self.kind = path, kind.removeprefix("P")
        self._reader = getattr(vtk_module(path, "vtkIOXML"), f"vtkXML{kind}Reader")()
        self._reader.SetFileName(str(path))
        executive = vtk_module(path, "vtkCommonExecutionModel").vtkStreamingDemandDrivenPipeline
        data_object = vtk_module(path, "vtkCommonDataModel").vtkDataObject
        with complaints_raised(path):
            self._reader.UpdateInformation()
            information = self._reader.GetOutputInformation(0)
        whole = information.Get(executive.WHOLE_EXTENT())
        self.extent = None if whole is None or self.kind == "UnstructuredGrid" else tuple(whole)
        self.arrays = {}
        for key, on_cells in ((data_object.POINT_DATA_VECTOR(), False), (data_object.CELL_DATA_VECTOR(), True)):
            if not information.Has(key):
                continue
            vector = information.Get(key)
            for number in range(vector.GetNumberOfInformationObjects()):
                about = vector.GetInformationObject(number)
                name = about.Get(data_object.FIELD_NAME())
                components = int(about.Get(data_object.FIELD_NUMBER_OF_COMPONENTS()) or 1)
                itemsize = _itemsize(path, int(about.Get(data_object.FIELD_ARRAY_TYPE())))
                if itemsize and name != GHOSTS:
                    self.arrays.setdefault(name, VTKArray(name, components, itemsize, on_cells))

    def data(self, names: Collection[str], extent: Extent | None = None) -> Any:
        wanted = {*names, GHOSTS}
        for selection in (self._reader.GetPointDataArraySelection(), self._reader.GetCellDataArraySelection()):
            for number in range(selection.GetNumberOfArrays()):
                selection.SetArraySetting(selection.GetArrayName(number), selection.GetArrayName(number) in wanted)
        with complaints_raised(self._path):
            if extent is not None and self.extent is not None:
                self._reader.UpdateExtent(extent)
            else:
                self._reader.Update()
        # The reader fills the same object again next time.
        output = self._reader.GetOutput()
        copy = output.NewInstance()
        copy.ShallowCopy(output)
        return copy


class LegacySource(VTKSource):
    """A legacy file, which VTK reads as a whole."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            LibraryMissing, VolumeFileDamaged: see there.
        """
        reader = vtk_module(path, "vtkIOLegacy").vtkDataSetReader()
        reader.SetFileName(str(path))
        for kind in ("Scalars", "Vectors", "Tensors", "Normals", "TCoords", "Fields"):
            getattr(reader, f"ReadAll{kind}On")()
        with complaints_raised(path):
            reader.Update()
        self._data = reader.GetOutput()
        if self._data is None:
            raise VolumeFileDamaged(path, "VTK finds no data set in it")
        self.kind = self._data.GetClassName().removeprefix("vtk").replace("StructuredPoints", "ImageData")
        self.extent = tuple(self._data.GetExtent()) if hasattr(self._data, "GetExtent") else None
        self.arrays = {}
        for attributes, on_cells in ((self._data.GetPointData(), False), (self._data.GetCellData(), True)):
            for number in range(attributes.GetNumberOfArrays()):
                array = attributes.GetArray(number)
                if array is not None and array.GetName() not in (None, GHOSTS):
                    name, components = array.GetName(), array.GetNumberOfComponents()
                    about = VTKArray(name, components, array.GetDataTypeSize(), on_cells)
                    self.arrays.setdefault(name, about)

    def data(self, names: Collection[str], extent: Extent | None = None) -> Any:
        return self._data


@contextlib.contextmanager
def complaints_raised(path: Path) -> Iterator[None]:
    """Around calls of VTK that read `path`.

    Raises:
        VolumeFileDamaged: VTK reported an error.
    """
    core = vtk_module(path, "vtkCommonCore")
    before, verbosity = core.vtkOutputWindow.GetInstance(), core.vtkLogger.GetCurrentVerbosityCutoff()
    window = core.vtkStringOutputWindow()
    core.vtkOutputWindow.SetInstance(window)
    core.vtkLogger.SetStderrVerbosity(core.vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        core.vtkOutputWindow.SetInstance(before)
        core.vtkLogger.SetStderrVerbosity(verbosity)
    said = window.GetOutput() or ""
    first = _ERROR.search(said)
    if first:
        raise VolumeFileDamaged(path, (first.group(1) or first.group(2)).strip().rstrip(".!"))


def numbers(array: Any) -> np.ndarray:
    """The values of a vtkDataArray, (n,) or (n, components), sharing its memory."""
    return importlib.import_module("vtkmodules.util.numpy_support").vtk_to_numpy(array)


def time_of(data: Any) -> float | None:
    """The time that a vtkDataSet says it is of; None where it says none, or no finite one."""
    found = data.GetFieldData().GetArray("TimeValue")
    if found is None or not found.GetNumberOfTuples() or found.GetNumberOfComponents() != 1:
        return None
    time = float(found.GetTuple1(0))
    return time if math.isfinite(time) else None


def _itemsize(path: Path, kind: int) -> int:
    """Bytes per value of an array type; 0 for what is not numbers."""
    if kind in _NO_NUMBERS:
        return 0
    array = vtk_module(path, "vtkCommonCore").vtkDataArray.CreateDataArray(kind)
    return 0 if array is None else int(array.GetDataTypeSize())
