# SPDX-License-Identifier: BSD-3-Clause
"""Reader of .amgsrn models: image data whose values are computed when, where and as finely as they are asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonCore import (
    vtkDataArray,
    vtkFloatArray,
    vtkInformationVector,
    vtkOutputWindow,
    vtkStringArray,
)
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

from .sampling import Dimensions, available_bytes, preview_dimensions, sample_bytes

if TYPE_CHECKING:  # torch comes with it, and takes seconds; nothing is imported before a file is opened
    from amgsrn_core import ArrayInfo, Domain, Field

PREVIEW, NATIVE, CUSTOM = 0, 1, 2

DESCRIPTOR_ARRAY = "amgsrn_model"
UNITS_ARRAY = "amgsrn_units"

_T = TypeVar("_T")


class NeuralVolumeReader(VTKPythonAlgorithmBase):
    """Image data over the bounds of a model's domain.

    Exactly the extent that a consumer requests is evaluated. The value range found when the model was fitted is declared on the
    array, so that nothing has to be evaluated to know it.
    """

    def __init__(self) -> None:
        super().__init__(nInputPorts=0, nOutputPorts=1, outputType="vtkImageData")
        self._path: str | None = None
        self._sampling = PREVIEW
        self._custom: Dimensions | None = None
        self._opened: _OpenedModel | None = None
        self._reported: str | None = None

    def SetFileName(self, path: str | None) -> None:
        path = path if path and path != "None" else None
        if path != self._path:
            self._path = path
            self._changed()

    def SetSampling(self, sampling: int) -> None:
        if sampling != self._sampling:
            self._sampling = sampling
            self._changed()

    def SetSamplingDimensions(self, nx: int, ny: int, nz: int) -> None:
        if (nx, ny, nz) != self._custom:
            self._custom = (nx, ny, nz)
            self._changed()

    def GetNativeDimensionRanges(self) -> list[int]:
        """(2, nx, 2, ny, 2, nz): what can be chosen along each axis, the model's own dimensions being the largest."""
        model = self._guarded(self._model)
        dimensions = model.domain.dimensions if model else (2, 2, 2)
        return [value for n in dimensions for value in (2, n)]

    def RequestInformation(self, request: Any, inputs: Any, outputs: Any) -> int:
        info = outputs.GetInformationObject(0)
        info.Remove(vtkStreamingDemandDrivenPipeline.TIME_STEPS())
        info.Remove(vtkStreamingDemandDrivenPipeline.TIME_RANGE())
        info.Set(self.CAN_PRODUCE_SUB_EXTENT(), 1)
        grid = self._guarded(self._grid)
        if grid is None:
            # Failing the request would add pages of ParaView's own messages to ours.
            info.Set(vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT(), (0, -1, 0, -1, 0, -1), 6)
            return 1
        info.Set(vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT(), grid.extent, 6)
        info.Set(vtkDataObject.ORIGIN(), grid.origin, 3)
        info.Set(vtkDataObject.SPACING(), grid.spacing, 3)
        time = grid.domain.time
        if time is not None:
            info.Set(vtkStreamingDemandDrivenPipeline.TIME_STEPS(), (time,), 1)
            info.Set(vtkStreamingDemandDrivenPipeline.TIME_RANGE(), (time, time), 2)
        return 1

    def RequestData(self, request: Any, inputs: Any, outputs: Any) -> int:
        info = outputs.GetInformationObject(0)
        image = vtkImageData.GetData(outputs, 0)
        extent = info.Get(vtkStreamingDemandDrivenPipeline.UPDATE_EXTENT())
        image.Initialize()
        self._guarded(lambda: self._fill(image, extent))
        return 1

    def _fill(self, image: vtkImageData, extent: tuple[int, ...]) -> None:
        from amgsrn_core.errors import Aborted
        from amgsrn_core.grid import sample_nodes

        grid = self._grid()
        dimensions = _extent_dimensions(extent)
        if min(dimensions) <= 0:
            return
        model = self._model()
        _require_memory(dimensions, model.array.components)
        values = vtkFloatArray()
        values.SetName(model.array.name)
        values.SetNumberOfComponents(model.array.components)
        values.SetNumberOfTuples(dimensions[0] * dimensions[1] * dimensions[2])
        nodes = grid.normalized_nodes(extent)
        out = vtk_to_numpy(values).reshape(*dimensions[::-1], model.array.components)
        try:
            sample_nodes(model.field(), *nodes, out=out, progress=self._report_progress)
        except Aborted:
            return  # the user knows; the output stays empty
        _declare(values, model.array)

        image.SetExtent(extent)
        image.SetOrigin(grid.origin)
        image.SetSpacing(grid.spacing)
        image.GetPointData().SetScalars(values)
        image.GetFieldData().AddArray(_string_array(DESCRIPTOR_ARRAY, model.descriptor()))
        if model.array.units:
            image.GetFieldData().AddArray(_string_array(UNITS_ARRAY, f"{model.array.name}: {model.array.units}"))
        if model.domain.time is not None:
            image.GetInformation().Set(vtkDataObject.DATA_TIME_STEP(), model.domain.time)

    def _report_progress(self, fraction: float) -> bool:
        """Tells whether to go on."""
        self.UpdateProgress(fraction)
        return not self.GetAbortExecute()

    def _model(self) -> _OpenedModel:
        """The file as it is on disk now; opened anew when it has changed."""
        from amgsrn_core.errors import ModelFileMissing

        if self._path is None:
            raise ModelFileMissing("", "no file name is set")
        path = os.path.abspath(self._path)
        try:
            status = os.stat(path)
        except OSError as error:
            raise ModelFileMissing(path, (error.strerror or "no such file").lower()) from error
        stamp = f"{status.st_mtime_ns}-{status.st_size}"
        if self._opened is None or (self._opened.path, self._opened.stamp) != (path, stamp):
            self._opened = None
            self._opened = _OpenedModel(path, stamp)
        return self._opened

    def _grid(self) -> _Grid:
        from amgsrn_core.errors import InvalidDomain

        domain = self._model().domain
        dimensions = domain.dimensions
        if self._sampling == PREVIEW:
            dimensions = preview_dimensions(dimensions)
        elif self._sampling == CUSTOM and self._custom is not None:
            dimensions = self._custom
            if min(dimensions) < 2:
                raise InvalidDomain(f"SamplingDimensions are {dimensions}; choose at least 2 along each axis")
        return _Grid(domain, dimensions)

    def _changed(self) -> None:
        self._reported = None
        self.Modified()

    def _guarded(self, work: Callable[[], _T]) -> _T | None:
        """The result of `work`; an error is shown as one line, once until something changes, and gives None."""
        try:
            result = work()
        except Exception as error:
            self._report(error)
            return None
        return result

    def _report(self, error: Exception) -> None:
        message = _one_line(error)
        if message != self._reported:
            self._reported = message
            vtkOutputWindow.GetInstance().DisplayErrorText(f"ERROR: Neural Volume Reader: {message}\n")


class _OpenedModel:
    """A model file: its header at once, its network when first needed."""

    def __init__(self, path: str, stamp: str) -> None:
        from amgsrn_core import read_header

        header = read_header(path)
        self.path = path
        self.stamp = stamp
        self.domain: Domain = header.domain
        self.array: ArrayInfo = header.array
        self._field: Field | None = None

    def field(self) -> Field:
        from amgsrn_core import open_field

        if self._field is None:
            self._field = open_field(self.path)
        return self._field

    def descriptor(self) -> str:
        """What consumers find in the data; see docs/architecture.md."""
        return json.dumps({"file": self.path, "array": self.array.name, "stamp": self.stamp})


class _Grid:
    """Equally spaced nodes over the bounds of a domain."""

    def __init__(self, domain: Domain, dimensions: Dimensions) -> None:
        self.domain = domain
        self.dimensions = dimensions
        bounds = np.array(domain.bounds).reshape(3, 2)
        self.extent = tuple(value for n in dimensions for value in (0, n - 1))
        self.origin = tuple(bounds[:, 0].tolist())
        self.spacing = tuple(((bounds[:, 1] - bounds[:, 0]) / (np.array(dimensions) - 1)).tolist())

    def normalized_nodes(self, extent: tuple[int, ...]) -> list[np.ndarray]:
        """Normalized coordinates of the nodes of an extent, one array per axis (x, y, z)."""
        nodes = []
        for k, axis in enumerate(self.domain.axes):
            index = np.arange(extent[2 * k], extent[2 * k + 1] + 1, dtype=np.float64)
            if axis.is_uniform:
                normalized = -1.0 + 2.0 * index / (self.dimensions[k] - 1)
            else:
                normalized = axis.normalize(self.origin[k] + self.spacing[k] * index)
            nodes.append(np.clip(normalized, -1.0, 1.0))
        return nodes


def _declare(values: vtkFloatArray, array: ArrayInfo) -> None:
    """Put units and the trained value range on an array, where VTK looks before it searches the values."""
    if array.units:
        values.GetInformation().Set(vtkDataArray.UNITS_LABEL(), array.units)
    if array.components == 1:
        ranges = vtkInformationVector()
        ranges.SetNumberOfInformationObjects(1)
        ranges.GetInformationObject(0).Set(vtkDataArray.COMPONENT_RANGE(), array.value_range, 2)
        values.GetInformation().Set(vtkDataArray.PER_COMPONENT(), ranges)
        values.GetInformation().Set(vtkDataArray.PER_FINITE_COMPONENT(), ranges)  # what colour maps are rescaled to


def _require_memory(dimensions: Dimensions, components: int) -> None:
    from amgsrn_core.errors import NotEnoughMemory

    needed, available = sample_bytes(dimensions, components), available_bytes()
    if available is not None and needed > available:
        size = " x ".join(str(n) for n in dimensions)
        remedy = "choose Sampling 'Preview' or smaller SamplingDimensions, or ask for a part with Extract Subset"
        raise NotEnoughMemory(f"sampling {size} points", needed, available, remedy)


def _extent_dimensions(extent: tuple[int, ...]) -> Dimensions:
    return (extent[1] - extent[0] + 1, extent[3] - extent[2] + 1, extent[5] - extent[4] + 1)


def _string_array(name: str, value: str) -> vtkStringArray:
    array = vtkStringArray()
    array.SetName(name)
    array.InsertNextValue(value)
    return array


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ImportError):
        return f"{text}; the plugin was built with AMGSRN_PYTHON_PATHS that do not lead to it"
    try:
        from amgsrn_core.errors import AmgsrnError
    except ImportError:
        return text
    return text if isinstance(error, AmgsrnError) else f"{type(error).__name__}: {text}"
