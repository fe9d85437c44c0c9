# SPDX-License-Identifier: BSD-3-Clause
"""Many networks against one, on the CPU of one core: 64 bricks (4 x 4 x 4) of the small network, each of 256 nodes, at the
same points in the same run.

`ensemble ratio` is the ensemble's time per point to that of one small network; `fast`: the same with what pictures are made
with, each to itself. `loop` is the paper's way: for each brick, find its points, evaluate its network there, put the results
where they belong; with the fast kernels of one network (`loop`), and in PyTorch (`reference loop`). An overlap of 2 nodes
makes the field continuous, and has bricks evaluated in each other's place: `networks per point` says how many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import Member, reference
from amgsrn_core.partition import Partition

from .networks import fast_kernels, network, random_points, raster_points
from .timing import seconds_per_call

_POINTS = {"cpu": 1 << 18, "cuda": 1 << 22}
# Points per call of the reference: what keeps a device busy.
_REFERENCE_BATCH = {"cpu": 1 << 15, "cuda": 1 << 18}
_NODES, _BRICKS = 1024, (4, 4, 4)


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per overlap and order of points."""
    fast_kernels(device)
    count = _POINTS[device.type]
    rows = []
    for overlap in (0.0, 2.0):
        partition = Partition.equal_split((_NODES,) * 3, _BRICKS, overlap)
        members = [_member(device) for _ in range(partition.count)]
        ensemble = kernels.ensemble_evaluator(partition, members)
        singles = [kernels.evaluator(*_network(member)) for member in members]
        references = [_by_reference(member, _REFERENCE_BATCH[device.type]) for member in members]
        for order, points in (("random", random_points(count)), ("raster", raster_points(count))):
            points = points.to(device)
            functions = {
                "one": lambda points=points, one=singles[0]: one(points),
                "ensemble": lambda points=points, ensemble=ensemble: ensemble(points),
                "one fast": lambda points=points, one=singles[0]: one(points, fast=True),
                "ensemble fast": lambda points=points, ensemble=ensemble: ensemble(points, fast=True),
                "one gradient": lambda points=points, one=singles[0]: one.value_and_gradient(points),
                "ensemble gradient": lambda points=points, ensemble=ensemble: ensemble.value_and_gradient(points),
                "loop": lambda points=points, p=partition, m=members, s=singles: _loop(points, p, m, s),
            }
            seconds = seconds_per_call(functions, device, rounds=3)
            seconds |= seconds_per_call(
                {"reference loop": lambda points=points, p=partition, m=members, r=references: _loop(points, p, m, r)},
                device,
                rounds=1,
            )
            row: dict[str, Any] = {"overlap": int(overlap), "points": order}
            for name, spent in seconds.items():
                row[f"{name} M/s"] = len(points) / spent / 1e6
            for name in ("", " fast", " gradient"):
                row[f"ensemble{name} ratio"] = seconds[f"ensemble{name}"] / seconds[f"one{name}"]
            row["loop ratio"] = seconds["loop"] / seconds["one"]
            row["reference loop ratio"] = seconds["reference loop"] / seconds["one"]
            used = sum(int((partition.weights(points, brick) > 0).sum()) for brick in range(partition.count))
            row["networks per point"] = used / len(points)
            rows.append(row)
    return rows


def _member(device: torch.device) -> Member:
    net = network("small").to(device)
    one = torch.ones(1, device=device)
    return Member(2.0 * one, one, net.transforms(), net.grids, *net.mlp_parameters())


def _network(member: Member) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor] | None]:
    assert member.network is not None
    return member.network


@torch.inference_mode()
def _loop(
    points: torch.Tensor,
    partition: Partition,
    members: list[Member],
    networks: list[Callable[[torch.Tensor], torch.Tensor]],
) -> torch.Tensor:
    values = points.new_zeros(len(points), 1)
    owners = None if any(partition.overlap) else partition.owners(points)
    for brick, (member, evaluate) in enumerate(zip(members, networks, strict=True)):
        weights = partition.weights(points, brick) if owners is None else owners == brick
        inside = weights.nonzero().squeeze(1)
        own = evaluate(partition.to_local(points[inside], brick)) * member.scale + member.shift
        values[inside] += own if owners is not None else weights[inside].unsqueeze(1) * own
    return values


def _by_reference(member: Member, batch: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda points: torch.cat([reference.forward(part, *_network(member)) for part in points.split(batch)])
