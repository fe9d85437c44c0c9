# SPDX-License-Identifier: BSD-3-Clause
"""The feature density and its gradient with respect to the transforms: the twin of `reference.density`."""

import triton
import triton.language as tl

from .interpolation import load_points

# (2 pi)^(-3/2).
_SCALE = tl.constexpr(0.06349363593424097)
# Local coordinates beyond which the flat top is zero in float32, and the powers are still finite.
_FAR = tl.constexpr(4.0)


@triton.jit
def load_local(transforms, grid, ROW: tl.constexpr, x, y, z):
    """One local coordinate [BLOCK] of the points in one grid, and the row of the linear part it came from."""
    row = transforms + grid * 16 + ROW * 4
    a, b, c = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    local = a * x + b * y + c * z + tl.load(row + 3)
    return tl.minimum(tl.maximum(local, -_FAR), _FAR), a, b, c


@triton.jit
def powers(t):
    """t^19 and t^20."""
    t2 = t * t
    t4 = t2 * t2
    t16 = t4 * t4 * t4 * t4
    return t16 * t2 * t, t16 * t4


@triton.jit(do_not_specialize=["count"])
def density_kernel(points, count, transforms, grids, densities, BLOCK: tl.constexpr):
    """Densities (count,) at points (count, 3). Program i takes points i * BLOCK and following."""
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    x, y, z = load_points(points, index, inside)
    total = tl.zeros((BLOCK,), tl.float32)
    for grid in range(grids):
        tx, a, b, c = load_local(transforms, grid, 0, x, y, z)
        ty, d, e, f = load_local(transforms, grid, 1, x, y, z)
        tz, g, h, i = load_local(transforms, grid, 2, x, y, z)
        volume = tl.abs(a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)) * _SCALE
        _, px = powers(tx)
        _, py = powers(ty)
        _, pz = powers(tz)
        total += volume * tl.exp(-0.5 * (px + py + pz))
    tl.store(densities + index, total, mask=inside)


@triton.jit
def add_row(dtransforms, grid, ROW: tl.constexpr, slope, x, y, z, inner, u, v, w):
    """Add a matrix row's gradient: of the local coordinate, with `slope` [BLOCK], and of the volume, with cofactors."""
    row = dtransforms + grid * 16 + ROW * 4
    tl.atomic_add(row, tl.sum(slope * x, axis=0) + inner * u, sem="relaxed")
    tl.atomic_add(row + 1, tl.sum(slope * y, axis=0) + inner * v, sem="relaxed")
    tl.atomic_add(row + 2, tl.sum(slope * z, axis=0) + inner * w, sem="relaxed")
    tl.atomic_add(row + 3, tl.sum(slope, axis=0), sem="relaxed")


@triton.jit(do_not_specialize=["count"])
def density_backward_kernel(points, count, transforms, grids, slopes, dtransforms, BLOCK: tl.constexpr):
    """Add to dtransforms (m, 4, 4) the gradient of densities (count,) with these slopes."""
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    x, y, z = load_points(points, index, inside)
    slope = tl.load(slopes + index, mask=inside, other=0.0)
    for grid in range(grids):
        tx, a, b, c = load_local(transforms, grid, 0, x, y, z)
        ty, d, e, f = load_local(transforms, grid, 1, x, y, z)
        tz, g, h, i = load_local(transforms, grid, 2, x, y, z)
        determinant = a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)
        sx, px = powers(tx)
        sy, py = powers(ty)
        sz, pz = powers(tz)
        flat_top = slope * tl.exp(-0.5 * (px + py + pz))
        # Of the volume: |det| has the slope sign(det), the determinant that of its cofactors.
        sign = tl.where(determinant > 0.0, _SCALE, tl.where(determinant < 0.0, -_SCALE, 0.0))
        inner = sign * tl.sum(flat_top, axis=0)
        # Of the exponent: d/dt of -t^20 / 2.
        outer = -10.0 * tl.abs(determinant) * _SCALE * flat_top
        add_row(dtransforms, grid, 0, outer * sx, x, y, z, inner, e * i - f * h, f * g - d * i, d * h - e * g)
        add_row(dtransforms, grid, 1, outer * sy, x, y, z, inner, c * h - b * i, a * i - c * g, b * g - a * h)
        add_row(dtransforms, grid, 2, outer * sz, x, y, z, inner, b * f - c * e, c * d - a * f, a * e - b * d)
