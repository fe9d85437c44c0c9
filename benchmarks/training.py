# SPDX-License-Identifier: BSD-3-Clause
"""One training step, on the CPU on one core: loss, gradients of features, MLP and placement, and Adam; fast kernels against
the reference."""

from __future__ import annotations

from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import reference

from .networks import fast_kernels, network, random_points
from .timing import seconds_per_call

_BATCHES = {"small": 4096, "medium": 16384, "large": 100_000}


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per preset."""
    fast = fast_kernels(device)
    rows = []
    for preset, batch in _BATCHES.items():
        net = network(preset).to(device)
        points = random_points(batch).to(device)
        targets = torch.rand(batch, 1, generator=torch.Generator().manual_seed(2)).to(device)
        adam = torch.optim.Adam(net.parameters(), lr=1e-6, fused=True)

        def step(loss: Any, net: Any = net, points: Any = points, targets: Any = targets, adam: Any = adam) -> None:
            adam.zero_grad()
            loss(points, targets, net.transforms(), net.grids, *net.mlp_parameters()).backward()
            adam.step()

        seconds = seconds_per_call(
            {
                "reference": lambda step=step: step(reference.mean_squared_error),
                fast: lambda step=step: step(kernels.mean_squared_error),
            },
            device,
            rounds=3,
        )
        rows.append(
            {
                "model": preset,
                "batch": batch,
                "reference ms": 1e3 * seconds["reference"],
                f"{fast} ms": 1e3 * seconds[fast],
                "ratio": seconds["reference"] / seconds[fast],
            }
        )
    return rows
