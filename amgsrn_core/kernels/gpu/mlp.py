# SPDX-License-Identifier: BSD-3-Clause
"""Device functions: products with the layers of the MLP. The twin of `reference.mlp`.

Activations are tiles [width, BLOCK], one column per point, with widths padded to powers of two; what pads is zero.
The second layer is worked on CHUNK neurons at a time, and never whole, so that the widest network fits into the registers.
Tensor cores multiply in the precision asked for and add in float32.
"""

import triton
import triton.language as tl


@triton.jit
def product(a, b, PRECISION: tl.constexpr):
    """a @ b for float32 tiles. PRECISION: 'fp16' or 'bf16' round the factors, others are `input_precision` of tl.dot."""
    if PRECISION == "fp16":
        result = tl.dot(a.to(tl.float16), b.to(tl.float16))
    elif PRECISION == "bf16":
        result = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    else:
        result = tl.dot(a, b, input_precision=PRECISION)
    return result


@triton.jit
def load_matrix(weight, rows, columns, height, width):
    """The tile [rows, columns] of a matrix (height, width); zero beyond its edges."""
    mask = (rows < height)[:, None] & (columns < width)[None, :]
    return tl.load(weight + rows[:, None] * width + columns[None, :], mask=mask, other=0.0)


@triton.jit
def add_matrix(gradient, tile, rows, columns, height, width):
    """Add a tile to that part of a gradient (height, width)."""
    mask = (rows < height)[:, None] & (columns < width)[None, :]
    tl.atomic_add(gradient + rows[:, None] * width + columns[None, :], tile, mask=mask, sem="relaxed")


@triton.jit
def add_bias(hidden, bias, rows, height, BIAS: tl.constexpr):
    """Add the biases (height,) to activations [rows, BLOCK], if the layers have any."""
    if BIAS:
        hidden += tl.load(bias + rows, mask=rows < height, other=0.0)[:, None]
    return hidden


@triton.jit
def relu(hidden):
    return tl.maximum(hidden, 0.0)


@triton.jit
def second_layer(hidden, weight, bias, rows, inner, width2, width1, BIAS: tl.constexpr, PRECISION: tl.constexpr):
    """A chunk of the second layer's activations [CHUNK, BLOCK] from the first's, and the weights it took."""
    tile = load_matrix(weight, rows, inner, width2, width1)
    return relu(add_bias(product(tile, hidden, PRECISION), bias, rows, width2, BIAS)), tile


@triton.jit
def second_and_third(
    hidden,
    weight2,
    weight3,
    bias2,
    bias3,
    width1,
    width2,
    width3,
    PAD1: tl.constexpr,
    PAD3: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """From the first layer's activations [PAD1, BLOCK] to the third's before ReLU [PAD3, BLOCK]."""
    inner, outer = tl.arange(0, PAD1), tl.arange(0, PAD3)
    result = tl.zeros((PAD3, BLOCK), tl.float32)
    for first in range(0, width2, CHUNK):
        rows = first + tl.arange(0, CHUNK)
        chunk, _ = second_layer(hidden, weight2, bias2, rows, inner, width2, width1, BIAS, PRECISION)
        result += product(load_matrix(weight3, outer, rows, width3, width2), chunk, PRECISION)
    return add_bias(result, bias3, outer, width3, BIAS)
