# SPDX-License-Identifier: BSD-3-Clause
"""Device functions: points into the grids' coordinates, features out of the grids. The twin of `reference.encode`.

Tiles are [ROWS, BLOCK]: one row per feature (a channel of a grid), one column per point. `features` are pointers
[ROWS, 1] to the first node of each row's channel; strides are counted in elements.
"""

import triton
import triton.language as tl

# Features per tile: the least depth of a matrix product.
ROWS = tl.constexpr(16)


@triton.jit
def feature_rows(features, number, grids, channels, stride_m, stride_c):
    """Grids of the features with these numbers [ROWS], whether there are such, and pointers [ROWS, 1] to their nodes."""
    grid = number // channels
    base = features + grid.to(tl.int64) * stride_m + number % channels * stride_c
    return grid, grid < grids, base[:, None]


@triton.jit
def load_points(points, index, inside):
    """Coordinates x, y, z [BLOCK] of the points (n, 3) with int64 numbers `index`; zero where not `inside`."""
    x = tl.load(points + index * 3, mask=inside, other=0.0)
    y = tl.load(points + index * 3 + 1, mask=inside, other=0.0)
    z = tl.load(points + index * 3 + 2, mask=inside, other=0.0)
    return x, y, z


@triton.jit
def load_row(transforms, grid, is_grid, ROW: tl.constexpr):
    """Row ROW of the matrices (m, 4, 4) of the grids, as four columns [ROWS, 1]."""
    row = transforms + grid * 16 + ROW * 4
    a = tl.load(row, mask=is_grid, other=0.0)
    b = tl.load(row + 1, mask=is_grid, other=0.0)
    c = tl.load(row + 2, mask=is_grid, other=0.0)
    d = tl.load(row + 3, mask=is_grid, other=0.0)
    return a[:, None], b[:, None], c[:, None], d[:, None]


@triton.jit
def to_local(transforms, grid, is_grid, ROW: tl.constexpr, x, y, z):
    """One of the points' coordinates in the grids' own boxes [-1, 1]^3; the twin of `reference.to_local`."""
    a, b, c, d = load_row(transforms, grid, is_grid, ROW)
    return a * x[None, :] + b * y[None, :] + c * z[None, :] + d


@triton.jit
def to_nodes(transforms, grid, is_grid, ROW: tl.constexpr, x, y, z, size):
    """Where the points are among the `size` nodes of an axis: number of the node below, fraction of the way on."""
    position = (to_local(transforms, grid, is_grid, ROW, x, y, z) + 1.0) * (0.5 * (size - 1))
    # From -1 and from `size` on there is nothing to see: the clamped position has no node beside it, and fits an integer.
    position = tl.minimum(tl.maximum(position, -2.0), size + 1.0)
    low = tl.floor(position)
    return low.to(tl.int32), position - low


@triton.jit
def locate(transforms, grid, is_grid, x, y, z, depth, height, width):
    """`to_nodes` along all axes: ix, iy, iz, fx, fy, fz."""
    ix, fx = to_nodes(transforms, grid, is_grid, 0, x, y, z, width)
    iy, fy = to_nodes(transforms, grid, is_grid, 1, x, y, z, height)
    iz, fz = to_nodes(transforms, grid, is_grid, 2, x, y, z, depth)
    return ix, iy, iz, fx, fy, fz


@triton.jit
def corner(CORNER: tl.constexpr, valid, ix, iy, iz, depth, height, width, stride_z, stride_y, stride_x):
    """Offset of one of the eight nodes around the points, and whether there is such a node."""
    x, y, z = ix + CORNER % 2, iy + CORNER // 2 % 2, iz + CORNER // 4
    there = valid & (x >= 0) & (x < width) & (y >= 0) & (y < height) & (z >= 0) & (z < depth)
    return x * stride_x + y * stride_y + z * stride_z, there


@triton.jit
def share(BIT: tl.constexpr, fraction):
    """Weight of a node along one axis: of the one above the point (BIT 1) or below it (0)."""
    if BIT == 1:
        result = fraction
    else:
        result = 1.0 - fraction
    return result


@triton.jit
def gather(
    features, valid, ix, iy, iz, fx, fy, fz, depth, height, width, stride_z, stride_y, stride_x
):  # fmt: skip
    """Trilinear values [ROWS, BLOCK] of one channel, in float32; nodes outside the grids count as zero."""
    total = tl.zeros_like(fx)
    for i in tl.static_range(8):
        offset, there = corner(i, valid, ix, iy, iz, depth, height, width, stride_z, stride_y, stride_x)
        value = tl.load(features + offset, mask=there, other=0.0).to(tl.float32)
        total += share(i % 2, fx) * share(i // 2 % 2, fy) * share(i // 4, fz) * value
    return total


@triton.jit
def scatter(gradients, slope, valid, ix, iy, iz, fx, fy, fz, depth, height, width, stride_z, stride_y, stride_x):
    """Add the gradient of the nodes' features, given the slope [ROWS, BLOCK] of what `gather` returned."""
    for i in tl.static_range(8):
        offset, there = corner(i, valid, ix, iy, iz, depth, height, width, stride_z, stride_y, stride_x)
        weight = share(i % 2, fx) * share(i // 2 % 2, fy) * share(i // 4, fz)
        tl.atomic_add(gradients + offset, weight * slope, mask=there, sem="relaxed")


@triton.jit
def gather_with_slope(
    features, valid, ix, iy, iz, fx, fy, fz, depth, height, width, stride_z, stride_y, stride_x
):  # fmt: skip
    """What `gather` returns, and its derivative along x, y and z per voxel."""
    total, dx, dy, dz = tl.zeros_like(fx), tl.zeros_like(fx), tl.zeros_like(fx), tl.zeros_like(fx)
    for i in tl.static_range(8):
        offset, there = corner(i, valid, ix, iy, iz, depth, height, width, stride_z, stride_y, stride_x)
        value = tl.load(features + offset, mask=there, other=0.0).to(tl.float32)
        wx, wy, wz = share(i % 2, fx), share(i // 2 % 2, fy), share(i // 4, fz)
        total += wx * wy * wz * value
        dx += (i % 2 * 2 - 1) * wy * wz * value
        dy += (i // 2 % 2 * 2 - 1) * wx * wz * value
        dz += (i // 4 * 2 - 1) * wx * wy * value
    return total, dx, dy, dz
