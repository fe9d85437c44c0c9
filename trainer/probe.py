# SPDX-License-Identifier: BSD-3-Clause
"""A quick look at a network's error: the same random voxels every time."""

from __future__ import annotations

import math

import numpy as np
import torch

from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN

from .mesh_nodes import mesh_nodes
from .volumes import Mesh, Volume

# 0.05 s of one core for the small network; of smooth errors the PSNR is known to 0.05 dB or so.
_VOXELS = 1 << 16
_LEAST_ERROR = 1e-16
# Where much is missing, so many times as many are tried.
_MOST_TRIES = 16.0


class Probe:
    """Voxels of a volume, or nodes of its mesh, all of a small one.

    Args:
        volume: the volume; not constant.
        device: where networks are.
        seed: of the choice.
    """

    def __init__(self, volume: Volume, device: torch.device, seed: int) -> None:
        points, chosen = _voxels(volume, seed) if volume.mesh is None else _nodes(volume, volume.mesh, seed)
        # A component that does not vary has no error to speak of.
        self._varying = [k for k, (low, high) in enumerate(volume.ranges) if high > low]
        lows, highs = (np.array([volume.ranges[k][end] for k in self._varying]) for end in (0, 1))
        values = chosen[:, self._varying].astype(np.float64)
        outputs = np.array([volume.output_ranges[k] for k in self._varying])
        self._offset = torch.from_numpy((outputs[:, 0] - lows) / (highs - lows)).to(device)
        self._factor = torch.from_numpy((outputs[:, 1] - outputs[:, 0]) / (highs - lows)).to(device)
        self._points = torch.from_numpy(points).to(device)
        self._targets = torch.from_numpy((values - lows) / (highs - lows)).to(device)

    @torch.inference_mode()
    def mean_squared_error(self, network: AMGSRN) -> float:
        """Of the network as it is now, in units of the value ranges squared, averaged over components that vary."""
        evaluate = kernels.evaluator(network.transforms(), network.grids, *network.mlp_parameters())
        answers = evaluate(self._points)[:, self._varying].double() * self._factor + self._offset
        return float((answers - self._targets).square().mean())

    @property
    def variance(self) -> float:
        """Of the values, in units of the value ranges squared, averaged over components that vary: the error of a network
        that knows nothing but the mean."""
        return float(self._targets.var(dim=0, correction=0).mean())

    def psnr(self, network: AMGSRN) -> float:
        """Likewise in dB; no more than float32 resolves, so that it is always a number."""
        return -10.0 * math.log10(max(self.mean_squared_error(network), _LEAST_ERROR))


def _voxels(volume: Volume, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points float32 (n, 3) and values (n, c) of some voxels."""
    shape, voxels = volume.shape, _choose(volume, seed)
    columns = [2.0 * index / (n - 1) - 1.0 for index, n in zip(np.unravel_index(voxels, shape), shape, strict=True)]
    points = np.stack(columns[::-1], axis=1).astype(np.float32)
    return points, volume.values.reshape(-1, volume.components)[voxels]


def _nodes(volume: Volume, mesh: Mesh, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of some nodes of a mesh."""
    points, values = mesh_nodes(volume, mesh)
    if len(points) > _VOXELS:
        chosen = np.sort(np.random.default_rng(seed).integers(0, len(points), _VOXELS))
        points, values = points[chosen], values[chosen]
    return points, values


def _choose(volume: Volume, seed: int) -> np.ndarray:
    """Flat indices of valid voxels, in their order: neighbours are quicker to evaluate one after the other."""
    flat = volume.values.reshape(-1, volume.components)[:, 0]
    candidates = np.arange(min(flat.size, _VOXELS))
    if flat.size > _VOXELS:
        tries = int(_VOXELS * min(_MOST_TRIES, flat.size / volume.valid))
        candidates = np.sort(np.random.default_rng(seed).integers(0, flat.size, tries))
    found = candidates[np.isfinite(flat[candidates])]
    return found if len(found) else np.flatnonzero(np.isfinite(flat))[:_VOXELS]
