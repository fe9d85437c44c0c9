# SPDX-License-Identifier: BSD-3-Clause
"""Runs inside ParaView's window: plays a time series. Needs NEURAL_MODEL; writes play_in_gui.json and pictures."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["NEURAL_SCRIPTS"])))

from paraview import simple
from scene import neural_requests

out = Path(os.environ["NEURAL_OUT"])
requests = neural_requests()
reader = simple.OpenDataFile(os.environ["NEURAL_MODEL"])
view = simple.GetActiveViewOrCreate("RenderView")
display = simple.Show(reader, view)
display.SetRepresentationType("Neural Volume")
simple.ColorBy(display, ("POINTS", "density"))
simple.GetColorTransferFunction("density").RescaleTransferFunction(-1.0, 1.0)
simple.GetOpacityTransferFunction("density").RescaleTransferFunction(-1.0, 1.0)
scene = simple.GetAnimationScene()
scene.UpdateAnimationUsingDataTimeSteps()
scene.GoToFirst()
simple.ResetCamera(view)
simple.Render(view)
simple.SaveScreenshot(str(out / "first.png"), view, ImageResolution=[300, 200])
requests.clear()
scene.Play()
times = [json.loads(request["model"])["time"] for request in requests]
simple.SaveScreenshot(str(out / "last.png"), view, ImageResolution=[300, 200])
partial = out / "play_in_gui.part"
partial.write_text(json.dumps({"times": times, "steps": list(reader.TimestepValues), "at": scene.AnimationTime}))
partial.rename(partial.with_suffix(".json"))
