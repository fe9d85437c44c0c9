# SPDX-License-Identifier: BSD-3-Clause
"""Ensembles on GPUs: points are sorted by brick, and all networks of one architecture are evaluated in one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...partition import Partition
from .. import reference_ensemble
from ..ensemble import Member, Members
from . import launch
from .ensemble import ensemble_kernel
from .entries import Entries, Geometry

# Points at a time: some 100 bytes for each of up to eight entries per point.
_BATCH = 1 << 18
# Of the reference, which does the gradients.
_REFERENCE_BATCH = 1 << 15
# Parts of a row begin at multiples of so many numbers: 64 bytes, which kernels can count on.
_ALIGNMENT = 16


def can_run(members: Sequence[Member]) -> bool:
    """Whether the kernels can work on these members: float32, and MLPs that they are made for."""
    networks = [member.network for member in members if member.network is not None]
    tensors = [tensor for member in members for tensor in member.tensors()]
    return all(launch.can_run(member.shift, None, *tensors) for member in members) and all(
        launch.fits(weights) and grids[0].numel() < launch.MAX_NODES for _, grids, weights, _ in networks
    )


class Evaluator:
    """An `EnsembleEvaluator` whose members satisfy `can_run`; gradients come from the reference."""

    def __init__(self, partition: Partition, members: Members, outputs: int) -> None:
        self._outputs = outputs
        present = {brick: member for brick, member in enumerate(members) if member is not None}
        device = next(iter(present.values())).device
        self._geometry = Geometry(partition, device)
        self._slopes = reference_ensemble.Evaluator(partition, members, outputs, _REFERENCE_BATCH)
        self._precision = launch.default_precision(device)
        # Of every brick; one that is not there adds nothing.
        self._scale = torch.zeros(partition.count, outputs, dtype=torch.float64, device=device)
        self._shift = torch.zeros_like(self._scale)
        alike: dict[tuple[object, ...], list[int]] = {}
        for brick, member in present.items():
            self._shift[brick] = member.shift
            if member.network is not None:
                self._scale[brick] = member.scale
                alike.setdefault(_architecture(member), []).append(brick)
        self._stacks = [_Stack([present[brick] for brick in bricks]) for bricks in alike.values()]
        # Of every brick: its row in each stack, or -1.
        self._rows = torch.full((len(self._stacks), partition.count), -1, device=device)
        for rows, bricks in zip(self._rows, alike.values(), strict=True):
            rows[bricks] = torch.arange(len(bricks), device=device)

    def __call__(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        return self.partial(points, fast).float()

    @torch.inference_mode()
    def partial(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        precision = "fp16" if fast else self._precision
        return torch.cat([self._sum(batch, precision) for batch in points.split(_BATCH)])

    def value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._slopes.value_and_gradient(points)

    def partial_value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._slopes.partial_value_and_gradient(points)

    @torch.inference_mode()
    def touched(self, points: torch.Tensor) -> list[int]:
        found = [torch.unique(self._geometry.entries(batch).bricks) for batch in points.split(_BATCH)]
        return torch.unique(torch.cat(found)).tolist()

    def _sum(self, points: torch.Tensor, precision: str) -> torch.Tensor:
        """Values (n, outputs) of a batch, float64, in which the order of up to eight terms does not show."""
        sums = points.new_zeros(len(points), self._outputs, dtype=torch.float64)
        entries = self._geometry.entries(points)
        # What does not depend on networks: constants, and where the values of networks begin.
        sums.index_add_(0, entries.points, self._shift[entries.bricks] * entries.weights.unsqueeze(1))
        for stack, rows in zip(self._stacks, self._rows, strict=True):
            row = rows[entries.bricks]
            mine = torch.nonzero(row >= 0)[:, 0]
            row, order = torch.sort(row[mine])
            chosen = entries.chosen(mine[order])
            values = stack.evaluate(chosen, row, precision).double() * self._scale[chosen.bricks]
            sums.index_add_(0, chosen.points, values * chosen.weights.unsqueeze(1))
        return sums


class _Stack:
    """Networks of one architecture, one per row of a tensor; the members' parameters become views of it."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._count = len(members)
        for row, member in enumerate(members):
            assert member.network is not None
            transforms, grids, weights, biases = member.network
            # Channels next to each other, as the kernel reads them.
            tensors = [transforms, grids.permute(0, 2, 3, 4, 1), *weights, *(biases or ())]
            if not row:
                sizes = [-(-tensor.numel() // _ALIGNMENT) * _ALIGNMENT for tensor in tensors]
                rows = transforms.new_empty(len(members), sum(sizes))
            views = []
            for tensor, part in zip(tensors, rows[row].split(sizes), strict=True):
                views.append(part[: tensor.numel()].view(tensor.shape))
                views[-1].copy_(tensor)
            mlp, layers = views[2:], len(weights)
            shifts = None if biases is None else mlp[layers:]
            member.network = (views[0], views[1].permute(0, 4, 1, 2, 3), mlp[:layers], shifts)
            if not row:
                self._first = member.network
        self._stride = rows.shape[1]

    def evaluate(self, entries: Entries, rows: torch.Tensor, precision: str) -> torch.Tensor:
        """Values (e, outputs) of the networks in rows int64 (e,), which ascend."""
        transforms, grids, weights, biases = self._first
        values = entries.local.new_empty(len(rows), len(weights[-1]))
        if not len(rows):
            return values
        arguments, tiles = launch.network_arguments(
            entries.local, transforms, grids, weights, biases or (), precision, backward=False
        )
        # As many programs as the points of every network need blocks.
        counts = torch.bincount(rows, minlength=self._count)
        blocks = (counts + tiles.block - 1) // tiles.block
        slots = torch.repeat_interleave(torch.arange(self._count, device=rows.device), blocks)
        past = counts.cumsum(0)
        before = torch.arange(len(slots), device=rows.device) - (blocks.cumsum(0) - blocks)[slots]
        launch.start(
            ensemble_kernel,
            (len(slots),),
            points=entries.local.contiguous(),
            slots=slots,
            firsts=(past - counts)[slots] + before * tiles.block,
            ends=past[slots],
            stride=self._stride,
            **arguments,
            values=values,
            num_warps=tiles.warps,
        )
        return values


def _architecture(member: Member) -> tuple[object, ...]:
    """Equal where networks can be in one stack."""
    assert member.network is not None
    _, grids, weights, biases = member.network
    return grids.shape, tuple(w.shape for w in weights), biases is None
