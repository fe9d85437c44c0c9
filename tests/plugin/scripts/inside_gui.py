# SPDX-License-Identifier: BSD-3-Clause
"""Runs inside ParaView's window: what the GUI does to a new Neural Volume. Needs NEURAL_MODEL; writes inside_gui.json."""

import json
import os
from pathlib import Path

from paraview import simple

reader = simple.OpenDataFile(os.environ["NEURAL_MODEL"])
view = simple.GetActiveViewOrCreate("RenderView")
display = simple.Show(reader, view)
display.SetRepresentationType("Neural Volume")
simple.Render(view)
shared_follows = []
for value in (0.3, 0.2):
    display.NeuralOpacityUnitDistance = value
    shared_follows.append(display.ScalarOpacityUnitDistance)
display.ScalarOpacityUnitDistance = 0.1
# A screenshot is complete although the window refines in steps.
display.ColorArrayName = ["POINTS", "density"]
display.RescaleTransferFunctionToDataRange()
simple.Render(view)
simple.SaveScreenshot(os.environ["NEURAL_OUT"] + "/inside_gui.png", view, ImageResolution=[300, 200])
values = {
    "budget": display.SMProxy.GetProperty("NeuralTimeBudget").GetElement(0),
    "shared_follows": shared_follows,
    "copy_follows": display.NeuralOpacityUnitDistance,
}
partial = Path(os.environ["NEURAL_OUT"], "inside_gui.part")
partial.write_text(json.dumps(values))
partial.rename(partial.with_suffix(".json"))
