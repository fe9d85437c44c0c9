"""Renders a neural volume to a picture, in ParaView's Python:

    pvpython examples/render_neural_volume.py MODEL.amgsrn PICTURE.png --plugin PLUGIN.so [--state STATE.pvsm]

On a machine without a display put `xvfb-run -a` in front. The plugin file is what `make plugin-path` prints.
"""

import argparse
import os

from paraview import simple


def parse_arguments():
    parser = argparse.ArgumentParser(description="Renders a neural volume to a picture.")
    parser.add_argument("model", help="an .amgsrn file")
    parser.add_argument("picture", help="PNG file to write")
    parser.add_argument("--plugin", help="the plugin to load (default: it is loaded already, by PV_PLUGIN_PATH)")
    parser.add_argument("--state", help="also save a state file (.pvsm) to go on from in the GUI")
    parser.add_argument("--title", default="", help="text above the picture")
    parser.add_argument("--units", default="", help="of the values, for the colour legend")
    parser.add_argument("--representation", default="Neural Volume", help="or any other of ParaView's (%(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 800), metavar=("W", "H"), help="in pixels")
    return parser.parse_args()


def open_model(path):
    source = simple.OpenDataFile(os.path.abspath(path))
    if source is None:
        raise SystemExit(f"ParaView has no reader for {path}: is the plugin loaded (--plugin)?")
    simple.RenameSource(os.path.basename(path), source)
    simple.GetAnimationScene().UpdateAnimationUsingDataTimeSteps()
    return source


def colour_by_magnitude(source, display, view):
    """Hot colours on black; what is weak is transparent, so that only the strongest vortices stand out."""
    array = source.PointData[0]
    low, high = array.GetRange(0)
    simple.ColorBy(display, ("POINTS", array.Name))
    colours = simple.GetColorTransferFunction(array.Name)
    colours.ApplyPreset("Inferno (matplotlib)", True)
    top = low + 0.63 * (high - low)  # the few values above are drawn as this one
    colours.RescaleTransferFunction(low, top)
    opacities = simple.GetOpacityTransferFunction(array.Name)
    points = [(0.0, 0.0), (0.2, 0.0), (0.28, 0.04), (0.5, 0.32), (0.75, 0.66), (1.0, 0.88)]
    opacities.Points = [n for x, y in points for n in (low + x * (top - low), y, 0.5, 0.0)]
    return colours


def main():
    options = parse_arguments()
    if options.plugin:
        simple.LoadPlugin(os.path.abspath(options.plugin), remote=False, ns=globals())
    source = open_model(options.model)

    view = simple.CreateRenderView()
    simple.CreateLayout("Neural volume").AssignView(0, view)  # else the GUI would not show the view of the state file
    view.ViewSize = options.size
    view.OrientationAxesVisibility = 0
    view.UseColorPaletteForBackground = 0
    view.BackgroundColorMode = "Gradient"
    view.Background = [0.05, 0.06, 0.10]
    view.Background2 = [0.0, 0.0, 0.01]

    display = simple.Show(source, view)
    display.Representation = options.representation
    if options.representation == "Neural Volume":
        display.NeuralSamplesPerVoxel = 2  # fine features in strong colours: rays take smaller steps than usual
    colours = colour_by_magnitude(source, display, view)

    outline = simple.Show(simple.Outline(Input=source), view)
    outline.AmbientColor = outline.DiffuseColor = [0.35, 0.4, 0.5]
    outline.LineWidth = 1.0

    bar = simple.GetScalarBar(colours, view)
    bar.Title = source.PointData[0].Name.replace("_", " ")
    bar.ComponentTitle = f"({options.units})" if options.units else ""
    bar.TitleColor = bar.LabelColor = [0.9, 0.9, 0.92]
    bar.TitleFontSize = 22
    bar.LabelFontSize = 20
    bar.ScalarBarLength = 0.5
    bar.WindowLocation = "Any Location"
    bar.Position = [0.86, 0.25]
    bar.AutomaticLabelFormat = 0
    bar.LabelFormat = bar.RangeLabelFormat = "%.0f"
    bar.AddRangeLabels = 0
    display.SetScalarBarVisibility(view, True)

    text = simple.Show(simple.Text(Text=options.title), view)
    text.Color = [0.9, 0.9, 0.92]
    text.FontSize = 22
    text.WindowLocation = "Upper Left Corner"

    x0, x1, y0, y1, z0, z1 = source.GetDataInformation().GetBounds()
    centre = [(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2]
    edge = max(x1 - x0, y1 - y0, z1 - z0)
    view.CameraFocalPoint = [centre[0] + 0.1 * edge, centre[1] - 0.05 * edge, centre[2]]
    view.CameraPosition = [centre[0] + 1.5 * edge, centre[1] + 0.82 * edge, centre[2] + 2.27 * edge]
    view.CameraViewUp = [0, 1, 0]
    view.CameraViewAngle = 31
    view.CenterOfRotation = centre

    simple.SaveScreenshot(os.path.abspath(options.picture), view, ImageResolution=options.size, CompressionLevel="9")
    print(f"{options.picture}: {options.size[0]}x{options.size[1]} pixels")
    if options.state:
        simple.SaveState(os.path.abspath(options.state))


main()
