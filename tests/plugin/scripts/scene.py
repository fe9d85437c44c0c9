# SPDX-License-Identifier: BSD-3-Clause
"""What the scripts share: the plugin loaded, a model opened, a scene with a fixed camera and opacity function."""

import json
import os

import paraview
from paraview import servermanager, simple

# What the scripts import from here.
__all__ = [
    "OUT",
    "load_plugin",
    "make_view",
    "neural_requests",
    "renderer_of",
    "result",
    "save",
    "servermanager",
    "show_sphere",
    "show_volume",
    "simple",
]

paraview.simple._DisableFirstRenderCameraReset()

OUT = os.environ["NEURAL_OUT"]


def result(**values):
    """Hand values to the test."""
    print("RESULT " + json.dumps(values), flush=True)


def load_plugin():
    """Into this process; servers are started with it."""
    simple.LoadPlugin(os.environ["NEURAL_PLUGIN"], remote=False, ns=vars(simple))


def make_view(size=(320, 240)):
    view = simple.CreateView("RenderView")
    view.ViewSize = list(size)
    view.UseColorPaletteForBackground = 0
    view.Background = [0.15, 0.16, 0.2]
    view.CameraPosition = [1.9, 1.6, 2.9]
    view.CameraFocalPoint = [0.0, 0.0, 0.0]
    view.CameraViewUp = [0.0, 1.0, 0.0]
    return view


def show_volume(source, view, kind="Neural Volume"):
    display = simple.Show(source, view)
    display.SetRepresentationType(kind)
    simple.ColorBy(display, ("POINTS", "density"))
    simple.GetOpacityTransferFunction("density").Points = [
        *(-2.0, 0.0, 0.5, 0.0),
        *(0.5, 0.0, 0.5, 0.0),
        *(2.0, 0.35, 0.5, 0.0),
        *(6.0, 0.9, 0.5, 0.0),
    ]
    display.ScalarOpacityUnitDistance = 0.05
    return display


def show_sphere(view, opacity=1.0):
    sphere = simple.Sphere(Center=[0.45, 0.1, 0.25], Radius=0.35, ThetaResolution=64, PhiResolution=64)
    display = simple.Show(sphere, view)
    display.ColorArrayName = ["POINTS", ""]
    display.DiffuseColor = [1.0, 0.8, 0.3]
    display.Opacity = opacity
    return display


def save(view, name, **options):
    simple.SaveScreenshot(f"{OUT}/{name}.png", view, **options)


def renderer_of(view):
    return view.GetClientSideObject().GetRenderer()


def neural_requests():
    """Record what is asked of the marcher: a list that fills with copies of the requests."""
    from paraview_plugin import renderer

    requests = []
    original = renderer.render

    def render(request):
        answer = original(request)
        requests.append({k: v for k, v in request.items() if k not in ("image", "depth", "table")})
        return answer

    renderer.render = render
    return requests
