# SPDX-License-Identifier: BSD-3-Clause
"""A quick look at a network's error: the same random voxels every time."""

from __future__ import annotations

import math

import numpy as np
import torch

from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN

from .volumes import Volume

# 0.05 s of one core for the small network; of smooth errors the PSNR is known to 0.05 dB or so.
_VOXELS = 1 << 16
_LEAST_ERROR = 1e-16
# Where much is missing, so many times as many are tried.
_MOST_TRIES = 16.0


class Probe:
    """Voxels of a volume, all of a small one.

    Args:
        volume: the volume; not constant.
        device: where networks are.
        seed: of the choice.
    """

    def __init__(self, volume: Volume, device: torch.device, seed: int) -> None:
        flat, shape = volume.values.reshape(-1), volume.values.shape
        voxels = _choose(volume, seed)
        columns = [2.0 * index / (n - 1) - 1.0 for index, n in zip(np.unravel_index(voxels, shape), shape, strict=True)]
        low, high = volume.value_range
        targets = (flat[voxels].astype(np.float64) - low) / (high - low)
        self._points = torch.from_numpy(np.stack(columns[::-1], axis=1).astype(np.float32)).to(device)
        self._targets = torch.from_numpy(targets).to(device)

    @torch.inference_mode()
    def mean_squared_error(self, network: AMGSRN) -> float:
        """Of the network as it is now, in units of the value range squared."""
        evaluate = kernels.evaluator(network.transforms(), network.grids, *network.mlp_parameters())
        return float((evaluate(self._points)[:, 0].double() - self._targets).square().mean())

    def psnr(self, network: AMGSRN) -> float:
        """Likewise in dB; no more than float32 resolves, so that it is always a number."""
        return -10.0 * math.log10(max(self.mean_squared_error(network), _LEAST_ERROR))


def _choose(volume: Volume, seed: int) -> np.ndarray:
    """Flat indices of valid voxels, in their order: neighbours are quicker to evaluate one after the other."""
    flat = volume.values.reshape(-1)
    candidates = np.arange(min(flat.size, _VOXELS))
    if flat.size > _VOXELS:
        tries = int(_VOXELS * min(_MOST_TRIES, flat.size / volume.valid))
        candidates = np.sort(np.random.default_rng(seed).integers(0, flat.size, tries))
    found = candidates[np.isfinite(flat[candidates])]
    return found if len(found) else np.flatnonzero(np.isfinite(flat))[:_VOXELS]
