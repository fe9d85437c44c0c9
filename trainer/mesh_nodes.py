# SPDX-License-Identifier: BSD-3-Clause
"""The nodes of a volume's mesh: where its values are true, and errors are measured."""

from __future__ import annotations

import numpy as np
import torch

from .volumes import Mesh, Region, Volume


def mesh_nodes(volume: Volume, mesh: Mesh, region: Region | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The nodes that have values and lie in the volume's domain, in their order.

    Args:
        volume: resampled from the mesh.
        mesh: the mesh.
        region: nodes of the volume; only the nodes of the mesh count that one of them is the nearest to. All if None.

    Returns:
        Normalized coordinates float32 (n, 3), and values float32 (n, c).
    """
    normalized = volume.domain.world_to_normalized(torch.from_numpy(mesh.points)).numpy()
    # What rounding has put outside is inside.
    there = (np.abs(normalized) <= 1.0 + 1e-6).all(axis=1) & np.isfinite(mesh.values[:, 0])
    if region is not None:
        for axis, ((first, last), count) in enumerate(zip(region, volume.domain.dimensions, strict=True)):
            position = (normalized[:, axis] + 1.0) * (0.5 * (count - 1))
            there &= (position >= first - 0.5) & (position < last + 0.5)
    return np.clip(normalized[there], -1.0, 1.0).astype(np.float32), mesh.values[there]
