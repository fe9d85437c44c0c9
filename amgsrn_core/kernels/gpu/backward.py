# SPDX-License-Identifier: BSD-3-Clause
"""The gradients of `reference.forward` and of `reference.mean_squared_error`, in one kernel.

It computes the network again rather than keep anything about the points. Gradients of parameters are added up in
memory with atomic operations, in whatever order programs finish: their last bits differ from run to run.
"""

import triton
import triton.language as tl

from .forward import OUTPUTS, first_layer, later_layers
from .interpolation import ROWS, feature_rows, gather, gather_with_slope, load_points, load_row, locate, scatter
from .mlp import add_matrix, load_matrix, product, second_layer


@triton.jit
def add_row_sums(gradient, tile, rows, height, WANTED: tl.constexpr):
    """Add the sums over the points of a tile [rows, BLOCK] to a gradient (height,): that of biases."""
    if WANTED:
        tl.atomic_add(gradient + rows, tl.sum(tile, axis=1), mask=rows < height, sem="relaxed")


@triton.jit
def through_a_layer(
    slope,
    hidden,
    weight,
    dweight,
    dbias,
    rows,
    columns,
    height,
    width,
    BIAS: tl.constexpr,
    MLP: tl.constexpr,
    SLOPES: tl.constexpr,
):
    """From the slope of a layer's results [rows, BLOCK] to that of its ReLU's arguments [columns, BLOCK]."""
    if MLP:
        add_matrix(dweight, product(slope, tl.trans(hidden), SLOPES), rows, columns, height, width)
    add_row_sums(dbias, slope, rows, height, MLP and BIAS)
    back = product(tl.trans(load_matrix(weight, rows, columns, height, width)), slope, SLOPES)
    return tl.where(hidden > 0.0, back, 0.0)


@triton.jit
def through_third_and_second(
    slope,
    hidden,
    weight2,
    weight3,
    bias2,
    dweight2,
    dweight3,
    dbias2,
    dbias3,
    width1,
    width2,
    width3,
    PAD1: tl.constexpr,
    PAD3: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    MLP: tl.constexpr,
    PRECISION: tl.constexpr,
    SLOPES: tl.constexpr,
):
    """From the slope of the third layer's results [PAD3, BLOCK] to that of the first's, before ReLU [PAD1, BLOCK]."""
    inner, outer = tl.arange(0, PAD1), tl.arange(0, PAD3)
    add_row_sums(dbias3, slope, outer, width3, MLP and BIAS)
    back = tl.zeros((PAD1, BLOCK), tl.float32)
    for first in range(0, width2, CHUNK):
        rows = first + tl.arange(0, CHUNK)
        chunk, tile = second_layer(hidden, weight2, bias2, rows, inner, width2, width1, BIAS, PRECISION)
        middle = through_a_layer(
            slope, chunk, weight3, dweight3, dbias3, outer, rows, width3, width2, False, MLP, SLOPES
        )
        if MLP:
            add_matrix(dweight2, product(middle, tl.trans(hidden), SLOPES), rows, inner, width2, width1)
        add_row_sums(dbias2, middle, rows, width2, MLP and BIAS)
        back += product(tl.trans(tile), middle, SLOPES)
    return tl.where(hidden > 0.0, back, 0.0)


@triton.jit
def add_transform_row(dtransforms, slope, grid, is_grid, ROW: tl.constexpr, x, y, z):
    """Add the gradient of row ROW of the grids' matrices, given the slope [ROWS, BLOCK] of the local coordinate."""
    row = dtransforms + grid * 16 + ROW * 4
    tl.atomic_add(row, tl.sum(slope * x[None, :], axis=1), mask=is_grid, sem="relaxed")
    tl.atomic_add(row + 1, tl.sum(slope * y[None, :], axis=1), mask=is_grid, sem="relaxed")
    tl.atomic_add(row + 2, tl.sum(slope * z[None, :], axis=1), mask=is_grid, sem="relaxed")
    tl.atomic_add(row + 3, tl.sum(slope, axis=1), mask=is_grid, sem="relaxed")


@triton.jit
def to_points(transforms, slope, grid, is_grid, ROW: tl.constexpr):
    """What a local coordinate's slope [ROWS, BLOCK] contributes to the slopes of the points' x, y, z [BLOCK]."""
    a, b, c, _ = load_row(transforms, grid, is_grid, ROW)
    return tl.sum(a * slope, axis=0), tl.sum(b * slope, axis=0), tl.sum(c * slope, axis=0)


@triton.jit
def backward_block(
    index,
    inside,
    points,
    transforms,
    features,
    weight1,
    weight2,
    weight3,
    weight4,
    bias1,
    bias2,
    bias3,
    bias4,
    grids,
    channels,
    depth,
    height,
    width,
    stride_m,
    stride_c,
    stride_z,
    stride_y,
    stride_x,
    width1,
    width2,
    width3,
    width4,
    outputs,
    given,
    scale,
    loss,
    dpoints,
    dtransforms,
    dfeatures,
    dweight1,
    dweight2,
    dweight3,
    dweight4,
    dbias1,
    dbias2,
    dbias3,
    dbias4,
    LAYERS: tl.constexpr,
    PAD1: tl.constexpr,
    PAD3: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
    SLOPES: tl.constexpr,
    SQUARED_ERROR: tl.constexpr,
    POINTS: tl.constexpr,
    TRANSFORMS: tl.constexpr,
    FEATURES: tl.constexpr,
    MLP: tl.constexpr,
):
    """What `backward_kernel` does, for the points (BLOCK) with int64 numbers `index`, of which only those `inside` count."""
    x, y, z = load_points(points, index, inside)
    first = first_layer(
        x,
        y,
        z,
        inside,
        transforms,
        features,
        weight1,
        bias1,
        grids,
        channels,
        depth,
        height,
        width,
        stride_m,
        stride_c,
        stride_z,
        stride_y,
        stride_x,
        width1,
        PAD1,
        BLOCK,
        BIAS,
        PRECISION,
    )
    values, hidden1, hidden3 = later_layers(
        first,
        weight2,
        weight3,
        weight4,
        bias2,
        bias3,
        bias4,
        width1,
        width2,
        width3,
        width4,
        LAYERS,
        PAD1,
        PAD3,
        CHUNK,
        BLOCK,
        BIAS,
        PRECISION,
    )

    output = tl.arange(0, OUTPUTS)
    mask = (output < outputs)[:, None] & inside[None, :]
    slope = tl.load(given + index[None, :] * outputs + output[:, None], mask=mask, other=0.0)
    if SQUARED_ERROR:
        error = tl.where(mask, values - slope, 0.0)
        tl.atomic_add(loss, scale * tl.sum(tl.sum(error * error, axis=1), axis=0), sem="relaxed")
        slope = 2.0 * scale * error

    inner, outer = tl.arange(0, PAD1), tl.arange(0, PAD3)
    if LAYERS == 2:
        slope = through_a_layer(
            slope, hidden1, weight2, dweight2, dbias2, output, inner, width2, width1, BIAS, MLP, SLOPES
        )
    if LAYERS == 4:
        slope = through_a_layer(
            slope, hidden3, weight4, dweight4, dbias4, output, outer, width4, width3, BIAS, MLP, SLOPES
        )
    if LAYERS > 2:
        slope = through_third_and_second(
            slope,
            hidden1,
            weight2,
            weight3,
            bias2,
            dweight2,
            dweight3,
            dbias2,
            dbias3,
            width1,
            width2,
            width3,
            PAD1,
            PAD3,
            CHUNK,
            BLOCK,
            BIAS,
            MLP,
            PRECISION,
            SLOPES,
        )
    add_row_sums(dbias1, slope, inner, width1, MLP and BIAS)

    px, py, pz = tl.zeros_like(x), tl.zeros_like(x), tl.zeros_like(x)
    for start in range(0, grids * channels, ROWS):
        number = start + tl.arange(0, ROWS)
        grid, is_grid, base = feature_rows(features, number, grids, channels, stride_m, stride_c)
        ix, iy, iz, fx, fy, fz = locate(transforms, grid, is_grid, x, y, z, depth, height, width)
        valid = is_grid[:, None] & inside[None, :]
        tile = load_matrix(weight1, inner, number, width1, grids * channels)
        dfeature = product(tl.trans(tile), slope, SLOPES)
        if POINTS or TRANSFORMS:
            feature, dx, dy, dz = gather_with_slope(
                base, valid, ix, iy, iz, fx, fy, fz, depth, height, width, stride_z, stride_y, stride_x
            )
            # From per voxel to per unit of the grids' own coordinates.
            dx *= dfeature * (0.5 * (width - 1))
            dy *= dfeature * (0.5 * (height - 1))
            dz *= dfeature * (0.5 * (depth - 1))
            if TRANSFORMS:
                add_transform_row(dtransforms, dx, grid, is_grid, 0, x, y, z)
                add_transform_row(dtransforms, dy, grid, is_grid, 1, x, y, z)
                add_transform_row(dtransforms, dz, grid, is_grid, 2, x, y, z)
            if POINTS:
                ax, ay, az = to_points(transforms, dx, grid, is_grid, 0)
                bx, by, bz = to_points(transforms, dy, grid, is_grid, 1)
                cx, cy, cz = to_points(transforms, dz, grid, is_grid, 2)
                px, py, pz = px + ax + bx + cx, py + ay + by + cy, pz + az + bz + cz
        elif MLP:
            feature = gather(base, valid, ix, iy, iz, fx, fy, fz, depth, height, width, stride_z, stride_y, stride_x)
        if MLP:
            gradient = product(slope, tl.trans(feature), SLOPES)
            add_matrix(dweight1, gradient, inner, number, width1, grids * channels)
        if FEATURES:
            _, _, dbase = feature_rows(dfeatures, number, grids, channels, stride_m, stride_c)
            scatter(dbase, dfeature, valid, ix, iy, iz, fx, fy, fz, depth, height, width, stride_z, stride_y, stride_x)
    if POINTS:
        tl.store(dpoints + index * 3, px, mask=inside)
        tl.store(dpoints + index * 3 + 1, py, mask=inside)
        tl.store(dpoints + index * 3 + 2, pz, mask=inside)


@triton.jit(do_not_specialize=["count", "scale"])
def backward_kernel(
    points,
    count,
    transforms,
    features,
    weight1,
    weight2,
    weight3,
    weight4,
    bias1,
    bias2,
    bias3,
    bias4,
    grids,
    channels,
    depth,
    height,
    width,
    stride_m,
    stride_c,
    stride_z,
    stride_y,
    stride_x,
    width1,
    width2,
    width3,
    width4,
    outputs,
    given,
    scale,
    loss,
    dpoints,
    dtransforms,
    dfeatures,
    dweight1,
    dweight2,
    dweight3,
    dweight4,
    dbias1,
    dbias2,
    dbias3,
    dbias4,
    LAYERS: tl.constexpr,
    PAD1: tl.constexpr,
    PAD3: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
    SLOPES: tl.constexpr,
    SQUARED_ERROR: tl.constexpr,
    POINTS: tl.constexpr,
    TRANSFORMS: tl.constexpr,
    FEATURES: tl.constexpr,
    MLP: tl.constexpr,
):
    """Add the gradients to dtransforms, dfeatures, dweight*, dbias* (float32, shapes and strides of the parameters) and
    store dpoints (count, 3); which of them is told by POINTS, TRANSFORMS, FEATURES and MLP (weights and biases).

    `given` (count, outputs) are the slopes of the values; with SQUARED_ERROR it is their targets, and
    scale * sum((values - targets)^2) is added to `loss` and differentiated. SLOPES is the precision of products with
    slopes, PRECISION that of the network itself.
    """
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    backward_block(
        index,
        index < count,
        points,
        transforms,
        features,
        weight1,
        weight2,
        weight3,
        weight4,
        bias1,
        bias2,
        bias3,
        bias4,
        grids,
        channels,
        depth,
        height,
        width,
        stride_m,
        stride_c,
        stride_z,
        stride_y,
        stride_x,
        width1,
        width2,
        width3,
        width4,
        outputs,
        given,
        scale,
        loss,
        dpoints,
        dtransforms,
        dfeatures,
        dweight1,
        dweight2,
        dweight3,
        dweight4,
        dbias1,
        dbias2,
        dbias3,
        dbias4,
        LAYERS,
        PAD1,
        PAD3,
        CHUNK,
        BLOCK,
        BIAS,
        PRECISION,
        SLOPES,
        SQUARED_ERROR,
        POINTS,
        TRANSFORMS,
        FEATURES,
        MLP,
    )
