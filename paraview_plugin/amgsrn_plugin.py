# SPDX-License-Identifier: BSD-3-Clause
"""What ParaView sees of this project's algorithms. Embedded in the C++ plugin; where that cannot be built, load this file itself."""

import sys
from pathlib import Path

from paraview.util.vtkAlgorithm import smproperty, smproxy

# Loaded by itself, this file has to find the project; ParaView's own packages go first. Embedded, it has no folder.
if Path(__file__).is_file():
    _project = Path(__file__).resolve().parents[1]
    for _folder in (_project, *_project.glob(".venv/lib/python3.*/site-packages")):
        if str(_folder) not in sys.path:
            sys.path.append(str(_folder))

from paraview_plugin.algorithms.reader import NeuralVolumeReader as _Reader

paraview_plugin_name = "NeuralVolumeReader"
paraview_plugin_version = "0.1"


@smproxy.reader(
    name="NeuralVolumeReader",
    label="Neural Volume Reader",
    extensions="amgsrn",
    file_description="Neural volumes",
    support_reload=False,
)
@smproperty.xml("""
    <Documentation short_help="Opens .amgsrn neural volumes."
                   long_help="Opens .amgsrn neural volumes as image data.">
      The values of an .amgsrn model on a regular grid over its bounds. Values are computed when a filter asks for them, and only
      where it asks. The Neural Volume representation draws the model at full resolution whatever the sampling is.
    </Documentation>
    <StringVectorProperty name="FileName" command="SetFileName" number_of_elements="1" animateable="0">
      <FileListDomain name="files"/>
      <Documentation>The .amgsrn file, made by 'python -m trainer fit'.</Documentation>
      <Hints><FileChooser extensions="amgsrn" file_description="Neural volumes"/></Hints>
    </StringVectorProperty>
    <DoubleVectorProperty name="TimestepValues" repeatable="1" information_only="1" si_class="vtkSITimeStepsProperty">
      <TimeStepsInformationHelper/>
      <Documentation>The times of the model's steps, or of the data, if the model knows it.</Documentation>
    </DoubleVectorProperty>
    <IntVectorProperty name="InterpolateInTime" command="SetInterpolateInTime" number_of_elements="1" default_values="0">
      <BooleanDomain name="bool"/>
      <Documentation>Between two time steps: blend the values of both, instead of showing the nearer one.</Documentation>
    </IntVectorProperty>
    <IntVectorProperty name="Sampling" command="SetSampling" number_of_elements="1" default_values="0">
      <EnumerationDomain name="enum">
        <Entry value="0" text="Preview"/>
        <Entry value="1" text="Native resolution"/>
        <Entry value="2" text="Custom"/>
      </EnumerationDomain>
      <Documentation>How finely filters see the volume. Preview: at most 262144 points, evaluated at once. Native resolution: the
      grid of the volume the model was made from. Custom: the Sampling Dimensions.</Documentation>
    </IntVectorProperty>
    <IntVectorProperty name="NativeDimensionRanges" command="GetNativeDimensionRanges" information_only="1">
      <Documentation>2 and the native number of points, along each axis.</Documentation>
    </IntVectorProperty>
    <IntVectorProperty name="SamplingDimensions" command="SetSamplingDimensions" number_of_elements="3" default_values="2 2 2">
      <IntRangeDomain name="range" default_mode="max">
        <RequiredProperties><Property name="NativeDimensionRanges" function="Range"/></RequiredProperties>
      </IntRangeDomain>
      <Documentation>Number of points along x, y and z for Custom sampling; native resolution unless changed.</Documentation>
      <Hints>
        <PropertyWidgetDecorator type="GenericDecorator" mode="visibility" property="Sampling" value="2"/>
        <PropertyWidgetDecorator type="GenericDecorator" mode="enabled_state" property="Sampling" value="2"/>
      </Hints>
    </IntVectorProperty>
    <IntVectorProperty name="PlainImageData" command="SetPlainImageData" number_of_elements="1" default_values="0"
                       panel_visibility="advanced">
      <BooleanDomain name="bool"/>
      <Documentation>Of a model with gaps: give image data in place of a uniform grid, whose points and cells are hidden alike. Extract
      Subset needs that; contours are frayed beside the gaps then.</Documentation>
    </IntVectorProperty>
""")
class NeuralVolumeReader(_Reader):
    """The reader as ParaView instantiates it."""
