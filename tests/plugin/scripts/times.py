# SPDX-License-Identifier: BSD-3-Clause
"""A model with time steps: values and pictures at each, animation, state: times.py SERIES."""

import json
import os
import sys
from pathlib import Path

from scene import OUT, load_plugin, make_view, neural_requests, result, save, servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkDataObject

load_plugin()
requests = neural_requests()
source = simple.OpenDataFile(sys.argv[1])
source.Sampling = "Native resolution"
result(times=list(source.TimestepValues), interpolates=bool(source.InterpolateInTime))


def at(time):
    """What the reader gives for a time."""
    source.UpdatePipeline(time)
    image = servermanager.Fetch(source)
    data = image.GetFieldData().GetAbstractArray("amgsrn_model").GetValue(0)
    index = image.ComputePointId([50, 40, 30])
    return {
        "value": float(vtk_to_numpy(image.GetPointData().GetArray("density"))[index]),
        "position": image.GetPoint(index),
        "data_time": image.GetInformation().Get(vtkDataObject.DATA_TIME_STEP()),
        "descriptor": json.loads(data),
    }


asked = [0.0, 1.0, 4.0, 0.4, 0.6, 2.4, 2.6, -3.0, 9.0]
nearest = [at(time) for time in asked]
source.InterpolateInTime = 1
between = [at(time) for time in asked]
source.InterpolateInTime = 0
result(asked=asked, nearest=nearest, between=between)

# The picture follows the view's time.
view = make_view((200, 150))
display = simple.Show(source, view)
display.SetRepresentationType("Neural Volume")
simple.ColorBy(display, ("POINTS", "density"))
simple.GetColorTransferFunction("density").RescaleTransferFunction(-1.0, 1.0)
simple.GetOpacityTransferFunction("density").Points = [*(-1.0, 0.0, 0.5, 0.0), *(1.0, 0.9, 0.5, 0.0)]
display.ScalarOpacityUnitDistance = 0.3
scene = simple.GetAnimationScene()
scene.UpdateAnimationUsingDataTimeSteps()
result(scene_times=list(scene.TimeKeeper.TimestepValues), mode=str(scene.PlayMode))
for time in (0.0, 1.0, 4.0):
    for kind in ("Neural Volume", "Volume"):
        display.SetRepresentationType(kind)
        scene.AnimationTime = time
        save(view, f"time{time:g}-{kind.split()[0].lower()}")
display.SetRepresentationType("Neural Volume")
source.InterpolateInTime = 1
scene.PlayMode = "Sequence"
scene.AnimationTime = 2.5
save(view, "between-neural")
display.SetRepresentationType("Volume")
save(view, "between-volume")
display.SetRepresentationType("Neural Volume")
result(drawn=[json.loads(request["model"])["time"] for request in requests])

# Playing forwards goes through the steps; so does a saved animation.
source.InterpolateInTime = 0
scene.PlayMode = "Snap To TimeSteps"
requests.clear()
scene.GoToFirst()
scene.Play()
played = [json.loads(request["model"])["time"] for request in requests]
simple.SaveAnimation(f"{OUT}/film.png", view, FrameWindow=[0, 2])
result(played=played, frames=sorted(path.name for path in Path(OUT).glob("film*.png")))

# A state has the time and the property.
source.InterpolateInTime = 1
scene.PlayMode = "Sequence"
scene.AnimationTime = 3.25
save(view, "before_state")
simple.SaveState(os.environ["NEURAL_OUT"] + "/times.pvsm")
simple.ResetSession()
simple.LoadState(os.environ["NEURAL_OUT"] + "/times.pvsm")
view = simple.GetActiveViewOrCreate("RenderView")
view.ViewSize = [200, 150]
save(view, "from_state")
(source,) = simple.GetSources().values()
result(state_interpolates=bool(source.InterpolateInTime), state_time=simple.GetAnimationScene().AnimationTime)
