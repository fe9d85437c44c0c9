# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from files: one reader per format, all giving the same `Volume`."""

from .layout import VolumeLayout
from .mesh import Mesh
from .names import array_name
from .opening import open_volume
from .raw import RawFormat
from .reader import VariableInfo, VolumeReader
from .region import Region
from .volume import Volume, VolumeSource

__all__ = [
    "Mesh",
    "RawFormat",
    "Region",
    "VariableInfo",
    "Volume",
    "VolumeLayout",
    "VolumeReader",
    "VolumeSource",
    "array_name",
    "open_volume",
]
