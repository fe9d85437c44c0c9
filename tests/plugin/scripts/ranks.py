# SPDX-License-Identifier: BSD-3-Clause
"""One picture by however many ranks there are: ranks.py MODEL NAME."""

import sys

from scene import load_plugin, make_view, result, save, servermanager, show_volume, simple

load_plugin()
reader = simple.OpenDataFile(sys.argv[1])
view = make_view()
display = show_volume(reader, view)
save(view, sys.argv[2])
result(ranks=servermanager.vtkProcessModule.GetProcessModule().GetNumberOfLocalPartitions())
