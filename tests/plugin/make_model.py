# SPDX-License-Identifier: BSD-3-Clause
"""Makes small, smooth .amgsrn models for the tests of the ParaView plugin: python make_model.py OUT.amgsrn KIND.

Kinds: 'uniform' (64 x 56 x 48 nodes, physical bounds, units, a time), 'rectilinear' (x nodes that get sparser), 'fine' (the same
function on 193 x 169 x 145 nodes: its picture takes three times as long) and 'large' (on 601 x 501 x 401 nodes, without a time).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from amgsrn_core import ArrayInfo, Axis, Domain, save_field
from amgsrn_core.models.amgsrn import AMGSRN, AMGSRNConfig, AMGSRNField

VALUE_RANGE = (-2.0, 6.0)


def analytic(points: torch.Tensor) -> torch.Tensor:
    """Smooth shells in [0, 1], at normalized points (n, 3) -> (n, 1)."""
    radius = points.norm(dim=1)
    shells = 0.5 + 0.5 * torch.sin(9.0 * radius - 2.0 * torch.sin(3.0 * points[:, 0]) * points[:, 1])
    return (shells * (1.2 - radius).clamp(0.0, 1.0)).unsqueeze(1)


def domain(kind: str) -> Domain:
    """Where the test models live."""
    x = Axis.uniform(64, -1.0, 2.0 / 63.0)
    if kind == "rectilinear":
        x = Axis.rectilinear(-1.0 + 2.0 * np.linspace(0.0, 1.0, 64) ** 1.5)
    if kind == "large":
        axes = (
            Axis.uniform(601, -1.0, 2 / 600),
            Axis.uniform(501, -0.9, 1.8 / 500),
            Axis.uniform(401, -0.8, 1.6 / 400),
        )
        return Domain(axes, ("m", "m", "m"))
    if kind == "fine":
        axes = (
            Axis.uniform(193, -1.0, 2 / 192),
            Axis.uniform(169, -0.9, 1.8 / 168),
            Axis.uniform(145, -0.8, 1.6 / 144),
        )
        return Domain(axes, ("m", "m", "m"), time=2.5, time_units="s")
    axes = (x, Axis.uniform(56, -0.9, 1.8 / 55.0), Axis.uniform(48, -0.8, 1.6 / 47.0))
    return Domain(axes, ("m", "m", "m"), time=2.5, time_units="s")


def make_model(path: Path, kind: str = "uniform", steps: int = 400) -> None:
    """Fit a small network to the analytic function and save it."""
    torch.manual_seed(0)
    network = AMGSRN(AMGSRNConfig(grids=8, resolution=(12, 12, 12), hidden=(32, 32), bias=True))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        points = 2.0 * torch.rand(4096, 3) - 1.0
        loss = torch.nn.functional.mse_loss(network(points), analytic(points))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    array = ArrayInfo("density", "kg/m^3", VALUE_RANGE, 1)
    save_field(path, AMGSRNField(network, domain(kind), array), {"recipe": "test", "loss": float(loss.detach())})
    print(f"{path}: mean squared error {float(loss.detach()):.2e}")


if __name__ == "__main__":
    make_model(Path(sys.argv[1]), *sys.argv[2:3])
