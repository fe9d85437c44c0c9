# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of pictures of one model: Neural Volume against ParaView's own Volume of the same samples."""

import sys

from scene import load_plugin, make_view, result, save, show_sphere, show_volume, simple

load_plugin()
reader = simple.OpenDataFile(sys.argv[1])
reader.Sampling = "Native resolution"
view = make_view()
display = show_volume(reader, view)
sphere = show_sphere(view)


def pair(name):
    for kind in ("Neural Volume", "Volume"):
        display.SetRepresentationType(kind)
        save(view, f"{name}-{kind.split()[0].lower()}")


sphere.Visibility = 0
pair("plain")
sphere.Visibility = 1
pair("opaque")
view.CameraParallelProjection = 1
view.CameraParallelScale = 1.3
pair("parallel")
view.CameraParallelProjection = 0
display.Position = [0.3, -0.1, 0.0]
display.Orientation = [10.0, 35.0, 5.0]
display.Scale = [1.0, 1.3, 0.8]
display.Origin = [0.1, 0.0, 0.2]
pair("moved")
display.Position = display.Orientation = display.Origin = [0.0, 0.0, 0.0]
display.Scale = [1.0, 1.0, 1.0]
sphere.Opacity = 0.5
pair("translucent")
result(done=True)
