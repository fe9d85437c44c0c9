# SPDX-License-Identifier: BSD-3-Clause
"""Many networks of one architecture, each at points of its own, in one launch."""

import triton
import triton.language as tl

from .forward import forward_block


@triton.jit
def ensemble_kernel(
    points,
    slots,
    firsts,
    ends,
    stride,
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
    """Values (n, outputs) at points (n, 3). Program i takes points firsts[i] and following, BLOCK of them, but none from
    ends[i] on, for the network with number slots[i]; pointers to parameters are those of the first network, the next
    ones' are `stride` numbers further.
    """
    program = tl.program_id(0)
    row = tl.load(slots + program).to(tl.int64) * stride
    index = tl.load(firsts + program).to(tl.int64) + tl.arange(0, BLOCK)
    forward_block(
        index,
        index < tl.load(ends + program),
        points,
        transforms + row,
        features + row,
        weight1 + row,
        weight2 + row,
        weight3 + row,
        weight4 + row,
        bias1 + row,
        bias2 + row,
        bias3 + row,
        bias4 + row,
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
