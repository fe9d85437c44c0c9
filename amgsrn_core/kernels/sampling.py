# SPDX-License-Identifier: BSD-3-Clause
"""Samples of a volume, by the compiled kernels where they work on it, else by the reference: the same points either way,
bit for bit."""

from __future__ import annotations

import ctypes

import torch

from . import cpu, cpu_sampling, reference_sampling
from .dispatch import chosen_backend


def uniform_samples(
    values: torch.Tensor, count: int, scaling: tuple[float, float], seed: int, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Independent random points and the values there, see `reference_sampling.uniform_samples`.

    Raises:
        ValueError: not a volume.
        KernelsUnavailable: see `evaluator`.
    """
    library = _library(values)
    if library is not None:
        return cpu_sampling.uniform_samples(library, values, count, scaling, seed, step)
    return reference_sampling.uniform_samples(values, count, scaling, seed, step)


def lattice_samples(
    values: torch.Tensor,
    lattice: tuple[int, int, int],
    scaling: tuple[float, float],
    seed: int,
    step: int,
    snap: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One random point in each cell of a lattice and the values there, see `reference_sampling.lattice_samples`.

    Raises:
        ValueError: not a volume, or a lattice finer than it.
        KernelsUnavailable: see `evaluator`.
    """
    library = _library(values)
    if not all(1 <= cells <= nodes for cells, nodes in zip(lattice, values.shape[:3], strict=True)):
        raise ValueError(f"a lattice of {tuple(lattice)} cells over {tuple(values.shape[:3])} nodes")
    if library is not None:
        return cpu_sampling.lattice_samples(library, values, lattice, scaling, seed, step, snap)
    return reference_sampling.lattice_samples(values, lattice, scaling, seed, step, snap)


def sample_volume(values: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Values at points, interpolated, see `reference_sampling.sample_volume`.

    Raises:
        ValueError: not a volume.
        KernelsUnavailable: see `evaluator`.
    """
    library = _library(values, points)
    if library is not None:
        return cpu_sampling.sample_volume(library, values, points)
    return reference_sampling.sample_volume(values, points)


def _library(values: torch.Tensor, *points: torch.Tensor) -> ctypes.CDLL | None:
    """The compiled kernels if they are to work on this volume."""
    if values.dim() not in (3, 4) or min(values.shape[:3]) < 2:
        raise ValueError(f"not a volume: shape {tuple(values.shape)}")
    if chosen_backend(values.device.type)[0] != "cpu" or not cpu.can_run(values, *points):
        return None
    return cpu.load()[0] if cpu_sampling.can_run(values) else None
