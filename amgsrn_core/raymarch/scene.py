# SPDX-License-Identifier: BSD-3-Clause
"""Everything that decides what a picture of a field looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..domain import Domain
from .camera import Camera
from .transfer_function import TransferFunction

# In place of a component: the length of the vector that the components make.
MAGNITUDE = -1


@dataclass(frozen=True)
class Rays:
    """Rays through a field's box, in box coordinates (see `Domain.box_to_normalized`).

    Attributes:
        origin: float32 (n, 3), the point at distance 0.
        direction: float32 (n, 3), box coordinates per unit of distance in data coordinates.
        near, far: float32 (n,), distances in data coordinates at which the ray is inside; empty where near >= far.
        step: float32 (n,), distance of samples, in data coordinates.
    """

    origin: torch.Tensor
    direction: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor
    step: torch.Tensor


@dataclass(frozen=True, eq=False)
class Scene:
    """A view of a field.

    Attributes:
        camera: where from.
        bounds: the part to draw, (xmin, xmax, ymin, ymax, zmin, zmax) in data coordinates.
        transfer_function: how values look.
        unit_distance: the distance, in data coordinates, over which the opacity function holds.
        step: distance of samples along a ray, in data coordinates; or along rays in the direction of x, y and z, between
            which it is that of one voxel: data that is much longer along one axis would need far too many otherwise.
        depth: window depth of opaque geometry in [0, 1], float32 (height, width), bottom row first; None for none.
        clipping_planes: float64 (k, 6), origin and normal in data coordinates; what lies on the side of the normal is
            drawn.
        component: of the field, which the transfer function looks up, or `MAGNITUDE`; a field of one component is
            looked up as it is.
    """

    camera: Camera
    bounds: tuple[float, ...]
    transfer_function: TransferFunction
    unit_distance: float
    step: float | tuple[float, float, float]
    depth: np.ndarray | None = None
    clipping_planes: np.ndarray | None = None
    component: int = 0

    def rays(self, columns: np.ndarray, rows: np.ndarray, domain: Domain, device: torch.device) -> Rays:
        """The rays of pixels (n,), cut to the box, the clipping planes and what opaque geometry leaves visible."""
        depth = np.ones(len(columns), np.float32) if self.depth is None else self.depth[rows, columns]
        start, end = self.camera.segments(columns, rows, depth)
        length = np.linalg.norm(end - start, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            # A ray of no length (geometry on the near plane) gets a direction without meaning, and far = 0.
            direction = np.where(length[:, None] > 0, (end - start) / length[:, None], 0.0)
            low, high = np.array(self.bounds[::2]), np.array(self.bounds[1::2])
            entry, leave = (low - start) / direction, (high - start) / direction
            # 0 / 0: the ray runs inside a face, which then does not bound it.
            near = np.nanmax(np.minimum(entry, leave), axis=1, initial=0.0)
            far = np.nanmin(np.maximum(entry, leave), axis=1, initial=np.inf)
        far = np.minimum(far, length)
        for plane in () if self.clipping_planes is None else self.clipping_planes:
            near, far = _clip(start, direction, near, far, plane[:3], plane[3:])
        centre, half = _box(domain)
        arrays = ((start - centre) / half, direction / half, near, far, self._steps(direction))
        return Rays(*(torch.from_numpy(a.astype(np.float32)).to(device) for a in arrays))

    def longest_ray(self) -> float:
        """Number of samples from corner to corner of the bounds."""
        low, high = np.array(self.bounds[::2]), np.array(self.bounds[1::2])
        return float(np.linalg.norm((high - low) / self.step))

    def _steps(self, direction: np.ndarray) -> np.ndarray:
        """Distance of samples (n,) along unit vectors (n, 3); those of no length get any."""
        if isinstance(self.step, float):
            return np.full(len(direction), self.step)
        return 1.0 / np.maximum(np.linalg.norm(direction / self.step, axis=1), 1e-30)


def voxel_steps(domain: Domain, samples_per_voxel: float) -> tuple[float, float, float]:
    """The `step` of a scene, from the smallest distance of nodes along each axis."""
    x, y, z = (axis.smallest_spacing / samples_per_voxel for axis in domain.axes)
    return (x, y, z)


def _clip(
    start: np.ndarray, direction: np.ndarray, near: np.ndarray, far: np.ndarray, origin: np.ndarray, normal: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    slope, height = direction @ normal, (start - origin) @ normal
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -height / slope
    near = np.where(slope > 0, np.maximum(near, crossing), near)
    far = np.where(slope < 0, np.minimum(far, crossing), far)
    return near, np.where((slope == 0) & (height < 0), 0.0, far)


def _box(domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array(domain.bounds[::2]), np.array(domain.bounds[1::2])
    return (low + high) / 2, (high - low) / 2
