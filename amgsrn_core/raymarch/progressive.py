# SPDX-License-Identifier: BSD-3-Clause
"""A picture that is there at once and gets better in time slices until it is complete."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from ..field import Field
from ..threads import one_torch_thread
from .hierarchy import Level, build_levels, fill_unfinished
from .march import march
from .scene import Scene

# A time slice ends between two batches, so a batch is to take a fraction of the usual slice of 80 ms.
_SECONDS_PER_BATCH = 0.015
_SECONDS_PER_TILE = 0.1
_BATCH_LIMITS = (1 << 11, 1 << 15)
_TILE_LIMITS = (64, 1 << 12)
_STRIDE_LIMITS = (4, 64)
# The coarsest picture has at least this many pixels along its shorter side, or it would show nothing.
_COARSEST_PIXELS = 12
# How much a new measurement counts in the running mean of the speed.
_SPEED_WEIGHT = 0.2


class Speed:
    """Running mean of a field's samples per second on this machine, shared by all pictures of the field."""

    def __init__(self, samples_per_second: float = 3e5) -> None:
        self.samples_per_second = samples_per_second

    def record(self, samples: int, seconds: float) -> None:
        """Take a measurement into account; too small ones say nothing."""
        if samples >= _BATCH_LIMITS[0] // 2 and seconds > 0:
            self.samples_per_second += _SPEED_WEIGHT * (samples / seconds - self.samples_per_second)


class ProgressivePicture:
    """The picture of one scene, drawn coarse to fine.

    Attributes:
        image: float32 (height, width, 4), premultiplied colour and opacity, bottom row first: finished pixels, and
            between them what the finest finished level of the image hierarchy interpolates to.
        finished: number of finished pixels, of `total`.
        total: number of pixels.
        samples: number of samples taken so far.
    """

    def __init__(self, field: Field, scene: Scene, speed: Speed | None = None) -> None:
        self.field = field
        self.scene = scene
        self.speed = speed or Speed()
        camera = scene.camera
        self.image = np.zeros((camera.height, camera.width, 4), np.float32)
        self.total = camera.width * camera.height
        self.finished = 0
        self.samples = 0
        self._transfer_function = scene.transfer_function.to(field.device)
        self._work: Iterator[int] | None = None
        self._has_first_level = False

    @property
    def is_complete(self) -> bool:
        return self.finished == self.total

    @torch.inference_mode()
    def advance(self, seconds: float | None = None) -> bool:
        """Go on drawing.

        Args:
            seconds: the time slice; None draws everything there is to draw. The first level is always finished,
                whatever it takes, as there is nothing to show before.

        Returns:
            whether the picture is complete.
        """
        with one_torch_thread(self.field.is_threaded):
            self._advance(seconds)
        return self.is_complete

    def _advance(self, seconds: float | None) -> None:
        start = time.perf_counter()
        if self._work is None:
            self._work = self._draw(seconds)
        last = start
        for samples in self._work:
            now = time.perf_counter()
            self.speed.record(samples, now - last)
            self.samples += samples
            last = now
            # Stop where another batch would end after the slice.
            if seconds is not None and self._has_first_level and now + _SECONDS_PER_BATCH - start > seconds:
                break

    def _draw(self, seconds: float | None) -> Iterator[int]:
        """All the work in small portions; yields the samples taken in each. Pixels off the box are finished at once."""
        left, right, bottom, top = self.scene.camera.project_box(self.scene.bounds)
        width, height = right - left, top - bottom
        self.finished = self.total - width * height
        if width * height == 0 or self._transfer_function.is_invisible:
            self.finished, self._has_first_level = self.total, True
            return
        window = self.image[bottom:top, left:right]
        stride = 1 if seconds is None else self._first_stride(width, height, seconds)
        for level in build_levels(width, height, stride):
            yield from self._draw_level(level, window, left, bottom)
            if level.stride > 1 or level.centres:
                window[:] = fill_unfinished(window, level.stride, level.centres)
            self._has_first_level = True
            yield 0

    def _draw_level(self, level: Level, window: np.ndarray, left: int, bottom: int) -> Iterator[int]:
        first = 0
        while first < len(level.rows):
            rate = self.speed.samples_per_second
            tile = int(np.clip(rate * _SECONDS_PER_TILE / self._samples_per_ray(), *_TILE_LIMITS))
            batch = int(np.clip(rate * _SECONDS_PER_BATCH, *_BATCH_LIMITS))
            columns, rows = level.columns[first : first + tile], level.rows[first : first + tile]
            rays = self.scene.rays(columns + left, rows + bottom, self.field.domain, self.field.device)
            colours = yield from march(
                self.field,
                rays,
                self._transfer_function,
                self.scene.unit_distance,
                batch,
                self.scene.component,
            )
            window[rows, columns] = colours.cpu().numpy()
            self.finished += len(rows)
            first += tile

    def _samples_per_ray(self) -> float:
        return max(1.0, 0.5 * self.scene.longest_ray())

    def _first_stride(self, width: int, height: int, seconds: float) -> int:
        """The finest stride of level 0 that a time slice affords."""
        affordable = self.speed.samples_per_second * seconds
        stride, largest = _STRIDE_LIMITS
        largest = min(largest, min(width, height) // _COARSEST_PIXELS)
        while 2 * stride <= largest and width * height / stride**2 * self._samples_per_ray() > affordable:
            stride *= 2
        return stride


def render_complete(field: Field, scene: Scene) -> np.ndarray:
    """The complete picture of a scene: float32 (height, width, 4), premultiplied RGBA, bottom row first."""
    picture = ProgressivePicture(field, scene)
    picture.advance()
    return picture.image
