# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from files: one reader per format, all giving the same `Volume`."""

from .opening import open_volume
from .reader import VariableInfo, VolumeReader
from .volume import Volume, VolumeSource

__all__ = ["VariableInfo", "Volume", "VolumeReader", "VolumeSource", "open_volume"]
