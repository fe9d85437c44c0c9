# SPDX-License-Identifier: BSD-3-Clause
"""A model that disappears, and a defect in the marcher: broken_drawing.py MODEL (which is deleted)."""

import os
import sys

from scene import load_plugin, make_view, result, save, show_volume, simple

load_plugin()
from paraview_plugin import open_models, renderer  # noqa: E402

reader = simple.OpenDataFile(sys.argv[1])
view = make_view((64, 48))
show_volume(reader, view)
os.remove(sys.argv[1])
open_models._models.clear()  # an open model outlives its file until enough others have been opened
for _ in range(3):
    simple.Render(view)

original = renderer.render


def broken(request):
    raise ZeroDivisionError("a defect\nof two lines")


renderer.render = broken
for _ in range(3):
    simple.Render(view)
renderer.render = original
save(view, "alive")
result(alive=True)
