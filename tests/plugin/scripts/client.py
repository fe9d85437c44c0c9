# SPDX-License-Identifier: BSD-3-Clause
"""The same picture through a server and without one: client.py MODEL [PORT]."""

import sys

from scene import load_plugin, make_view, result, save, servermanager, show_sphere, show_volume, simple

remote = len(sys.argv) > 2
if remote:
    simple.Connect("127.0.0.1", int(sys.argv[2]))
load_plugin()
reader = simple.OpenDataFile(sys.argv[1])
view = make_view()
display = show_volume(reader, view)
show_sphere(view)
simple.Render(view)
save(view, "remote" if remote else "local")
result(
    remote=bool(servermanager.ActiveConnection.IsRemote()),
    range=reader.GetDataInformation().GetPointDataInformation().GetArrayInformation("density").GetComponentRange(0),
)

# A time slice of the GUI's kind does not reach screenshots.
display.SMProxy.GetProperty("NeuralTimeBudget").SetElement(0, 1.0)
display.SMProxy.UpdateVTKObjects()
view.CameraPosition = [2.1, 1.5, 2.8]
save(view, "remote_moved" if remote else "local_moved")

bad = simple.NeuralVolumeReader(FileName="/nowhere/missing.amgsrn")
bad.UpdatePipeline()
result(alive=reader.GetDataInformation().GetNumberOfPoints())
