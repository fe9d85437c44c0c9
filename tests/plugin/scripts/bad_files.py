# SPDX-License-Identifier: BSD-3-Clause
"""Opens files that are no models, then a good one: bad_files.py GOOD BAD..."""

import sys

from scene import load_plugin, make_view, result, simple

load_plugin()
view = make_view((64, 48))
for path in sys.argv[2:]:
    source = simple.NeuralVolumeReader(FileName=path)
    source.UpdatePipeline()
    simple.Show(source, view)
    simple.Render(view)
    source.UpdatePipeline()
good = simple.OpenDataFile(sys.argv[1])
good.UpdatePipeline()
simple.Show(good, view)
simple.Render(view)
result(alive=good.GetDataInformation().GetNumberOfPoints())
