# SPDX-License-Identifier: BSD-3-Clause
"""The plugin where Python has no torch: without_torch.py MODEL."""

import sys

from scene import load_plugin, make_view, result, simple

load_plugin()
reader = simple.NeuralVolumeReader(FileName=sys.argv[1])
reader.UpdatePipeline()
view = make_view((64, 48))
display = simple.Show(reader, view)
simple.Render(view)
result(alive=True, points=reader.GetDataInformation().GetNumberOfPoints())
