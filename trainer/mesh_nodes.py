# SPDX-License-Identifier: BSD-3-Clause
"""The nodes of a volume's mesh: where its values are true, and errors are measured."""

from __future__ import annotations

import numpy as np
import torch

from .volumes import Mesh, Volume


def mesh_nodes(volume: Volume, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The nodes that have values and lie in the volume's domain, in their order.

    Returns:
        Normalized coordinates float32 (n, 3), and values float32 (n, c).
    """
    normalized = volume.domain.world_to_normalized(torch.from_numpy(mesh.points)).numpy()
    # What rounding has put outside is inside.
    there = (np.abs(normalized) <= 1.0 + 1e-6).all(axis=1) & np.isfinite(mesh.values[:, 0])
    return np.clip(normalized[there], -1.0, 1.0).astype(np.float32), mesh.values[there]
