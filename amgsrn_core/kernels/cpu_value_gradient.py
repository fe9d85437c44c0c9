# SPDX-License-Identifier: BSD-3-Clause
"""The compiled kernel for values and their gradients (native/value_gradient.cc)."""

from __future__ import annotations

import ctypes

import torch

from ..threads import thread_count


def value_and_gradient(
    library: ctypes.CDLL, network: ctypes.Structure, outputs: int, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`reference.value_and_gradient` of a network of so many outputs at float32 points (n, 3) on the CPU.

    Raises:
        MemoryError: the kernels ran out of memory.
    """
    points = points.detach().contiguous()
    values, gradients = torch.empty(len(points), outputs), torch.empty(len(points), outputs, 3)
    failed = library.amgsrn_value_gradient(
        ctypes.byref(network),
        ctypes.c_void_p(points.data_ptr()),
        ctypes.c_int64(len(points)),
        ctypes.c_void_p(values.data_ptr()),
        ctypes.c_void_p(gradients.data_ptr()),
        ctypes.c_int32(thread_count()),
    )
    if failed:
        raise MemoryError("the CPU kernels ran out of memory")
    return values, gradients
