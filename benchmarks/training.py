# SPDX-License-Identifier: BSD-3-Clause
"""One training step, on the CPU on one core: loss, gradients of features, MLP and placement, and Adam; fast kernels against
the reference.

`lattice` points are those that a fit draws (one in each cell of a lattice, brick by brick), `random` ones are independent.
The reference learns from the same points in the same run.
"""

from __future__ import annotations

from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import reference
from amgsrn_core.kernels.fitting import TorchFit

from .networks import fast_kernels, lattice_points, network, random_points
from .timing import seconds_per_call

_BATCHES = {"small": 4096, "medium": 16384, "large": 100_000}
_RATES = kernels.Rates(1e-6, 1e-6, 1e-6)


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per preset and order of points."""
    fast = fast_kernels(device)
    rows = []
    for preset, batch in _BATCHES.items():
        for order, points in (("lattice", lattice_points(batch)), ("random", random_points(batch))):
            points = points.to(device)
            targets = torch.rand(len(points), 1, generator=torch.Generator().manual_seed(2)).to(device)
            learned = network(preset).to(device).learned()
            twin = TorchFit(network(preset).to(device).learned(), kernels.AdamSettings(), reference.mean_squared_error)
            state = kernels.fit_state(learned)

            def step(state: kernels.FitState, points: Any = points, targets: Any = targets) -> None:
                state.step(points, targets, _RATES)

            seconds = seconds_per_call(
                {
                    "reference": lambda step=step, twin=twin: step(twin),
                    fast: lambda step=step, state=state: step(state),
                },
                device,
                rounds=5,
            )
            rows.append(
                {
                    "model": preset,
                    "batch": batch,
                    "points": order,
                    "reference ms": 1e3 * seconds["reference"],
                    f"{fast} ms": 1e3 * seconds[fast],
                    "ratio": seconds["reference"] / seconds[fast],
                }
            )
    return rows
