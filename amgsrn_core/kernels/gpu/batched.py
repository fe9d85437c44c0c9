# SPDX-License-Identifier: BSD-3-Clause
"""Training many networks of one architecture at once: the twins of `batched.BatchedFit._accumulate` and `_update`."""

import triton
import triton.language as tl

from .backward import backward_block


@triton.jit(do_not_specialize=["longest"])
def batched_backward_kernel(
    points,
    counts,
    longest,
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
    targets,
    losses,
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
    TRANSFORMS: tl.constexpr,
):
    """Mean squared errors, added to `losses` (b,), and their gradients, added to those of every network.

    Program (i, k) takes points i * BLOCK and following of network k, which has the first counts[k] of the points
    (b, longest, 3) and of the targets (b, longest, outputs). Pointers to parameters and gradients are those of the first
    network, the next ones' are `stride` numbers further; transforms and their gradients are (b, m, 4, 4).
    """
    network = tl.program_id(1).to(tl.int64)
    count = tl.load(counts + network)
    row = network * stride
    first = tl.program_id(0).to(tl.int64) * BLOCK
    if first < count:
        index = first + tl.arange(0, BLOCK)
        backward_block(
            index,
            index < count,
            points + network * longest * 3,
            transforms + network * grids * 16,
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
            targets + network * longest * outputs,
            1.0 / (count * outputs).to(tl.float32),
            losses + network,
            points,
            dtransforms + network * grids * 16,
            dfeatures + row,
            dweight1 + row,
            dweight2 + row,
            dweight3 + row,
            dweight4 + row,
            dbias1 + row,
            dbias2 + row,
            dbias3 + row,
            dbias4 + row,
            LAYERS,
            PAD1,
            PAD3,
            CHUNK,
            BLOCK,
            BIAS,
            PRECISION,
            SLOPES,
            True,
            False,
            TRANSFORMS,
            True,
            True,
        )


@triton.jit(do_not_specialize=["beta1", "beta2", "epsilon"])
def batched_adam_kernel(
    values, gradients, first, second, factors, size, end1, end2, beta1, beta2, epsilon, BLOCK: tl.constexpr
):  # fmt: skip
    """Adam's step on rows (b, size), a part for each group ending at end1, end2 and size; gradients are zero afterwards.

    Program (i, k) takes numbers i * BLOCK and following of network k, with its factors (3, 2): see `BatchedFit._factors`.
    """
    network = tl.program_id(1).to(tl.int64)
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = number < size
    place = network * size + number
    group = tl.where(number < end1, 0, tl.where(number < end2, 1, 2))
    factor = factors + network * 6 + group * 2
    rate = tl.load(factor, mask=inside, other=0.0)
    learns = inside & (rate > 0.0)
    gradient = tl.load(gradients + place, mask=learns, other=0.0)
    m = beta1 * tl.load(first + place, mask=learns, other=0.0) + (1.0 - beta1) * gradient
    v = beta2 * tl.load(second + place, mask=learns, other=0.0) + (1.0 - beta2) * gradient * gradient
    root = tl.load(factor + 1, mask=learns, other=1.0)
    value = tl.load(values + place, mask=learns, other=0.0)
    tl.store(values + place, value - rate * m / (tl.sqrt(v) / root + epsilon), mask=learns)
    tl.store(first + place, m, mask=learns)
    tl.store(second + place, v, mask=learns)
    tl.store(gradients + place, tl.zeros_like(m), mask=inside)
