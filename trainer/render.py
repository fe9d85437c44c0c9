# SPDX-License-Identifier: BSD-3-Clause
"""A picture of a field, without ParaView."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from amgsrn_core import ArrayInfo, Field
from amgsrn_core.raymarch import (
    DEFAULT_COLOUR_MAP,
    MAGNITUDE,
    ProgressivePicture,
    Scene,
    TransferFunction,
    colour_map,
    orbit_camera,
    read_colour_map,
    voxel_steps,
)

_SLICE_SECONDS = 0.5


def transfer_function(
    field: Field, path: Path | None = None, value_range: tuple[float, float] | None = None, component: int = 0
) -> TransferFunction:
    """Colours and opacities for a field.

    Args:
        path: a colour map exported by ParaView; its default map, stretched to the field's range, if left out.
        value_range: stretch the map to this range.
        component: that the map is a function of, or `MAGNITUDE`.

    Raises:
        InvalidTransferFunction: not a colour map, or no range.
    """
    if path is not None:
        return read_colour_map(path, value_range)
    return colour_map(dict(DEFAULT_COLOUR_MAP), value_range or _range_of(field.array, component))


def draw(
    field: Field,
    colours: TransferFunction,
    size: tuple[int, int],
    azimuth: float,
    elevation: float,
    samples_per_voxel: float = 1.0,
    progress: Callable[[float], object] | None = None,
    component: int = 0,
) -> np.ndarray:
    """The complete picture, float32 (height, width, 4), premultiplied RGBA, top row first.

    The opacity function holds for the distance that ParaView takes by default: the diagonal over the cube root of the
    number of cells.

    Args:
        size: (width, height) in pixels.
        azimuth, elevation: see `orbit_camera`.
        samples_per_voxel: samples along a ray per smallest distance of nodes.
        progress: called with the finished fraction.
        component: of the field that is drawn, or `MAGNITUDE`.
    """
    domain = field.domain
    bounds = domain.bounds
    diagonal = math.dist(bounds[::2], bounds[1::2])
    cells = math.prod(n - 1 for n in domain.dimensions)
    scene = Scene(
        camera=orbit_camera(bounds, azimuth, elevation, *size),
        bounds=bounds,
        transfer_function=colours,
        unit_distance=diagonal / cells ** (1.0 / 3.0),
        step=voxel_steps(domain, samples_per_voxel),
        component=component,
    )
    picture = ProgressivePicture(field, scene)
    while not picture.advance(_SLICE_SECONDS):
        if progress is not None:
            progress(picture.finished / picture.total)
    return picture.image[::-1]


def _range_of(array: ArrayInfo, component: int) -> tuple[float, float]:
    """Of the values that are looked up; a vector is no longer than one of all components' largest values."""
    if component != MAGNITUDE:
        return array.ranges[component]
    return 0.0, math.hypot(*(max(abs(low), abs(high)) for low, high in array.ranges))


def over_background(picture: np.ndarray, background: tuple[float, float, float] | None) -> np.ndarray:
    """Eight bits per channel: (height, width, 3) over a colour, or (height, width, 4), not premultiplied, if None.

    Args:
        picture: premultiplied RGBA in [0, 1], (height, width, 4).
        background: red, green, blue in [0, 1].
    """
    alpha = picture[..., 3:]
    if background is not None:
        shown = picture[..., :3] + (1.0 - alpha) * np.asarray(background, np.float32)
    else:
        colour = np.divide(picture[..., :3], alpha, out=np.zeros_like(picture[..., :3]), where=alpha > 0)
        shown = np.concatenate([colour, alpha], axis=2)
    return (np.clip(shown, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
