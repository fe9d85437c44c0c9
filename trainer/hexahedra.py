# SPDX-License-Identifier: BSD-3-Clause
"""Hexahedra whose corners lie anywhere: volumes, and points that are equally likely everywhere inside.

Positions are trilinear in a cell's own coordinates (r, s, t) in [0, 1]^3; the corners are in VTK's order. The volume that
belongs to a piece of [0, 1]^3 varies in a cell: the determinant of the map's derivatives is a polynomial of degree 2 in
each of r, s and t. It is kept as Bernstein coefficients, whose mean is the cell's volume.
"""

from __future__ import annotations

import numpy as np

# Values of a polynomial of degree 2 at 0, 1/2 and 1 to its Bernstein coefficients.
_TO_BERNSTEIN = np.array([[1.0, 0.0, 0.0], [-0.5, 2.0, -0.5], [0.0, 0.0, 1.0]])
# The four edges along r, s and t as (end, begin), in the order (0, 0), (1, 0), (0, 1), (1, 1) of the other two.
_EDGES = (
    ((1, 0), (2, 3), (5, 4), (6, 7)),  # along r; at s, t
    ((3, 0), (2, 1), (7, 4), (6, 5)),  # along s; at r, t
    ((4, 0), (5, 1), (7, 3), (6, 2)),  # along t; at r, s
)
# Of the search for a position: nearly all are found by so few steps of Newton's method, the others by halving intervals.
_NEWTON_STEPS, _BISECTIONS = 3, 24
_EXACT = 1e-6


def density_coefficients(corners: np.ndarray) -> np.ndarray:
    """The determinant of the derivatives with respect to r, s and t.

    Args:
        corners: float64 (k, 8, 3).

    Returns:
        Bernstein coefficients float64 (k, 3, 3, 3) of degree 2 in r, s and t; their mean is the volume, negative where a
        cell is inside out.
    """
    nodes = np.array([0.0, 0.5, 1.0])
    first, second = np.repeat(nodes, 3), np.tile(nodes, 3)
    weights = np.stack([(1 - first) * (1 - second), first * (1 - second), (1 - first) * second, first * second], axis=1)
    along = []
    for edges in _EDGES:
        ends, begins = np.array(edges).T
        along.append(np.einsum("pe,ked->kpd", weights, corners[:, ends] - corners[:, begins]).reshape(-1, 3, 3, 3))
    by_r, by_s, by_t = along[0][:, None], along[1][:, :, None], along[2][:, :, :, None]
    values = np.einsum("krstd,krstd->krst", np.broadcast_to(by_r, (len(corners), 3, 3, 3, 3)), np.cross(by_s, by_t))
    for axis in (1, 2, 3):
        values = np.moveaxis(np.tensordot(_TO_BERNSTEIN, values, axes=(1, axis)), 0, axis)
    return values


def spread(coefficients: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Positions (r, s, t) in cells that are equally likely everywhere in space.

    One coordinate after the other: its distribution, given those before, is a polynomial whose integral is inverted.
    Exact but where a cell is partly inside out.

    Args:
        coefficients: of each position's cell, (n, 3, 3, 3), see `density_coefficients`; their scale does not matter.
        random: uniform in [0, 1), float64 (3, n).

    Returns:
        float64 (3, n).
    """
    left = coefficients.reshape(-1, 3, 9)
    position = np.empty_like(random)
    for axis in range(3):
        along = np.einsum("nkj->kn", left)
        x = position[axis] = _inverse(along.astype(np.float64), random[axis])
        if axis < 2:
            weights = np.stack([(1 - x) ** 2, 2 * x * (1 - x), x * x], axis=1).astype(left.dtype)
            left = np.einsum("nk,nkj->nj", weights, left).reshape(-1, 3, left.shape[2] // 3)
    return position


def trilinear_weights(position: np.ndarray) -> np.ndarray:
    """What each corner counts at positions (3, n) in cells, (n, 8)."""
    r, s, t = position
    i, j, k = 1 - r, 1 - s, 1 - t
    return np.stack([i * j * k, r * j * k, r * s * k, i * s * k, i * j * t, r * j * t, r * s * t, i * s * t], axis=1)


def _inverse(coefficients: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Where the integral of a density from 0 is this part of the whole; Bernstein coefficients (3, n), parts (n,)."""
    begin, middle, end = coefficients
    # Not below zero anywhere.
    begin, end = np.maximum(begin, 0.0), np.maximum(end, 0.0)
    middle = np.maximum(middle, -np.sqrt(begin * end))
    nothing = begin + middle + end <= 0.0
    begin, middle, end = (np.where(nothing, 1.0, part) for part in (begin, middle, end))
    whole = (begin + middle + end) / 3
    terms = np.stack([begin, middle - begin, (begin - 2 * middle + end) / 3, random * whole])
    x = random.copy()
    for _ in range(_NEWTON_STEPS):
        error, slope = _integral(terms, x)
        x = np.clip(x - error / np.maximum(slope, 1e-3 * whole), 0.0, 1.0)
    left = np.flatnonzero(np.abs(_integral(terms, x)[0]) > _EXACT * whole)
    if len(left):
        x[left] = _bisected(terms[:, left])
    return x


def _bisected(terms: np.ndarray) -> np.ndarray:
    """Where the integral has its goal, whatever its shape."""
    low, high = np.zeros(terms.shape[1]), np.ones(terms.shape[1])
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = _integral(terms, middle)[0] < 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def _integral(terms: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a density's integral from 0 to x exceeds its goal by, and the density there."""
    linear, square, cube, goal = terms
    return ((cube * x + square) * x + linear) * x - goal, (3 * cube * x + 2 * square) * x + linear
