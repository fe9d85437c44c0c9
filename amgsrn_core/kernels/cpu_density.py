# SPDX-License-Identifier: BSD-3-Clause
"""The compiled feature density kernels (native/density.cc)."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from ..threads import thread_count


def density(library: ctypes.CDLL, points: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
    """`reference.density`, differentiable once in the transforms but not in the points; tensors are float32 on the
    CPU."""
    return _Density.apply(library, points, transforms)


class _Density(torch.autograd.Function):
    """Nothing per point and grid is kept for backward, which computes it again."""

    @staticmethod
    def forward(ctx: Any, library: ctypes.CDLL, points: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
        points, rows = points.contiguous(), transforms[:, :3].contiguous()
        ctx.library = library
        ctx.save_for_backward(points, rows)
        result = torch.empty(len(points))
        library.amgsrn_density(
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int32(len(rows)),
            ctypes.c_void_p(points.data_ptr()),
            ctypes.c_int64(len(points)),
            ctypes.c_void_p(result.data_ptr()),
            ctypes.c_int32(thread_count()),
        )
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        points, rows = ctx.saved_tensors
        slope = slopes[0].contiguous()
        gradients = torch.empty_like(rows)
        failed = ctx.library.amgsrn_density_backward(
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int32(len(rows)),
            ctypes.c_void_p(points.data_ptr()),
            ctypes.c_int64(len(points)),
            ctypes.c_void_p(slope.data_ptr()),
            ctypes.c_void_p(gradients.data_ptr()),
            ctypes.c_int32(thread_count()),
        )
        if failed:
            raise MemoryError("the CPU kernels ran out of memory")
        # The last row is not used.
        return None, None, torch.nn.functional.pad(gradients, (0, 0, 0, 1))
