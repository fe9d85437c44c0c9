# SPDX-License-Identifier: BSD-3-Clause
"""The image hierarchy of progressive rendering: which pixels to draw first, and what to show for the others.

Source: Wurster et al., section 6.

Pixels are visited in a checkerboard refinement. Level 0 is a square lattice of some stride s; the next level adds the
centre of every lattice square, the one after that completes the lattice of stride s / 2, and so on until every pixel
is drawn. Each level doubles the number of finished pixels, and no pixel is ever drawn twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Level:
    """One level: the pixels it adds.

    Attributes:
        stride: distance in pixels of the square lattice that is complete, or (`centres`) half complete, after this
            level.
        centres: the level added only the squares' centres, so the lattice of `stride` is a checkerboard.
        columns, rows: the pixels that this level adds, integers (n,).
    """

    stride: int
    centres: bool
    columns: np.ndarray
    rows: np.ndarray


def build_levels(width: int, height: int, stride: int) -> list[Level]:
    """The levels of a picture, coarsest first; together they hold every pixel exactly once.

    Args:
        width, height: picture size in pixels.
        stride: of level 0, a power of two.
    """
    levels = [Level(stride, False, *_lattice(np.arange(0, width, stride), np.arange(0, height, stride)))]
    while stride > 1:
        half = stride // 2
        even_x, odd_x = np.arange(0, width, stride), np.arange(half, width, stride)
        even_y, odd_y = np.arange(0, height, stride), np.arange(half, height, stride)
        levels.append(Level(half, True, *_lattice(odd_x, odd_y)))
        a, b = _lattice(odd_x, even_y), _lattice(even_x, odd_y)
        rest = [np.concatenate(pair) for pair in zip(a, b, strict=True)]
        order = np.lexsort((rest[0], rest[1]))
        levels.append(Level(half, False, rest[0][order], rest[1][order]))
        stride = half
    return levels


def fill_unfinished(picture: np.ndarray, stride: int, checkerboard: bool) -> np.ndarray:
    """A whole picture from the finest finished level by bilinear interpolation.

    Args:
        picture: float32 (height, width, c); the pixels of the lattice of `stride` are finished, or, with
            `checkerboard`, those of its pixels whose lattice column and row are both even or both odd.
        stride: in pixels.
        checkerboard: see `picture`.

    Returns:
        a new float32 (height, width, c) that has the lattice's values on the lattice.
    """
    lattice = picture[::stride, ::stride].copy()
    if checkerboard:
        _fill_checkerboard(lattice)
    height, width = picture.shape[:2]
    return _stretch(_stretch(lattice, height, stride, axis=0), width, stride, axis=1)


def _lattice(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grid = np.meshgrid(columns, rows)
    return grid[0].ravel(), grid[1].ravel()


def _fill_checkerboard(lattice: np.ndarray) -> None:
    """Give each unfinished lattice point the mean of its finished neighbours, in place."""
    height, width = lattice.shape[:2]
    known = np.add.outer(np.arange(height), np.arange(width)) % 2 == 0
    padded = np.pad(np.where(known[..., None], lattice, 0.0), ((1, 1), (1, 1), (0, 0)))
    count = np.pad(known.astype(np.float32), 1)
    total = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    neighbours = count[:-2, 1:-1] + count[2:, 1:-1] + count[1:-1, :-2] + count[1:-1, 2:]
    unknown = ~known
    lattice[unknown] = (total / np.maximum(neighbours, 1.0)[..., None])[unknown]


def _stretch(lattice: np.ndarray, size: int, stride: int, axis: int) -> np.ndarray:
    """Linear interpolation along an axis from nodes `stride` pixels apart to `size` pixels, constant after the last."""
    if stride == 1:
        return lattice
    position = np.minimum(np.arange(size) / stride, lattice.shape[axis] - 1)
    lower = np.minimum(position.astype(np.int64), max(lattice.shape[axis] - 2, 0))
    upper = np.minimum(lower + 1, lattice.shape[axis] - 1)
    shape = [1] * lattice.ndim
    shape[axis] = size
    weight = (position - lower).astype(np.float32).reshape(shape)
    return lattice.take(lower, axis) * (1.0 - weight) + lattice.take(upper, axis) * weight
