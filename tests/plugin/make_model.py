# SPDX-License-Identifier: BSD-3-Clause
"""Makes small .amgsrn models for the tests of the ParaView plugin: python make_model.py OUT.amgsrn KIND.

Smooth, fitted: 'uniform' (64 x 56 x 48 nodes, physical bounds, units, a time), 'rectilinear' (x nodes that get sparser), 'fine' (the
same function on 193 x 169 x 145 nodes: its picture takes three times as long), 'large' (on 601 x 501 x 401 nodes, without a time)
and 'gaps' (uniform, with nothing in a ball and in a corner).

Linear, exactly: 'vector' (three components: `ROTATION` times the position) and 'series' (the normalized x, y and z at the times
`TIMES`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from amgsrn_core import ArrayInfo, Axis, Domain, save_field
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField, Mask, MaskedField
from amgsrn_core.storage import ModelHeader, part_of_field, series_description, step_prefix, write_tree

VALUE_RANGE = (-2.0, 6.0)
# Turns about the z axis; along it, away from z = 0.
ROTATION = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.3))
TIMES = (0.0, 1.0, 4.0)


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


def valid(kind_domain: Domain) -> np.ndarray:
    """Where the model with gaps has values: bool [z, y, x]."""
    x, y, z = np.meshgrid(*(axis.nodes() for axis in kind_domain.axes), indexing="ij")
    ball = (x - 0.3) ** 2 + (y + 0.2) ** 2 + (z - 0.2) ** 2 < 0.45**2
    corner = (x < -0.2) & (y > 0.1) & (z > 0.05)
    return ~(ball | corner).transpose(2, 1, 0)


def fitted(kind: str, steps: int = 400) -> tuple[AMGSRNField, float]:
    """A small network fitted to the analytic function, and its mean squared error."""
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
    return AMGSRNField(network, domain(kind), array), float(loss.detach())


@torch.no_grad()
def linear(matrix: Sequence[Sequence[float]], array: ArrayInfo, lives: Domain) -> AMGSRNField:
    """A network whose values are exactly matrix (components, 3) times the normalized position, within `array`'s ranges.

    Each grid's feature is a coordinate; the layers split it into its positive and its negative part and put those together.
    """
    rows, ends = torch.tensor(matrix), torch.tensor(array.ranges)
    low, width = ends[:, :1], ends[:, 1:] - ends[:, :1]
    network = AMGSRN(AMGSRNConfig(grids=3, resolution=(2, 2, 2), hidden=(6,), outputs=array.components, bias=True))
    # Boxes a little larger than the domain, so that no point of it is outside by round-off.
    network.placement.matrices.copy_(torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0])).expand(3, 4, 4))
    nodes = torch.tensor([-2.0, 2.0])
    z, y, x = torch.meshgrid(nodes, nodes, nodes, indexing="ij")
    network.grids.copy_(torch.stack([x, y, z]).unsqueeze(1))
    split, join = network.layers
    split.weight.copy_(torch.cat([torch.eye(3), -torch.eye(3)]))
    join.weight.copy_(torch.cat([rows, -rows], dim=1) / width)
    join.bias.copy_((-low / width).squeeze(1))
    return AMGSRNField(network, lives, array)


def series() -> tuple[ModelHeader, list[tuple[str, Any]]]:
    """What `write_tree` needs for the time series."""
    array = ArrayInfo("density", "kg/m^3", VALUE_RANGE, 1)
    lives = replace(domain("uniform"), time=TIMES[0])
    steps = [part_of_field(linear([row], array, lives)) for row in np.eye(3).tolist()]
    architecture = series_description(TIMES, [step.node for step in steps])
    return ModelHeader(architecture, lives, array), [(step_prefix(i), step.tensors) for i, step in enumerate(steps)]


def make_model(path: Path, kind: str = "uniform") -> None:
    """Make one and save it."""
    if kind == "series":
        write_tree(path, *series())
    elif kind == "vector":
        bounds = tuple((-sum(map(abs, row)), sum(map(abs, row))) for row in ROTATION)
        array = ArrayInfo("velocity", "m/s", (-1.0, 1.0), 3, ("u", "v", "w"), bounds)
        cube = Domain((Axis.uniform(41, -1.0, 2 / 40),) * 3, ("m", "m", "m"))
        save_field(path, linear(ROTATION, array, cube))
    else:
        field, error = fitted("uniform" if kind == "gaps" else kind)
        training = {"recipe": "test", "loss": error}
        save_field(path, MaskedField(field, Mask.of(valid(field.domain))) if kind == "gaps" else field, training)
        print(f"{path}: mean squared error {error:.2e}")


if __name__ == "__main__":
    make_model(Path(sys.argv[1]), *sys.argv[2:3])
