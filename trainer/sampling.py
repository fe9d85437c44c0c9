# SPDX-License-Identifier: BSD-3-Clause
"""Training samples: points of a volume and the values there.

What a step draws depends on nothing but (seed, step), and on what `state` holds, so that an interrupted fit goes on
exactly as if it had not been.
Points are (x, y, z) in [-1, 1]^3, targets are in units of each component's range: 0 is its lowest value, 1 its highest.
Missing values are never drawn; where a part is missing, correspondingly more points are tried.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch

from amgsrn_core.models import AMGSRN

from .targets import Targets
from .volumes import Volume

# Of a volume that is nearly all missing, batches are smaller rather than the search for valid points longer.
_MOST_TRIES_PER_POINT = 16.0


class Sampler(ABC):
    """Draws batches.

    Attributes:
        bias: the mean squared error of samples over that of the whole volume, about.
    """

    bias = 1.0

    @abstractmethod
    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step: points float32 (n, 3) and targets float32 (n, c), on the CPU; n may be 0 where much
        is missing."""

    def attend(self, step: int, network: AMGSRN) -> None:
        """Before a step: look at what the network has learned, if what is drawn depends on it."""
        del step, network

    def state(self) -> dict[str, torch.Tensor]:
        """What has been learned by `attend`: float32 tensors by name."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from a `state`."""
        del state  # there is none


class VolumeSampler(Sampler):
    """Draws from the values on the nodes of a volume.

    Args:
        volume: the volume; its values are not copied.
        batch: points per step, about: stratified samplers round it to a lattice, and missing values make it vary.
        seed: of the random numbers.
    """

    def __init__(self, volume: Volume, batch: int, seed: int) -> None:
        self._targets = Targets(volume)
        self._seed = seed
        self._all_valid = volume.missing == 0
        tries = min(_MOST_TRIES_PER_POINT, math.prod(volume.shape) / volume.valid)
        self.tries = max(1, round(batch * tries))

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        points, targets = self._draw(step)
        if not self._all_valid:
            valid = targets[:, 0].isfinite()
            points, targets = points[valid], targets[valid]
        return points, targets

    @abstractmethod
    def _draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Points float32 (n, 3) and targets float32 (n, c), NaN where missing."""


class UniformSampler(VolumeSampler):
    """Independent points, equally likely everywhere, values interpolated (the paper's)."""

    def _draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._targets.uniform(self.tries, self._seed, step)


class StratifiedSampler(VolumeSampler):
    """One random point in each cell of a lattice over the volume, values interpolated: less noise per batch than
    independent points."""

    _snap = False

    def __init__(self, volume: Volume, batch: int, seed: int) -> None:
        super().__init__(volume, batch, seed)
        self.lattice = lattice_shape(volume.shape, self.tries)

    def _draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._targets.lattice(self.lattice, self._seed, step, self._snap)


class VoxelSampler(StratifiedSampler):
    """A random node in each cell of a lattice, equally likely every one; nothing is interpolated.

    A network with fewer parameters than the volume has values cannot cheat between the nodes, and is better at them (by
    0.2 to 0.5 dB) when nothing else is asked of it.
    """

    _snap = True


def lattice_shape(shape: tuple[int, ...], cells: int) -> tuple[int, int, int]:
    """A lattice (z, y, x) of about `cells` cells, as near to cubes of nodes as possible; at most one cell per node."""
    counts = [1, 1, 1]
    left, free = float(cells), sorted(range(3), key=lambda axis: shape[axis])
    while free:
        nodes = np.prod([float(shape[axis]) for axis in free])
        axis = free.pop(0)
        counts[axis] = int(np.clip(round(shape[axis] * (left / nodes) ** (1.0 / (len(free) + 1))), 1, shape[axis]))
        left /= counts[axis]
    return (counts[0], counts[1], counts[2])
