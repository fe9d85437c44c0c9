# SPDX-License-Identifier: BSD-3-Clause
"""A volume's values as networks learn them: in units of each component's range, 0 its low end, 1 its high end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from amgsrn_core import kernels

from .volumes import Volume

# What the sampling kernels take at a time.
_MOST_COMPONENTS = 4
# Of the kernels, for components of different ranges: they are scaled afterwards.
_AS_IT_IS = (0.0, 1.0)

Drawn = tuple[torch.Tensor, torch.Tensor]


class Targets:
    """What a network should answer at points of a volume.

    Points are float32 (n, 3) in [-1, 1]^3, targets float32 (n, c); NaN in all components where a value is missing.

    Args:
        volume: its values are not copied, unless it has more than four components.
    """

    def __init__(self, volume: Volume) -> None:
        values = torch.from_numpy(volume.values)
        self._flat = values.flatten(0, 2)
        parts = [values] if volume.components <= _MOST_COMPONENTS else values.split(_MOST_COMPONENTS, dim=3)
        self._parts = [part.squeeze(3) if volume.components == 1 else part.contiguous() for part in parts]
        ranges = [(float(low), float(high)) for low, high in volume.output_ranges]
        lows = [float(np.float32(low)) for low, _ in ranges]
        scales = [1.0 / (high - low) if high > low else 0.0 for low, high in ranges]
        self._only = (lows[0], scales[0])
        self._lows, self._scales = torch.tensor(lows, dtype=torch.float64), torch.tensor(scales, dtype=torch.float64)

    def uniform(self, count: int, seed: int, step: int) -> Drawn:
        """Independent points, equally likely everywhere, values interpolated."""
        return self._draw(lambda part, scaling: kernels.uniform_samples(part, count, scaling, seed, step))

    def lattice(self, lattice: tuple[int, int, int], seed: int, step: int, snap: bool) -> Drawn:
        """One random point, or node with `snap`, in each cell of a lattice (z, y, x)."""
        return self._draw(lambda part, scaling: kernels.lattice_samples(part, lattice, scaling, seed, step, snap))

    def at_nodes(self, nodes: torch.Tensor) -> torch.Tensor:
        """At nodes, given by their flat indices int64 (n,)."""
        return self._scaled(self._flat[nodes])

    def at(self, points: torch.Tensor) -> torch.Tensor:
        """At any points, interpolated."""
        samples = [kernels.sample_volume(part, points).reshape(len(points), -1) for part in self._parts]
        return self._scaled(torch.cat(samples, dim=1))

    def _draw(self, kernel: Callable[[torch.Tensor, tuple[float, float]], Drawn]) -> Drawn:
        """What a kernel draws; it draws the same points from every part of the components."""
        if self._flat.shape[1] == 1:
            points, samples = kernel(self._parts[0], self._only)
            return points, samples.unsqueeze(1)
        drawn = [kernel(part, _AS_IT_IS) for part in self._parts]
        return drawn[0][0], self._scaled(torch.cat([samples for _, samples in drawn], dim=1))

    def _scaled(self, values: torch.Tensor) -> torch.Tensor:
        # The largest values of float32 differ by more than float32 holds.
        return ((values.double() - self._lows) * self._scales).float()
