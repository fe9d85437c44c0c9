# SPDX-License-Identifier: BSD-3-Clause
"""Everything else that a representation meets in ParaView: views.py MODEL."""

import gc
import sys
from pathlib import Path

from scene import (
    OUT,
    load_plugin,
    make_view,
    neural_requests,
    renderer_of,
    result,
    save,
    show_sphere,
    show_volume,
    simple,
)
from vtkmodules.vtkCommonDataModel import vtkPlane


def set_budget(display, milliseconds):
    """What the GUI does; the property is hidden from scripts."""
    display.SMProxy.GetProperty("NeuralTimeBudget").SetElement(0, milliseconds)
    display.SMProxy.UpdateVTKObjects()


load_plugin()
requests = neural_requests()
reader = simple.OpenDataFile(sys.argv[1])
view = make_view((200, 150))
flag_before = renderer_of(view).GetUseDepthPeelingForVolumes()
display = show_volume(reader, view)
sphere = show_sphere(view)
save(view, "plain")

# Screenshots of other sizes, with transparency, with several samples per pixel.
save(view, "double", ImageResolution=[400, 300])
save(view, "transparent", TransparentBackground=1)
renderer_of(view).GetRenderWindow().SetMultiSamples(4)
view.UseFXAA = 0
save(view, "multisampled")
renderer_of(view).GetRenderWindow().SetMultiSamples(0)
save(view, "aliased")
view.UseFXAA = 1
view.OrientationAxesVisibility = 0
view.AxesGrid.Visibility = 1
save(view, "axes")
view.AxesGrid.Visibility = 0
view.OrientationAxesVisibility = 1

# A clipping plane of the mapper keeps the side of its normal.
plane = vtkPlane()
plane.SetOrigin(0.2, 0.0, 0.0)
plane.SetNormal(-1.0, 0.0, 0.0)
volumes = renderer_of(view).GetVolumes()
volumes.InitTraversal()
mapper = volumes.GetNextProp().GetMapper()
mapper.AddClippingPlane(plane)
save(view, "clipped")
result(planes=[list(r["clipping_planes"]) for r in requests[-1:]])
mapper.RemoveAllClippingPlanes()

# Selecting on the surface calls the mapper for identifiers; nothing may be marched then.
simple.Render(view)
count = len(requests)
simple.SelectSurfacePoints(Rectangle=[0, 0, 200, 150], View=view)
simple.ClearSelection()
result(marched_while_selecting=len([r for r in requests[count:] if (r["width"], r["height"]) != (200, 150)]))

# The scripts' pictures are always complete, also through the screen's own path.
result(budgets=sorted({r["budget_ms"] for r in requests}), interactive=sorted({r["interactive"] for r in requests}))

# The peeling flag.
during = renderer_of(view).GetUseDepthPeelingForVolumes()
display.Visibility = 0
simple.Render(view)
hidden = renderer_of(view).GetUseDepthPeelingForVolumes()
display.Visibility = 1
simple.Render(view)
shown = renderer_of(view).GetUseDepthPeelingForVolumes()
display.SetRepresentationType("Outline")
simple.Render(view)
outline = renderer_of(view).GetUseDepthPeelingForVolumes()
display.SetRepresentationType("Neural Volume")
simple.Render(view)
second = simple.OpenDataFile(sys.argv[1])
second_display = show_volume(second, view)
simple.Render(view)
second_display.Visibility = 0
simple.Render(view)
one_left = renderer_of(view).GetUseDepthPeelingForVolumes()
simple.Delete(second)
simple.Render(view)
result(peeling=[flag_before, during, hidden, shown, outline, one_left])

# Other arrays: a filter's result carries the descriptor along, but is not the model.
other = simple.Calculator(Input=reader, Function="density*2", ResultArrayName="double")
sphere.Visibility = 0
display.Visibility = 0
simple.Render(view)
save(view, "empty")
other_display = simple.Show(other, view)
other_display.SetRepresentationType("Neural Volume")
simple.ColorBy(other_display, ("POINTS", "double"))
save(view, "other_array")
simple.ColorBy(other_display, ("POINTS", "density"))
save(view, "own_array_through_filter")
simple.Delete(other)
display.Visibility = 1
sphere.Visibility = 1

# Samples per voxel reach the marcher.
display.NeuralSamplesPerVoxel = 2.5
save(view, "fine")
result(samples_per_voxel=requests[-1]["samples_per_voxel"])
display.NeuralSamplesPerVoxel = 1.0

# Several views, each with its own picture.
layout = simple.CreateLayout("two")
left, right = make_view((160, 120)), make_view((160, 120))
layout.AssignView(0, left)
layout.SplitHorizontal(0, 0.5)
layout.AssignView(2, right)
show_volume(reader, left)
show_volume(reader, right)
right.CameraPosition = [-2.5, 1.0, 2.0]
layout.SetSize(400, 150)
simple.SaveScreenshot(f"{OUT}/two_views.png", layout)
keys = {r["key"] for r in requests}
simple.Delete(left)
simple.Delete(right)
simple.RemoveLayout(layout)

# The camera is reset to where the volume is moved and stretched to.
sphere.Visibility = 0
display.Scale = [1.0, 1.0, 40.0]
display.Position = [3.0, 0.0, 0.0]
simple.ResetCamera(view)
result(reset_to=list(view.CameraFocalPoint), reset_size=view.CameraParallelScale)
display.Scale = [1.0, 1.0, 1.0]
display.Position = [0.0, 0.0, 0.0]
sphere.Visibility = 1
view.CameraPosition, view.CameraFocalPoint = [1.9, 1.6, 2.9], [0.0, 0.0, 0.0]

# State. The time slice is the GUI's business and must not be saved.
set_budget(display, 80.0)
simple.SaveState(f"{OUT}/state.pvsm")
simple.ResetSession()
simple.LoadState(f"{OUT}/state.pvsm")
view = simple.GetActiveViewOrCreate("RenderView")
view.ViewSize = [200, 150]
kinds = [r.Representation for r in view.Representations if hasattr(r, "Representation")]
properties = [r.SMProxy.GetProperty("NeuralTimeBudget") for r in view.Representations]
budgets = [p.GetElement(0) for p in properties if p]
save(view, "from_state")
result(kinds=[str(k).strip("'") for k in kinds], restored_budgets=budgets)
result(state_has_budget="NeuralTimeBudget" in Path(f"{OUT}/state.pvsm").read_text())

# Mappers that are gone leave nothing behind.
from paraview_plugin import renderer  # noqa: E402

del (
    mapper,
    volumes,
    display,
    second_display,
    other_display,
    view,
    left,
    right,
    sphere,
    reader,
    second,
    other,
    properties,
    kinds,
)
simple.ResetSession()
gc.collect()
result(keys=len(keys), kept=len(renderer._drawings))
