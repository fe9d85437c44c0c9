# SPDX-License-Identifier: BSD-3-Clause
"""Values of a field as VTK image data: where the points are, what is declared about the values, what is blanked."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkDataArray, vtkFloatArray, vtkInformationVector, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkDataSetAttributes, vtkImageData

from .sampling import Dimensions

if TYPE_CHECKING:  # torch comes with it
    from amgsrn_core import ArrayInfo, Domain


class Grid:
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


def new_values(array: ArrayInfo, dimensions: Dimensions) -> tuple[vtkFloatArray, np.ndarray]:
    """An array for values at that many points (x, y, z), and a view of its memory, float32 [z, y, x, components]."""
    values = vtkFloatArray()
    values.SetName(array.name)
    values.SetNumberOfComponents(array.components)
    for component, name in enumerate(array.component_names):
        values.SetComponentName(component, name)
    values.SetNumberOfTuples(dimensions[0] * dimensions[1] * dimensions[2])
    return values, vtk_to_numpy(values).reshape(*dimensions[::-1], array.components)


def declare(values: vtkFloatArray, array: ArrayInfo) -> None:
    """Put units and the trained value ranges on an array, where VTK looks before it searches the values."""
    if array.units:
        values.GetInformation().Set(vtkDataArray.UNITS_LABEL(), array.units)
    ranges = vtkInformationVector()
    ranges.SetNumberOfInformationObjects(array.components)
    for component, value_range in enumerate(array.ranges):
        ranges.GetInformationObject(component).Set(vtkDataArray.COMPONENT_RANGE(), value_range, 2)
    values.GetInformation().Set(vtkDataArray.PER_COMPONENT(), ranges)
    values.GetInformation().Set(vtkDataArray.PER_FINITE_COMPONENT(), ranges)  # what colour maps are rescaled to


def blank(image: vtkImageData, values: np.ndarray) -> None:
    """Hide the points of an image that have no value, and all cells that touch one.

    Some filters look at the points' flags, others at the cells', hence both. ParaView's volume rendering interpolates across the
    edges of hidden cells: not-a-number beside a value would show there as specks, so it is replaced by the mean of the values next
    to it. The points stay hidden.

    Args:
        image: with its extent set.
        values: float32 [z, y, x, components], not-a-number where there is nothing; changed in place.
    """
    hidden = np.isnan(values[..., 0])
    image.GetPointData().AddArray(_ghosts(hidden, vtkDataSetAttributes.HIDDENPOINT))
    image.GetCellData().AddArray(_ghosts(_touching(hidden), vtkDataSetAttributes.HIDDENCELL))
    _extend(values, hidden)


def string_array(name: str, *values: str) -> vtkStringArray:
    """An array of strings, for field data."""
    array = vtkStringArray()
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    return array


def _touching(hidden: np.ndarray) -> np.ndarray:
    """Cells with a hidden corner; an axis with a single point keeps it, as VTK counts cells."""
    for axis, nodes in enumerate(hidden.shape):
        if nodes > 1:
            hidden = np.take(hidden, range(nodes - 1), axis) | np.take(hidden, range(1, nodes), axis)
    return hidden


def _extend(values: np.ndarray, hidden: np.ndarray) -> None:
    """Give hidden points (bool [z, y, x]) beside others the mean of their neighbours' values."""
    near = ~hidden
    for axis in range(3):
        padded = np.pad(near, [(int(k == axis),) * 2 for k in range(3)])
        near = np.logical_or.reduce([np.take(padded, range(i, i + near.shape[axis]), axis) for i in range(3)])
    border = np.argwhere(near & hidden)
    total, count = np.zeros((len(border), values.shape[3])), np.zeros((len(border), 1))
    last = np.array(hidden.shape) - 1
    for offset in product((-1, 0, 1), repeat=3):
        beside = border + offset
        there = ((beside >= 0) & (beside <= last)).all(axis=1)
        there[there] &= ~hidden[tuple(beside[there].T)]
        total[there] += values[tuple(beside[there].T)]
        count[there] += 1
    values[tuple(border.T)] = total / count


def _ghosts(hidden: np.ndarray, flag: int) -> vtkDataArray:
    array = numpy_to_vtk(hidden.ravel().astype(np.uint8) * np.uint8(flag), deep=True)
    array.SetName(vtkDataSetAttributes.GhostArrayName())
    return array
