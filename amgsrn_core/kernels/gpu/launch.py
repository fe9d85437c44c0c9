# SPDX-License-Identifier: BSD-3-Clause
"""From tensors to the arguments of the kernels, and how many points and threads a program gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import triton

from .backward import backward_kernel
from .density import density_backward_kernel, density_kernel
from .forward import OUTPUTS, forward_kernel
from .gradients import Shapes, SmallGradients, Wanted

MAX_LAYERS = 4
MAX_WIDTH = 256
MAX_OUTPUTS = OUTPUTS.value
PRECISIONS = ("ieee", "tf32", "bf16", "fp16")
# Points per program of the density kernels, which hold a few numbers per point.
_DENSITY_BLOCK = 128
# Offsets within a grid are 32-bit numbers; between grids they are not.
MAX_NODES = 2**31

# Whether the kernels are run by Triton's interpreter, on the CPU.
INTERPRETED = not isinstance(forward_kernel, triton.runtime.JITFunction)


def can_run(points: torch.Tensor, grids: torch.Tensor | None, *others: torch.Tensor) -> bool:
    """Whether the kernels can work on these tensors: float32 on one device; grids may be float16 or bfloat16, too."""
    if grids is not None:
        if grids.dtype not in (torch.float32, torch.float16, torch.bfloat16) or grids[0].numel() >= MAX_NODES:
            return False
        if grids.device != points.device:
            return False
    return all(t.dtype == torch.float32 and t.device == points.device for t in (points, *others))


def fits(weights: Sequence[torch.Tensor]) -> bool:
    """Whether an MLP with these weights, if any, is one that the kernels are made for."""
    widths = [len(w) for w in weights]
    return not widths or (len(widths) <= MAX_LAYERS and max(widths) <= MAX_WIDTH and widths[-1] <= MAX_OUTPUTS)


def default_precision(device: torch.device) -> str:
    """How factors are rounded in the MLP: as `torch.set_float32_matmul_precision` says and the device can.

    PyTorch's default, 'highest', is 'ieee': float32.
    """
    wanted = {"highest": "ieee", "high": "tf32", "medium": "bf16"}[torch.get_float32_matmul_precision()]
    if device.type != "cuda":
        return "ieee"
    if torch.version.hip is not None:
        return "ieee" if wanted == "tf32" else wanted
    return wanted if torch.cuda.get_device_capability(device) >= (8, 0) else "ieee"


def slope_precision(precision: str) -> str:
    """Precision of products with slopes, which are too small for the range of float16."""
    return "bf16" if precision == "fp16" else precision


@dataclass(frozen=True)
class Tiles:
    """How a network is cut into tiles.

    Attributes:
        pad1, pad3: rows of the tiles of the first and of the third layer.
        chunk: neurons of the second layer that are worked on at a time.
        block: points per program.
        warps: warps per program.
    """

    pad1: int
    pad3: int
    chunk: int
    block: int
    warps: int

    @classmethod
    def of(cls, widths: Sequence[int], backward: bool) -> Tiles:
        """For layers of these widths, the outputs last.

        The largest tiles with which compilers keep (nearly) everything in registers, in all precisions, and which need
        at most 65 KiB of shared memory: measured with ptxas for compute capabilities 8.0 and 9.0, and for gfx942.
        """
        pads = [max(16, triton.next_power_of_2(w)) for w in widths]
        pad1, pad3 = pads[0], pads[2] if len(pads) > 2 else 16
        widest = max(pad1, pad3)
        if backward:
            return cls(pad1, pad3, chunk=16, block=32 if widest <= 64 else 16, warps=8)
        return cls(pad1, pad3, chunk=32 if widest <= 128 else 16, block=64 if widest <= 64 else 32, warps=8)


def dense(grids: torch.Tensor) -> torch.Tensor:
    """The grids themselves if they have no gaps in memory, channels first or last, else a copy."""
    last = torch.channels_last_3d
    return grids if grids.is_contiguous() or grids.is_contiguous(memory_format=last) else grids.contiguous()


def run_forward(
    values: torch.Tensor,
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    precision: str,
) -> None:
    """Write the network's values (n, outputs); see `forward.forward_kernel`."""
    arguments, tiles = network_arguments(points, transforms, grids, weights, biases, precision, backward=False)
    _launch(forward_kernel, points, tiles.block, **arguments, values=values, num_warps=tiles.warps)


def run_backward(
    given: torch.Tensor,
    loss: torch.Tensor | None,
    dpoints: torch.Tensor,
    dfeatures: torch.Tensor,
    small: torch.Tensor,
    wanted: Wanted,
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    precision: str,
) -> None:
    """Add the gradients to what `gradients.zeros` returned; see `backward.backward_kernel`.

    `given` (n, outputs) are slopes; or, with a `loss` (a float32 zero), targets, the mean squared error of which is
    added to it.
    """
    arguments, tiles = network_arguments(points, transforms, grids, weights, biases, precision, backward=True)
    parts = SmallGradients.parts_of(small, Shapes.of(transforms, weights, biases), wanted)
    _launch(
        backward_kernel,
        points,
        tiles.block,
        **arguments,
        given=given.contiguous(),
        scale=1.0 / max(given.numel(), 1),
        loss=points if loss is None else loss,
        dpoints=dpoints,
        dtransforms=points if parts.transforms is None else parts.transforms,
        dfeatures=dfeatures,
        **numbered("dweight", parts.weights, points),
        **numbered("dbias", parts.biases, points),
        SLOPES=slope_precision(precision),
        SQUARED_ERROR=loss is not None,
        POINTS=wanted.points,
        TRANSFORMS=wanted.transforms,
        FEATURES=wanted.features,
        MLP=wanted.mlp,
        num_warps=tiles.warps,
    )


def run_density(densities: torch.Tensor, points: torch.Tensor, transforms: torch.Tensor) -> None:
    """Write the densities (n,); see `density.density_kernel`."""
    _launch(
        density_kernel,
        points,
        _DENSITY_BLOCK,
        transforms=transforms.contiguous(),
        grids=len(transforms),
        densities=densities,
        BLOCK=_DENSITY_BLOCK,
        num_warps=4,
    )


def run_density_backward(
    dtransforms: torch.Tensor, slopes: torch.Tensor, points: torch.Tensor, transforms: torch.Tensor
) -> None:
    """Add the gradient to dtransforms (m, 4, 4); see `density.density_backward_kernel`."""
    _launch(
        density_backward_kernel,
        points,
        _DENSITY_BLOCK,
        transforms=transforms.contiguous(),
        grids=len(transforms),
        slopes=slopes.contiguous(),
        dtransforms=dtransforms,
        BLOCK=_DENSITY_BLOCK,
        num_warps=4,
    )


def network_arguments(
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    precision: str,
    backward: bool,
) -> tuple[dict[str, Any], Tiles]:
    """The arguments that the kernels of a network have in common."""
    inputs = grids.shape[0] * grids.shape[1]
    shapes = [(len(b), len(a)) for a, b in pairwise(weights)]
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision}")
    if not fits(weights) or weights[0].shape[1] != inputs or [tuple(w.shape) for w in weights[1:]] != shapes:
        raise ValueError(f"not an MLP for {inputs} features: {[tuple(w.shape) for w in weights]}")
    widths = [len(w) for w in weights]
    tiles = Tiles.of(widths, backward)
    features = dense(grids)
    stride_m, stride_c, stride_z, stride_y, stride_x = features.stride()
    arguments: dict[str, Any] = {
        "transforms": transforms.contiguous(),
        "features": features,
        **numbered("weight", [w.contiguous() for w in weights], points),
        **numbered("bias", [b.contiguous() for b in biases], points),
        **{f"width{i + 1}": width for i, width in enumerate(widths + [1] * (MAX_LAYERS - len(widths)))},
        "grids": grids.shape[0],
        "channels": grids.shape[1],
        "depth": grids.shape[2],
        "height": grids.shape[3],
        "width": grids.shape[4],
        "stride_m": stride_m,
        "stride_c": stride_c,
        "stride_z": stride_z,
        "stride_y": stride_y,
        "stride_x": stride_x,
        "outputs": widths[-1],
        "LAYERS": len(weights),
        "PAD1": tiles.pad1,
        "PAD3": tiles.pad3,
        "CHUNK": tiles.chunk,
        "BLOCK": tiles.block,
        "BIAS": len(biases) > 0,
        "PRECISION": precision,
    }
    return arguments, tiles


def numbered(name: str, tensors: Sequence[torch.Tensor | None], nothing: torch.Tensor) -> dict[str, torch.Tensor]:
    """Arguments name1, name2, ... of as many layers as there can be; `nothing` stands for a pointer that is not used."""
    filled = [*tensors, *[None] * (MAX_LAYERS - len(tensors))]
    return {f"{name}{i + 1}": nothing if tensor is None else tensor for i, tensor in enumerate(filled)}


def _launch(kernel: Any, points: torch.Tensor, block: int, **arguments: Any) -> None:
    """One program per block of points."""
    if len(points):
        programs = (triton.cdiv(len(points), block),)
        start(kernel, programs, points=points.contiguous(), count=len(points), **arguments)


def start(kernel: Any, programs: tuple[int, ...], **arguments: Any) -> None:
    """So many programs, on the device of the first argument, without software pipelines."""
    with torch.cuda.device_of(next(iter(arguments.values()))):
        kernel[programs](num_stages=1, **arguments)
