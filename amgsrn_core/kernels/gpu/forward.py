# SPDX-License-Identifier: BSD-3-Clause
"""The whole network in one kernel: the twin of `reference.forward`."""

import triton
import triton.language as tl

from .interpolation import ROWS, feature_rows, gather, load_points, locate
from .mlp import add_bias, load_matrix, product, relu, second_and_third

# Rows of the tile of outputs: the least height of a matrix product, and the most outputs there can be.
OUTPUTS = tl.constexpr(16)


@triton.jit
def first_layer(
    x,
    y,
    z,
    inside,
    transforms,
    features,
    weight,
    bias,
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
    PAD1: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Encode the points and multiply with the first layer, a tile of features at a time: [PAD1, BLOCK], before ReLU."""
    rows = tl.arange(0, PAD1)
    hidden = tl.zeros((PAD1, BLOCK), tl.float32)
    for first in range(0, grids * channels, ROWS):
        number = first + tl.arange(0, ROWS)
        grid, is_grid, base = feature_rows(features, number, grids, channels, stride_m, stride_c)
        ix, iy, iz, fx, fy, fz = locate(transforms, grid, is_grid, x, y, z, depth, height, width)
        valid = is_grid[:, None] & inside[None, :]
        feature = gather(base, valid, ix, iy, iz, fx, fy, fz, depth, height, width, stride_z, stride_y, stride_x)
        hidden += product(load_matrix(weight, rows, number, width1, grids * channels), feature, PRECISION)
    return add_bias(hidden, bias, rows, width1, BIAS)


@triton.jit
def later_layers(
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
    LAYERS: tl.constexpr,
    PAD1: tl.constexpr,
    PAD3: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """From the first layer before ReLU to the outputs [OUTPUTS, BLOCK].

    Also returns the activations of the first and of the third layer, where there are such hidden layers.
    """
    outputs = tl.arange(0, OUTPUTS)
    hidden1, hidden3 = relu(first), first
    if LAYERS == 1:
        result = first
    elif LAYERS == 2:
        result = product(load_matrix(weight2, outputs, tl.arange(0, PAD1), width2, width1), hidden1, PRECISION)
        result = add_bias(result, bias2, outputs, width2, BIAS)
    else:
        result = second_and_third(
            hidden1, weight2, weight3, bias2, bias3, width1, width2, width3, PAD1, PAD3, CHUNK, BLOCK, BIAS, PRECISION
        )
        if LAYERS == 4:
            hidden3 = relu(result)
            result = product(load_matrix(weight4, outputs, tl.arange(0, PAD3), width4, width3), hidden3, PRECISION)
            result = add_bias(result, bias4, outputs, width4, BIAS)
    return result, hidden1, hidden3


@triton.jit
def forward_block(
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
    values,
    LAYERS: tl.constexpr,
    PAD1: tl.constexpr,
    PAD3: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """What `forward_kernel` does, for the points [BLOCK] with int64 numbers `index`, of which only those `inside` count."""
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
    result, _, _ = later_layers(
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
    column = tl.arange(0, OUTPUTS)
    mask = (column < outputs)[:, None] & inside[None, :]
    tl.store(values + index[None, :] * outputs + column[:, None], result, mask=mask)


@triton.jit(do_not_specialize=["count"])
def forward_kernel(
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
    values,
    LAYERS: tl.constexpr,
    PAD1: tl.constexpr,
    PAD3: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Values (count, outputs) of the network at points (count, 3). Program i takes points i * BLOCK and following."""
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    forward_block(
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
        values,
        LAYERS,
        PAD1,
        PAD3,
        CHUNK,
        BLOCK,
        BIAS,
        PRECISION,
    )
