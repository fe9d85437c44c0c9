# SPDX-License-Identifier: BSD-3-Clause
"""Ray marching of any field: camera, transfer function, marching, and pictures that refine progressively."""

from .camera import Camera, orbit_camera
from .march import march
from .progressive import ProgressivePicture, Speed, render_complete
from .scene import Rays, Scene
from .transfer_function import TransferFunction

__all__ = ["Camera", "ProgressivePicture", "Rays", "Scene", "Speed", "TransferFunction", "march", "orbit_camera", "render_complete"]
