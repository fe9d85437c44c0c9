# SPDX-License-Identifier: BSD-3-Clause
"""The compiled volume sampling kernels (native/sample.cc)."""

from __future__ import annotations

import ctypes

import torch

from ..threads import thread_count

_WORD = 0xFFFFFFFFFFFFFFFF
_MAX_CHANNELS = 4


class _Volume(ctypes.Structure):
    """`amgsrn_volume` of native/amgsrn_kernels.h."""

    _fields_ = (
        ("values", ctypes.c_void_p),
        ("depth", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("low", ctypes.c_double),
        ("scale", ctypes.c_double),
    )


def can_run(values: torch.Tensor) -> bool:
    """Whether the kernels can work on a float32 volume on the CPU: contiguous, at most four channels."""
    return values.is_contiguous() and 1 <= (*values.shape, 1)[3] <= _MAX_CHANNELS


def uniform_samples(
    library: ctypes.CDLL, values: torch.Tensor, count: int, scaling: tuple[float, float], seed: int, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`reference_sampling.uniform_samples` of a contiguous float32 volume on the CPU."""
    points, samples = torch.empty(count, 3), torch.empty(count, *values.shape[3:])
    library.amgsrn_draw_uniform(
        ctypes.byref(_volume(values, scaling)),
        ctypes.c_uint64(seed & _WORD),
        ctypes.c_uint64(step & _WORD),
        ctypes.c_int64(count),
        ctypes.c_void_p(points.data_ptr()),
        ctypes.c_void_p(samples.data_ptr()),
        ctypes.c_int32(thread_count()),
    )
    return points, samples


def lattice_samples(
    library: ctypes.CDLL,
    values: torch.Tensor,
    lattice: tuple[int, int, int],
    scaling: tuple[float, float],
    seed: int,
    step: int,
    snap: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`reference_sampling.lattice_samples` of a contiguous float32 volume on the CPU."""
    z, y, x = lattice
    points, samples = torch.empty(x * y * z, 3), torch.empty(x * y * z, *values.shape[3:])
    library.amgsrn_draw_lattice(
        ctypes.byref(_volume(values, scaling)),
        (ctypes.c_int64 * 3)(x, y, z),
        ctypes.c_int32(snap),
        ctypes.c_uint64(seed & _WORD),
        ctypes.c_uint64(step & _WORD),
        ctypes.c_void_p(points.data_ptr()),
        ctypes.c_void_p(samples.data_ptr()),
        ctypes.c_int32(thread_count()),
    )
    return points, samples


def sample_volume(library: ctypes.CDLL, values: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """`reference_sampling.sample_volume` of a contiguous float32 volume and float32 points on the CPU."""
    points = points.detach().contiguous()
    samples = torch.empty(len(points), *values.shape[3:])
    library.amgsrn_sample_volume(
        ctypes.byref(_volume(values, (0.0, 1.0))),
        ctypes.c_void_p(points.data_ptr()),
        ctypes.c_int64(len(points)),
        ctypes.c_void_p(samples.data_ptr()),
        ctypes.c_int32(thread_count()),
    )
    return samples


def _volume(values: torch.Tensor, scaling: tuple[float, float]) -> _Volume:
    depth, height, width, channels = (*values.shape, 1)[:4]
    low, scale = scaling
    return _Volume(values.data_ptr(), depth, height, width, channels, low, scale)
