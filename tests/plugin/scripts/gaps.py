# SPDX-License-Identifier: BSD-3-Clause
"""What ParaView makes of a model with gaps, and of one without: gaps.py GAPS UNIFORM."""

import sys

import numpy as np
from scene import load_plugin, make_view, result, save, servermanager, show_sphere, show_volume, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

load_plugin()

GHOSTS = "vtkGhostType"


def flags(attributes):
    array = attributes.GetArray(GHOSTS)
    return None if array is None else vtk_to_numpy(array)


def positions(data):
    """Of the points that cells use which are not hidden."""
    hidden = flags(data.GetCellData())
    points = set()
    for cell in range(data.GetNumberOfCells()):
        if hidden is None or not hidden[cell]:
            ids = data.GetCell(cell).GetPointIds()
            points.update(ids.GetId(i) for i in range(ids.GetNumberOfIds()))
    return vtk_to_numpy(data.GetPoints().GetData())[sorted(points)]


source = simple.OpenDataFile(sys.argv[1])
source.Sampling = "Native resolution"
source.UpdatePipeline()
image = servermanager.Fetch(source)
result(
    kind=image.GetClassName(),
    range=source.GetDataInformation().GetPointDataInformation().GetArrayInformation("density").GetComponentRange(0),
)
np.save("values.npy", vtk_to_numpy(image.GetPointData().GetArray("density")).reshape(48, 56, 64))
np.save("point_flags.npy", flags(image.GetPointData()).reshape(48, 56, 64))
np.save("cell_flags.npy", flags(image.GetCellData()).reshape(47, 55, 63))

# Filters: no point without a position, none in a cell that touches a gap.
contour = simple.Contour(Input=source, ContourBy=["POINTS", "density"], Isosurfaces=[1.0, 2.5])
cut = simple.Slice(Input=source)
cut.SliceType.Normal = [0.0, 0.0, 1.0]
cut.SliceType.Origin = [0.0, 0.0, 0.21]
threshold = simple.Threshold(Input=source, Scalars=["POINTS", "density"], LowerThreshold=0.0, UpperThreshold=3.0)
clip = simple.Clip(Input=source)
clip.ClipType.Normal = [0.0, 0.0, 1.0]
clip.ClipType.Origin = [0.0, 0.0, 0.21]
plain = simple.OpenDataFile(sys.argv[1])
plain.Sampling = "Native resolution"
plain.PlainImageData = 1
part = simple.ExtractSubset(Input=plain, VOI=[10, 60, 5, 50, 20, 40])
part_threshold = simple.Threshold(Input=part, Scalars=["POINTS", "density"], LowerThreshold=0.0, UpperThreshold=3.0)
filters = {
    "contour": contour,
    "slice": cut,
    "threshold": threshold,
    "clip": clip,
    "threshold_of_a_part": part_threshold,
}
for name, proxy in filters.items():
    proxy.UpdatePipeline()
    np.save(f"points_{name}.npy", positions(servermanager.Fetch(proxy)))
line = simple.PlotOverLine(Input=source, Point1=[-0.9, 0.5, 0.4], Point2=[0.9, 0.5, 0.4])
line.UpdatePipeline()
along = servermanager.Fetch(line)
np.save("line.npy", vtk_to_numpy(along.GetPointData().GetArray("density")))
np.save("line_points.npy", vtk_to_numpy(along.GetPoints().GetData()))

# Pictures. ParaView hides whole cells, so its own volume has the gaps' borders the better the finer its samples are.
view = make_view()
view.CameraPosition = [-1.9, 2.4, 2.6]
view.OrientationAxesVisibility = 0
source.Sampling = "Custom"
source.SamplingDimensions = [253, 221, 189]
display = show_volume(source, view)
sphere = show_sphere(view)
for name in ("plain", "opaque"):
    sphere.Visibility = int(name == "opaque")
    for kind in ("Neural Volume", "Volume"):
        display.SetRepresentationType(kind)
        save(view, f"{name}-{kind.split()[0].lower()}")
source.Sampling = "Native resolution"
sphere.Visibility = 0
display.SetRepresentationType("Neural Volume")
whole = simple.OpenDataFile(sys.argv[2])
simple.Hide(source, view)
whole_display = show_volume(whole, view)
save(view, "whole")
simple.Hide(whole, view)
for name in ("contour", "slice", "clip", "threshold"):
    shown = simple.Show(filters[name], view)
    simple.ColorBy(shown, ("POINTS", "density"))
    save(view, name)
    simple.Hide(filters[name], view)
display = simple.Show(source, view)
for kind in ("Surface", "Slice", "Outline"):
    display.SetRepresentationType(kind)
    save(view, f"as_{kind.lower()}")
simple.Hide(source, view)

whole.UpdatePipeline()
image = servermanager.Fetch(whole)
result(
    whole_kind=image.GetClassName(),
    whole_has_flags=[a.GetArray(GHOSTS) is not None for a in (image.GetPointData(), image.GetCellData())],
)
