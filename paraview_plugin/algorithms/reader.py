# SPDX-License-Identifier: BSD-3-Clause
"""Reader of .amgsrn models: image data whose values are computed when, where and as finely as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonCore import vtkOutputWindow
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData, vtkUniformGrid
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

from .image import Grid, blank, declare, new_values, string_array
from .opened_model import OpenedModel
from .sampling import Dimensions, preview_dimensions, sample_bytes

PREVIEW, NATIVE, CUSTOM = 0, 1, 2

DESCRIPTOR_ARRAY = "amgsrn_model"
UNITS_ARRAY = "amgsrn_units"
ABOUT_ARRAY = "amgsrn_about"

_T = TypeVar("_T")


class NeuralVolumeReader(VTKPythonAlgorithmBase):
    """Image data over the bounds of a model's domain.

    Exactly the extent that a consumer requests is evaluated. The value range found when the model was fitted is declared on the
    array, so that nothing has to be evaluated to know it.

    A model with gaps gives a vtkUniformGrid, which is image data whose points and cells can be hidden: contours respect that only
    there. Extract Subset gives nothing of a vtkUniformGrid, so plain image data can be had, too.
    """

    def __init__(self) -> None:
        super().__init__(nInputPorts=0, nOutputPorts=1, outputType="vtkImageData")
        self._path: str | None = None
        self._sampling = PREVIEW
        self._custom: Dimensions | None = None
        self._interpolate = False
        self._plain = False
        self._opened: OpenedModel | None = None
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

    def SetInterpolateInTime(self, interpolate: int) -> None:
        if bool(interpolate) != self._interpolate:
            self._interpolate = bool(interpolate)
            self._changed()

    def SetPlainImageData(self, plain: int) -> None:
        if bool(plain) != self._plain:
            self._plain = bool(plain)
            self._changed()

    def GetNativeDimensionRanges(self) -> list[int]:
        """(2, nx, 2, ny, 2, nz): what can be chosen along each axis, the model's own dimensions being the largest."""
        model = self._guarded(self._model)
        dimensions = model.domain.dimensions if model else (2, 2, 2)
        return [value for n in dimensions for value in (2, n)]

    def RequestDataObject(self, request: Any, inputs: Any, outputs: Any) -> int:
        model = self._guarded(self._model)
        kind = vtkUniformGrid if model and model.has_gaps and not self._plain else vtkImageData
        info = outputs.GetInformationObject(0)
        output = info.Get(vtkDataObject.DATA_OBJECT())
        if output is None or output.GetClassName() != kind.__name__:
            info.Set(vtkDataObject.DATA_OBJECT(), kind())
        return 1

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
        steps = self._model().steps
        if steps:
            info.Set(vtkStreamingDemandDrivenPipeline.TIME_STEPS(), steps, len(steps))
            info.Set(vtkStreamingDemandDrivenPipeline.TIME_RANGE(), (steps[0], steps[-1]), 2)
        return 1

    def RequestData(self, request: Any, inputs: Any, outputs: Any) -> int:
        info = outputs.GetInformationObject(0)
        image = vtkImageData.GetData(outputs, 0)
        extent = info.Get(vtkStreamingDemandDrivenPipeline.UPDATE_EXTENT())
        has_time = info.Has(vtkStreamingDemandDrivenPipeline.UPDATE_TIME_STEP())
        time = info.Get(vtkStreamingDemandDrivenPipeline.UPDATE_TIME_STEP()) if has_time else None
        image.Initialize()
        self._guarded(lambda: self._fill(image, extent, time))
        return 1

    def _fill(self, image: vtkImageData, extent: tuple[int, ...], time: float | None) -> None:
        from amgsrn_core.errors import Aborted
        from amgsrn_core.grid import sample_nodes

        grid = self._grid()
        dimensions = _extent_dimensions(extent)
        if min(dimensions) <= 0:
            return
        model = self._model()
        _require_memory(dimensions, model.array.components, model.has_gaps)
        moment = model.moment(time, self._interpolate)
        values, out = new_values(model.array, dimensions)
        try:
            sample_nodes(model.field(moment), *grid.normalized_nodes(extent), out=out, progress=self._report_progress)
        except Aborted:
            return  # the user knows; the output stays empty
        declare(values, model.array)

        image.SetExtent(extent)
        image.SetOrigin(grid.origin)
        image.SetSpacing(grid.spacing)
        image.GetPointData().SetScalars(values)
        if model.array.components == 3:
            image.GetPointData().SetActiveVectors(model.array.name)
        if model.has_gaps:
            blank(image, out)
        image.GetFieldData().AddArray(string_array(DESCRIPTOR_ARRAY, model.descriptor(moment)))
        image.GetFieldData().AddArray(string_array(ABOUT_ARRAY, *model.about))
        if model.array.units:
            image.GetFieldData().AddArray(string_array(UNITS_ARRAY, f"{model.array.name}: {model.array.units}"))
        if moment.time is not None:
            image.GetInformation().Set(vtkDataObject.DATA_TIME_STEP(), moment.time)

    def _report_progress(self, fraction: float) -> bool:
        """Tells whether to go on."""
        self.UpdateProgress(fraction)
        return not self.GetAbortExecute()

    def _model(self) -> OpenedModel:
        self._opened = OpenedModel.of(self._path, self._opened)
        return self._opened

    def _grid(self) -> Grid:
        from amgsrn_core.errors import InvalidDomain

        domain = self._model().domain
        dimensions = domain.dimensions
        if self._sampling == PREVIEW:
            dimensions = preview_dimensions(dimensions)
        elif self._sampling == CUSTOM and self._custom is not None:
            dimensions = self._custom
            if min(dimensions) < 2:
                raise InvalidDomain(f"SamplingDimensions are {dimensions}; choose at least 2 along each axis")
        return Grid(domain, dimensions)

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


def _require_memory(dimensions: Dimensions, components: int, has_gaps: bool) -> None:
    import torch

    from amgsrn_core import memory
    from amgsrn_core.errors import NotEnoughMemory

    needed = sample_bytes(dimensions, components, has_gaps)
    available = memory.available_bytes(torch.device("cpu"))
    if available is not None and needed > available:
        size = " x ".join(str(n) for n in dimensions)
        remedy = "choose Sampling 'Preview' or smaller SamplingDimensions, or ask for a part with Extract Subset"
        raise NotEnoughMemory(f"sampling {size} points", needed, available, remedy)


def _extent_dimensions(extent: tuple[int, ...]) -> Dimensions:
    return (extent[1] - extent[0] + 1, extent[3] - extent[2] + 1, extent[5] - extent[4] + 1)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ImportError):
        return f"{text}; the plugin was built with AMGSRN_PYTHON_PATHS that do not lead to it"
    try:
        from amgsrn_core.errors import AmgsrnError
    except ImportError:
        return text
    return text if isinstance(error, AmgsrnError) else f"{type(error).__name__}: {text}"
