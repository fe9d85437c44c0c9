# SPDX-License-Identifier: BSD-3-Clause
"""Ensembles on GPUs (or in Triton's interpreter) against the reference in double precision."""

from __future__ import annotations

import importlib
import os
from itertools import pairwise

import numpy as np
import pytest
import torch
from ensembles import partitions
from hypothesis import given, settings
from hypothesis import strategies as st

from amgsrn_core import kernels
from amgsrn_core.kernels import reference_ensemble
from amgsrn_core.kernels.ensemble import Member
from amgsrn_core.partition import Partition

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # see test_gpu_kernels.py
pytest.importorskip("triton")
gpu = importlib.import_module("amgsrn_core.kernels.gpu.ensemble_evaluator")
entries = importlib.import_module("amgsrn_core.kernels.gpu.entries")

few_examples = settings(max_examples=8)


def members_of(partition: Partition, seed: int, outputs: int, missing: bool) -> list[Member | None]:
    """Networks of two architectures, constants, gaps; with or without bricks that are not there."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    made: list[Member | None] = []
    for _ in range(partition.count):
        kind = int(torch.randint(5, (1,), generator=generator))
        scale, shift = random(outputs), random(outputs)
        if kind == 0 and missing:
            made.append(None)
            continue
        if kind == 1:
            made.append(Member(scale.to(DEVICE), shift.to(DEVICE)))
            continue
        m, c, hidden = (3, 2, (9,)) if kind < 4 else (5, 1, (4, 7))
        widths = [m * c, *hidden, outputs]
        transforms = torch.eye(4).repeat(m, 1, 1)
        transforms[:, :3] += 0.3 * random(m, 3, 4)
        weights = [(random(b, a) / a**0.5).to(DEVICE) for a, b in pairwise(widths)]
        biases = [random(b).to(DEVICE) for b in widths[1:]] if kind < 4 else None
        network = transforms.to(DEVICE), random(m, c, 3, 4, 5).to(DEVICE), weights, biases
        made.append(Member(scale.to(DEVICE), shift.to(DEVICE), *network))
    return made


def double(members: list[Member | None]) -> list[Member | None]:
    """The same on the CPU, in double precision."""

    def convert(member: Member) -> Member:
        scale, shift = member.scale.cpu().double(), member.shift.cpu().double()
        if member.network is None:
            return Member(scale, shift)
        transforms, grids, weights, biases = member.network
        mlp = [w.cpu().double() for w in weights], biases and [b.cpu().double() for b in biases]
        return Member(scale, shift, transforms.cpu().double(), grids.cpu().double().contiguous(), *mlp)

    return [member and convert(member) for member in members]


def points_in(partition: Partition, count: int, seed: int) -> torch.Tensor:
    """Anywhere, a little outside, too, and at the edges of bricks."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 3, generator=generator) * 2.4 - 1.2
    for axis in range(3):
        edges = torch.tensor(partition.edges[axis]) * 2 / (partition.dimensions[axis] - 1) - 1
        take = torch.rand(count, generator=generator) < 0.15
        chosen = torch.randint(len(edges), (count,), generator=generator)
        points[:, axis] = torch.where(take, edges[chosen].float(), points[:, axis])
    return points


@given(partitions(), st.integers(0, 200), st.integers(0, 2**31))
def test_entries_are_the_partition_s_weights(partition: Partition, count: int, seed: int) -> None:
    points = points_in(partition, count, seed)
    found = entries.Geometry(partition, torch.device(DEVICE)).entries(points.to(DEVICE))
    table = torch.zeros(count, partition.count, dtype=torch.float64)
    table[found.points.cpu(), found.bricks.cpu()] = found.weights.cpu()
    assert int((table > 0).sum()) == len(found.points), "a brick at most once per point"
    for brick in range(partition.count):
        expected = partition.weights(points.double(), brick)
        np.testing.assert_allclose(table[:, brick], expected, atol=1e-12)
        mine = found.bricks.cpu() == brick
        local = partition.to_local(points[found.points.cpu()[mine]], brick)
        torch.testing.assert_close(found.local.cpu()[mine], local)
    np.testing.assert_allclose(table.sum(dim=1), 1.0, atol=1e-12)


@few_examples
@given(partitions(most=3), st.integers(0, 90), st.integers(0, 2**31), st.integers(1, 3), st.booleans())
def test_values_equal_the_reference(partition: Partition, count: int, seed: int, outputs: int, missing: bool) -> None:
    members = members_of(partition, seed, outputs, missing)
    if all(member is None for member in members):
        return
    points = points_in(partition, count, seed)
    expected = reference_ensemble.values(points.double(), partition, double(members), outputs)
    evaluate = gpu.Evaluator(partition, members, outputs)
    found = evaluate(points.to(DEVICE))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.cpu().double(), expected, atol=2e-4)
    assert evaluate.partial(points.to(DEVICE)).dtype == torch.float64
    touched = [k for k in range(partition.count) if bool((partition.weights(points, k) > 0).any())]
    assert evaluate.touched(points.to(DEVICE)) == touched


def an_ensemble() -> tuple[Partition, list[Member | None]]:
    partition = Partition.equal_split((20, 15, 12), (3, 2, 2), 1.5)
    return partition, members_of(partition, 3, 2, False)


def test_many_points_go_through_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    partition, members = an_ensemble()
    points = points_in(partition, 150, 1).to(DEVICE)
    evaluate = gpu.Evaluator(partition, members, 2)
    whole = evaluate(points)
    monkeypatch.setattr(gpu, "_BATCH", 64)
    torch.testing.assert_close(evaluate(points), whole)
    assert evaluate.touched(points) == list(range(12))


def test_parts_of_an_ensemble_add_up() -> None:
    partition, members = an_ensemble()
    points = points_in(partition, 80, 2).to(DEVICE)
    even = [member if k % 2 == 0 else None for k, member in enumerate(members)]
    odd = [member if k % 2 == 1 else None for k, member in enumerate(members)]
    parts = [gpu.Evaluator(partition, some, 2).partial(points) for some in (even, odd)]
    whole = gpu.Evaluator(partition, members, 2)(points)
    torch.testing.assert_close((parts[0] + parts[1]).float(), whole)


def test_fast_values_and_gradients() -> None:
    partition, members = an_ensemble()
    points = points_in(partition, 40, 4).to(DEVICE)
    evaluate = gpu.Evaluator(partition, members, 2)
    values, gradients = evaluate.value_and_gradient(points)
    torch.testing.assert_close(values, evaluate(points), atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(evaluate(points, fast=True), values, atol=2e-2, rtol=1e-2)
    assert gradients.shape == (40, 2, 3)


def test_missing_constants_are_gaps_only_where_they_have_a_weight() -> None:
    partition = Partition.equal_split((9, 9, 9), (2, 1, 1), 1.0)
    nan, one = torch.full((1,), torch.nan, device=DEVICE), torch.ones(1, device=DEVICE)
    evaluate = gpu.Evaluator(partition, [Member(one, nan), Member(one, 7 * one)], 1)
    x = torch.tensor([-0.9, -0.1, 0.2, 0.3, 0.9])
    values = evaluate(torch.stack([x, 0 * x, 0 * x], dim=1).to(DEVICE))[:, 0].cpu()
    assert values.isnan().tolist() == [True, True, True, False, False]
    assert values[3:].tolist() == [7.0, 7.0]


def test_members_are_in_memory_once() -> None:
    partition, members = an_ensemble()
    before = [member.network[1].clone() if member and member.network else None for member in members]
    gpu.Evaluator(partition, members, 2)
    storages = set()
    for member, grids in zip(members, before, strict=True):
        if member is not None and member.network is not None:
            assert torch.equal(member.network[1], grids)
            storages.add(member.network[1].untyped_storage().data_ptr())
            assert member.network[0].untyped_storage().data_ptr() in storages
    assert len(storages) == 2  # one for each architecture


def test_dispatch_uses_triton_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", "triton")
    partition, members = an_ensemble()
    assert isinstance(kernels.ensemble_evaluator(partition, members), gpu.Evaluator)
    wide = Member(torch.ones(20), torch.ones(20), torch.eye(4)[None], torch.ones(1, 1, 2, 2, 2), [torch.ones(20, 1)])
    one = Partition.equal_split((4, 4, 4), (1, 1, 1))
    if DEVICE == "cpu":
        assert isinstance(kernels.ensemble_evaluator(one, [wide]), reference_ensemble.Evaluator)
