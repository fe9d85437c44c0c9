# SPDX-License-Identifier: BSD-3-Clause
"""Ray marching of any field: camera, transfer function, marching, and pictures that refine progressively."""

from .camera import Camera, orbit_camera
from .colour_map import DEFAULT_COLOUR_MAP, colour_map, read_colour_map
from .march import march
from .progressive import ProgressivePicture, Speed, render_complete
from .scene import MAGNITUDE, Rays, Scene, voxel_steps
from .transfer_function import TransferFunction

__all__ = [
    "DEFAULT_COLOUR_MAP",
    "MAGNITUDE",
    "Camera",
    "ProgressivePicture",
    "Rays",
    "Scene",
    "Speed",
    "TransferFunction",
    "colour_map",
    "march",
    "orbit_camera",
    "read_colour_map",
    "render_complete",
    "voxel_steps",
]
