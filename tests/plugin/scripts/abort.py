# SPDX-License-Identifier: BSD-3-Clause
"""The algorithm in plain VTK: tells its progress, and stops when it is asked to: abort.py LARGE."""

import sys

from scene import load_plugin, result

load_plugin()

from paraview_plugin.algorithms.reader import CUSTOM, NeuralVolumeReader  # noqa: E402

reader = NeuralVolumeReader()
reader.SetFileName(sys.argv[1])
reader.SetSampling(CUSTOM)
reader.SetSamplingDimensions(80, 80, 80)
progress = []
tag = reader.AddObserver("ProgressEvent", lambda caller, event: progress.append(reader.GetProgress()))
reader.Update()
reader.RemoveObserver(tag)
tag = reader.AddObserver("ProgressEvent", lambda caller, event: reader.SetAbortExecute(1))
reader.SetSamplingDimensions(90, 80, 80)
reader.Update()
aborted = reader.GetOutputDataObject(0).GetNumberOfPoints()
reader.RemoveObserver(tag)
reader.SetAbortExecute(0)
reader.Modified()
reader.Update()
result(progress=progress, points_aborted=aborted, points_again=reader.GetOutputDataObject(0).GetNumberOfPoints())
