# SPDX-License-Identifier: BSD-3-Clause
"""What the reader evaluates, and what it tells about its output: reading.py UNIFORM RECTILINEAR LARGE."""

import sys
import time

import numpy as np
from scene import load_plugin, make_view, result, servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

load_plugin()

import torch  # noqa: E402

from amgsrn_core import grid, memory, open_field  # noqa: E402

uniform, rectilinear, large = sys.argv[1:4]

evaluated = []
sample_nodes = grid.sample_nodes


def recording(field, x, y, z, **keywords):
    evaluated.append([len(x), len(y), len(z)])
    return sample_nodes(field, x, y, z, **keywords)


grid.sample_nodes = recording


def seen():
    shapes = list(evaluated)
    evaluated.clear()
    return shapes


# What there is to know about the output.
source = simple.OpenDataFile(uniform)
result(
    proxy=source.GetXMLName(),
    sampling=str(source.Sampling).strip("'"),
    native=list(source.SamplingDimensions),
    times=list(source.TimestepValues),
)
simple.UpdatePipeline(proxy=source)
information = source.GetDataInformation()
array = information.GetPointDataInformation().GetArrayInformation("density")
field_data = information.GetFieldDataInformation()
image = servermanager.Fetch(source)
result(
    bounds=information.GetBounds(),
    extent=information.GetExtent(),
    range=array.GetComponentRange(0),
    finite_range=array.GetComponentFiniteRange(0),
    sampled_range=[float(f(vtk_to_numpy(image.GetPointData().GetArray("density")))) for f in (np.min, np.max)],
    units=field_data.GetArrayInformation("amgsrn_units").GetStringValue(0),
    descriptor=field_data.GetArrayInformation("amgsrn_model").GetStringValue(0),
    about=[image.GetFieldData().GetAbstractArray("amgsrn_about").GetValue(i) for i in range(2)],
)

# Rendering needs one cell.
view = make_view((64, 48))
display = simple.Show(source, view)
display.Representation = "Neural Volume"
simple.ColorBy(display, ("POINTS", "density"))
simple.Render(view)
seen()
source.Sampling = "Custom"
source.SamplingDimensions = [50, 40, 30]
view.SMProxy.StillRender()
result(neural_evaluates=seen())
simple.Hide(source, view)

# Filters get exactly what they ask for.
big = simple.OpenDataFile(large)
big.Sampling = "Native resolution"
big.UpdatePipelineInformation()
seen()
voi = [100, 140, 50, 80, 7, 7]
subset = simple.ExtractSubset(Input=big, VOI=voi)
subset.UpdatePipeline()
shapes = seen()
piece = servermanager.Fetch(subset)
field = open_field(large)
index = np.array([[120, 60, 7]])
normalized = torch.from_numpy(-1 + 2 * index / (np.array(field.domain.dimensions) - 1)).float()
at = piece.ComputePointId(index[0].tolist())
result(
    subset_evaluates=shapes,
    subset_extent=piece.GetExtent(),
    subset_position=[
        a - b for a, b in zip(piece.GetPoint(at), field.domain.normalized_to_world(normalized)[0].tolist(), strict=True)
    ],
    subset_error=abs(piece.GetPointData().GetArray("density").GetValue(at) - float(field.sample(normalized)[0, 0])),
)

# The default sampling is fast.
preview = simple.OpenDataFile(large)
start = time.perf_counter()
slice_filter = simple.Slice(Input=preview)
slice_filter.UpdatePipeline()
result(
    slice_seconds=time.perf_counter() - start,
    preview=seen(),
    slice_points=slice_filter.GetDataInformation().GetNumberOfPoints(),
)

# A grid that is not uniform is resampled at world positions.
warped = simple.OpenDataFile(rectilinear)
warped.Sampling = "Custom"
warped.SamplingDimensions = [21, 11, 9]
warped.UpdatePipeline()
image = servermanager.Fetch(warped)
field = open_field(rectilinear)
points = torch.tensor([image.GetPoint(i) for i in range(image.GetNumberOfPoints())], dtype=torch.float64)
expected = field.sample(field.domain.world_to_normalized(points).float().clamp(-1, 1))[:, 0].numpy()
values = vtk_to_numpy(image.GetPointData().GetArray("density"))
result(
    warped_error=float(np.abs(values - expected).max()),
    warped_bounds=image.GetBounds(),
    warped_is_not_uniform=not field.domain.is_uniform,
)

# Too large a request is refused before anything is allocated.
seen()
memory.available_bytes = lambda device: 300 << 20
greedy = simple.OpenDataFile(large)
greedy.Sampling = "Native resolution"
greedy.UpdatePipeline()
result(refused=seen(), refused_points=greedy.GetDataInformation().GetNumberOfPoints())
