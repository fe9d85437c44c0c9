# SPDX-License-Identifier: BSD-3-Clause
"""From pixels to rays, for any OpenGL camera (perspective, parallel, tiled, moved actors), by its matrices alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A view of the data.

    Attributes:
        data_to_clip: (4, 4) float64, data coordinates (column vectors) to OpenGL clip space, z in [-1, 1].
        width, height: picture size in pixels; row 0 is the bottom one, as in OpenGL.
    """

    data_to_clip: np.ndarray
    width: int
    height: int

    def segments(self, columns: np.ndarray, rows: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each pixel's centre sees: the line from the near plane to the depth of opaque geometry.

        Args:
            columns, rows: pixel indices, integers (n,).
            depth: window depth in [0, 1], (n,).

        Returns:
            start and end points in data coordinates, float64 (n, 3) each.
        """
        x = (columns + 0.5) * (2.0 / self.width) - 1.0
        y = (rows + 0.5) * (2.0 / self.height) - 1.0
        inverse = np.linalg.inv(self.data_to_clip)
        start = self._unproject(inverse, x, y, np.full(len(x), -1.0))
        end = self._unproject(inverse, x, y, 2.0 * depth.astype(np.float64) - 1.0)
        return start, end

    def project_box(self, bounds: tuple[float, ...]) -> tuple[int, int, int, int]:
        """Pixels that may see a box: (first column, end column, first row, end row), half open.

        Args:
            bounds: (xmin, xmax, ymin, ymax, zmin, zmax) in data coordinates.
        """
        corners = np.array(
            [[bounds[i], bounds[2 + j], bounds[4 + k], 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        )
        clip = corners @ self.data_to_clip.T
        if (clip[:, 3] <= 1e-9 * np.abs(clip[:, :3]).max()).any():
            # A corner is beside or behind the eye: its projection means nothing.
            return (0, self.width, 0, self.height)
        window = 0.5 * (clip[:, :2] / clip[:, 3:] + 1.0) * (self.width, self.height)
        low = np.floor(window.min(axis=0)).astype(int)
        high = np.ceil(window.max(axis=0)).astype(int)
        first = np.clip(low, 0, (self.width, self.height))
        end = np.clip(high, first, (self.width, self.height))
        return (int(first[0]), int(end[0]), int(first[1]), int(end[1]))

    @staticmethod
    def _unproject(inverse: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        points = np.stack([x, y, z, np.ones_like(x)], axis=1) @ inverse.T
        return points[:, :3] / points[:, 3:]


def orbit_camera(
    bounds: tuple[float, ...], azimuth: float, elevation: float, width: int, height: int, view_angle: float = 30.0
) -> Camera:
    """A perspective camera that looks at the whole of a box, z up.

    Args:
        bounds: (xmin, xmax, ymin, ymax, zmin, zmax).
        azimuth, elevation: where the eye stands, degrees; azimuth 0 looks along +y, elevation 90 from above.
        width, height: picture size in pixels.
        view_angle: vertical opening angle, degrees.
    """
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    a, e = math.radians(azimuth), math.radians(min(max(elevation, -89.9), 89.9))
    backward = np.array([math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)])
    half = math.radians(view_angle) / 2
    # The narrower side of the picture decides how far away the eye has to be.
    narrow = half if width >= height else math.atan(math.tan(half) * width / height)
    distance = radius / math.sin(narrow)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    up = np.cross(backward, right)
    eye = centre + distance * backward
    view = np.eye(4)
    view[:3, :3] = np.stack([right, up, backward])
    view[:3, 3] = -view[:3, :3] @ eye
    near, far = max(distance - 1.01 * radius, 1e-3 * distance), distance + 1.01 * radius
    projection = np.zeros((4, 4))
    projection[1, 1] = 1.0 / math.tan(half)
    projection[0, 0] = projection[1, 1] * height / width
    projection[2, 2], projection[2, 3] = (far + near) / (near - far), 2.0 * far * near / (near - far)
    projection[3, 2] = -1.0
    return Camera(projection @ view, width, height)
