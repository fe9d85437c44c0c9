# SPDX-License-Identifier: BSD-3-Clause
"""The networks and points that are timed: the presets' sizes, placed as training begins, with features as after training."""

from __future__ import annotations

import numpy as np
import torch

from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN
from trainer.presets import PRESETS


def fast_kernels(device: torch.device) -> str:
    """What the kernels that are compared with the reference are called: 'native' on the CPU, 'triton' on GPUs.

    Raises:
        SystemExit: there are none.
    """
    backend, reason = kernels.chosen_backend(device.type)
    if backend == "reference":
        raise SystemExit(f"there is nothing to compare with the reference: {reason}")
    return "native" if backend == "cpu" else backend


def network(preset: str) -> AMGSRN:
    """A network of a preset's size."""
    result = AMGSRN(PRESETS[preset].config("matrix"), seed=0)
    with torch.no_grad():
        result.grids.normal_(generator=torch.Generator().manual_seed(0))
    return result


def random_points(count: int) -> torch.Tensor:
    """Independent points (count, 3): the worst order for the caches."""
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1


def lattice_points(count: int) -> torch.Tensor:
    """A random point in each cell of a lattice, cells in the order in which a fit draws them: (about count, 3)."""
    side = round(count ** (1 / 3) / 4) * 4
    cell = torch.from_numpy(np.indices((side, side, side)).reshape(3, -1))
    order = np.lexsort((*cell.numpy()[::-1], *(cell.numpy() // 4)[::-1]))
    jitter = torch.rand(3, side**3, generator=torch.Generator().manual_seed(1))
    return ((cell[:, order] + jitter).flip(0).T * (2 / side) - 1).contiguous()


def raster_points(count: int) -> torch.Tensor:
    """Neighbours along a fine grid's rows, as an image or an export asks for them: (about count, 3)."""
    axis = torch.linspace(-1, 1, round(count ** (1 / 3)))
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([x, y, z], dim=-1).reshape(-1, 3)
