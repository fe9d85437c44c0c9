# SPDX-License-Identifier: BSD-3-Clause
"""One training step on one core: loss, gradients of features, MLP and placement, and Adam; compiled against reference."""

from __future__ import annotations

from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import reference

from .networks import network, random_points
from .timing import cpu_seconds

_BATCHES = {"small": 4096, "medium": 16384, "large": 100_000}


def run() -> list[dict[str, Any]]:
    """One row per preset."""
    rows = []
    for preset, batch in _BATCHES.items():
        net = network(preset)
        points = random_points(batch)
        targets = torch.rand(batch, 1, generator=torch.Generator().manual_seed(2))
        adam = torch.optim.Adam(net.parameters(), lr=1e-6, fused=True)

        def step(loss: Any, net: Any = net, points: Any = points, targets: Any = targets, adam: Any = adam) -> None:
            adam.zero_grad()
            loss(points, targets, net.transforms(), net.grids, *net.mlp_parameters()).backward()
            adam.step()

        seconds = cpu_seconds(
            {
                "reference": lambda step=step: step(reference.mean_squared_error),
                "native": lambda step=step: step(kernels.mean_squared_error),
            },
            rounds=3,
        )
        rows.append(
            {
                "model": preset,
                "batch": batch,
                "reference ms": 1e3 * seconds["reference"],
                "native ms": 1e3 * seconds["native"],
                "ratio": seconds["reference"] / seconds["native"],
            }
        )
    return rows
