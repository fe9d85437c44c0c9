# SPDX-License-Identifier: BSD-3-Clause
"""A model with three components: what is known about them, streamlines, colours by each and by the magnitude: components.py VECTOR."""

import os
import sys

import numpy as np
from scene import load_plugin, make_view, neural_requests, result, save, servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

load_plugin()
requests = neural_requests()
source = simple.OpenDataFile(sys.argv[1])
source.Sampling = "Native resolution"
source.UpdatePipeline()
array = source.GetDataInformation().GetPointDataInformation().GetArrayInformation("velocity")
image = servermanager.Fetch(source)
attributes = image.GetPointData()
values = vtk_to_numpy(attributes.GetArray("velocity"))
index = image.ComputePointId([30, 5, 12])
result(
    names=[array.GetComponentName(i) for i in range(3)],
    ranges=[array.GetComponentRange(i) for i in range(3)],
    active=[attributes.GetVectors().GetName(), attributes.GetScalars().GetName()],
    position=image.GetPoint(index),
    value=values[index].tolist(),
)

# Streamlines: circles about the z axis.
stream = simple.StreamTracer(Input=source, Vectors=["POINTS", "velocity"], SeedType="Line")
stream.SeedType.Point1 = [0.2, 0.0, 0.0]
stream.SeedType.Point2 = [0.8, 0.0, 0.0]
stream.SeedType.Resolution = 3
stream.IntegrationDirection = "FORWARD"
stream.MaximumStreamlineLength = 2 * np.pi * 0.8
stream.UpdatePipeline()
lines = servermanager.Fetch(stream)
points = vtk_to_numpy(lines.GetPoints().GetData())
tracks = []
for cell in range(lines.GetNumberOfCells()):
    ids = lines.GetCell(cell).GetPointIds()
    tracks.append(points[[ids.GetId(i) for i in range(ids.GetNumberOfIds())]].tolist())
result(tracks=tracks)

# Pictures. ParaView's own volume heeds the unit distance for the first component only, and takes 1 for others.
view = make_view()
display = simple.Show(source, view)
display.SetRepresentationType("Neural Volume")
display.ScalarOpacityUnitDistance = 1.0
simple.Hide(stream, view)
for name in ("u", "v", "w", "Magnitude"):
    simple.ColorBy(display, ("POINTS", "velocity", name))
    low, high = (0.0, 1.5) if name == "Magnitude" else (-1.0, 1.0)
    simple.GetColorTransferFunction("velocity").RescaleTransferFunction(low, high)
    opacity = simple.GetOpacityTransferFunction("velocity")
    middle = 0.5 * (low + high)
    opacity.Points = [*(low, 0.0, 0.5, 0.0), *(middle, 0.1, 0.5, 0.0), *(high, 0.98, 0.5, 0.0)]
    for kind in ("Neural Volume", "Volume"):
        display.SetRepresentationType(kind)
        save(view, f"{name}-{kind.split()[0].lower()}")
    display.SetRepresentationType("Neural Volume")
result(components=sorted({request["component"] for request in requests}))

# A state keeps what the colours go by.
simple.ColorBy(display, ("POINTS", "velocity", "v"))
save(view, "before_state")
simple.SaveState(os.environ["NEURAL_OUT"] + "/components.pvsm")
simple.ResetSession()
simple.LoadState(os.environ["NEURAL_OUT"] + "/components.pvsm")
view = simple.GetActiveViewOrCreate("RenderView")
view.ViewSize = [320, 240]
save(view, "from_state")
result(done=True)
