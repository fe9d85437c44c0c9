# SPDX-License-Identifier: BSD-3-Clause
"""One training step on one core: loss, gradients of features, MLP and placement, and Adam; compiled against reference.

`lattice` points are those that a fit draws (one in each cell of a lattice, brick by brick), `random` ones are independent.
The reference learns from the same points in the same run.
"""

from __future__ import annotations

from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import reference
from amgsrn_core.kernels.fitting import TorchFit

from .networks import lattice_points, network, random_points
from .timing import cpu_seconds

_BATCHES = {"small": 4096, "medium": 16384, "large": 100_000}
_RATES = kernels.Rates(1e-6, 1e-6, 1e-6)


def run() -> list[dict[str, Any]]:
    """One row per preset and order of points."""
    rows = []
    for preset, batch in _BATCHES.items():
        for order, points in (("lattice", lattice_points(batch)), ("random", random_points(batch))):
            targets = torch.rand(len(points), 1, generator=torch.Generator().manual_seed(2))
            learned = network(preset).learned()
            twin = TorchFit(network(preset).learned(), kernels.AdamSettings(), reference.mean_squared_error)
            native = kernels.fit_state(learned)

            def step(state: kernels.FitState, points: Any = points, targets: Any = targets) -> None:
                state.step(points, targets, _RATES)

            seconds = cpu_seconds(
                {
                    "reference": lambda step=step, twin=twin: step(twin),
                    "native": lambda step=step, native=native: step(native),
                },
                rounds=5,
            )
            rows.append(
                {
                    "model": preset,
                    "batch": batch,
                    "points": order,
                    "reference ms": 1e3 * seconds["reference"],
                    "native ms": 1e3 * seconds["native"],
                    "ratio": seconds["reference"] / seconds["native"],
                }
            )
    return rows
