# SPDX-License-Identifier: BSD-3-Clause
"""Reads a file, overwrites it with another, and reloads: replaced_file.py FILE OTHER."""

import shutil
import sys

from scene import load_plugin, result, simple

load_plugin()


def native(source):
    source.UpdatePipelineInformation()
    ranges = source.SMProxy.GetProperty("NativeDimensionRanges")
    return [ranges.GetElement(i) for i in (1, 3, 5)]


def stamp(source):
    source.UpdatePipeline()
    return source.GetDataInformation().GetFieldDataInformation().GetArrayInformation("amgsrn_model").GetStringValue(0)


source = simple.OpenDataFile(sys.argv[1])
before, first = native(source), stamp(source)
shutil.copyfile(sys.argv[2], sys.argv[1])
simple.ReloadFiles(source)
result(before=before, after=native(source), stamps_differ=stamp(source) != first)
