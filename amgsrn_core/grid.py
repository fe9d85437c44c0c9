# SPDX-License-Identifier: BSD-3-Clause
"""Evaluating a field on the nodes of a grid, in bounded memory beyond the result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .errors import Aborted
from .field import Field
from .threads import one_torch_thread

_BATCH = 1 << 16


def sample_nodes(
    field: Field,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    out: np.ndarray | None = None,
    progress: Callable[[float], object] | None = None,
) -> np.ndarray:
    """Values of a field at all combinations of normalized coordinates.

    Args:
        field: the field.
        x, y, z: normalized coordinates along each axis, float64 (nx,), (ny,), (nz,).
        out: float32 array [nz, ny, nx, components] to write into; allocated if None.
        progress: called after each batch with the finished fraction in (0, 1]; when it returns False, the evaluation
            stops.

    Returns:
        float32 [nz, ny, nx, components], in data units: `out` if given.

    Raises:
        Aborted: `progress` returned False.
    """
    nx, ny, nz = len(x), len(y), len(z)
    if out is None:
        out = np.empty((nz, ny, nx, field.array.components), dtype=np.float32)
    total = nz * ny * nx
    flat = torch.from_numpy(out).view(total, field.array.components)
    axes = [torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)).to(field.device) for a in (x, y, z)]
    with one_torch_thread(field.is_threaded):
        for start in range(0, total, _BATCH):
            index = torch.arange(start, min(start + _BATCH, total), device=field.device)
            row = torch.div(index, nx, rounding_mode="floor")
            columns = [axes[0][index % nx], axes[1][row % ny], axes[2][torch.div(row, ny, rounding_mode="floor")]]
            flat[start : start + len(index)] = field.sample(torch.stack(columns, dim=1)).cpu()
            if progress is not None and progress((start + len(index)) / total) is False:
                raise Aborted("evaluation stopped by the user")
    return out


def native_nodes(field: Field) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalized coordinates (x, y, z) of the nodes of the volume that the field was made from, float64."""
    nx, ny, nz = field.domain.dimensions
    return np.linspace(-1.0, 1.0, nx), np.linspace(-1.0, 1.0, ny), np.linspace(-1.0, 1.0, nz)
