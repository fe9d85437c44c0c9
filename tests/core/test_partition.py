# SPDX-License-Identifier: BSD-3-Clause
"""Bricks of a volume against the paper's formulas and brute force."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from ensembles import partitions
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core.errors import InvalidPartition
from amgsrn_core.partition import Partition


def points_for(partition: Partition, seed: int, size: float = 1.1) -> torch.Tensor:
    """Random points, and points about all edges and ends of blending."""
    generator = torch.Generator().manual_seed(seed)
    points = size * (torch.rand(200, 3, generator=generator, dtype=torch.float64) * 2 - 1)
    for axis in range(3):
        special = [s + f * partition.blend_width(axis) for s in partition.blend_starts(axis) for f in (0, 0.5, 1)]
        for k, coordinate in enumerate(special[:60]):
            points[3 * k : 3 * k + 3, axis] = coordinate + torch.tensor([-1e-9, 0.0, 1e-9])
    return points


@given(
    st.tuples(*[st.integers(2, 40)] * 3).flatmap(
        lambda n: st.tuples(st.just(n), st.tuples(*[st.integers(1, min(7, k - 1)) for k in n]))
    ),
    st.integers(0, 2**31),
)
def test_equal_bricks_without_overlap_are_the_papers(
    sizes: tuple[tuple[int, int, int], tuple[int, int, int]], seed: int
) -> None:
    dimensions, bricks = sizes
    partition = Partition.equal_split(dimensions, bricks)
    assert (partition.bricks, partition.count) == (bricks, math.prod(bricks))
    points = np.random.default_rng(seed).uniform(-1.3, 1.3, (300, 3))
    index = [np.clip(np.floor((points[:, a] + 1) / 2 * bricks[a]).astype(int), 0, bricks[a] - 1) for a in range(3)]
    expected = index[0] + bricks[0] * (index[1] + bricks[1] * index[2])
    assert partition.owners(torch.from_numpy(points)).tolist() == expected.tolist()
    for brick in set(expected):
        np.testing.assert_array_equal(partition.weights(torch.from_numpy(points), brick), expected == brick)
        x, y, z = partition.position(brick)
        assert brick == x + bricks[0] * (y + bricks[1] * z)


def test_hand_computed_bricks() -> None:
    partition = Partition((11, 5, 3), ((0.0, 4.5, 10.0), (0.0, 4.0), (0.0, 1.0, 2.0)), (2.0, 0.0, 0.0))
    assert partition.bricks == (2, 1, 2)
    assert partition.core(3) == ((4.5, 10.0), (0.0, 4.0), (1.0, 2.0))
    assert partition.extent(0) == ((0, 7), (0, 4), (0, 1))
    assert partition.extent(3) == ((2, 10), (0, 4), (1, 2))
    points = torch.tensor([[4.5, 0.0, 1.0], [3.5, 0.0, 0.5], [2.5, 0.0, 0.5], [6.5, 0.0, 2.0]], dtype=torch.float64)
    normalized = points / torch.tensor([5.0, 2.0, 1.0]) - 1
    assert partition.owners(normalized).tolist() == [3, 0, 0, 3]
    np.testing.assert_allclose(partition.weights(normalized, 1), [0, 0.25**2 * 2.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(partition.weights(normalized, 3), [0.5, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(partition.to_local(normalized, 3)[:, 0], [-0.375, -0.625, -0.875, 0.125], atol=1e-12)


@given(partitions(), st.integers(0, 2**31))
def test_weights_sum_to_one_inside_the_extents_only(partition: Partition, seed: int) -> None:
    points = points_for(partition, seed)
    owners, total = partition.owners(points), torch.zeros(len(points), dtype=torch.float64)
    inside = points.clamp(-1, 1)
    for brick in range(partition.count):
        weights = partition.weights(points, brick)
        total += weights
        assert float(weights.min()) >= 0
        used = partition.to_local(inside, brick)[weights > 0]
        assert float(used.abs().max() if len(used) else 0) <= 1 + 1e-9
        if max(partition.overlap) > 0:  # the owner has the greatest weight along each axis
            assert float(weights[owners == brick].min() if (owners == brick).any() else 1) >= 0.125 - 1e-6
    np.testing.assert_allclose(total, 1, atol=1e-12)


@given(partitions(), st.integers(0, 2**31))
def test_weights_change_gradually_where_there_is_overlap(partition: Partition, seed: int) -> None:
    points, step = points_for(partition, seed), 1e-7
    for axis in range(3):
        if partition.overlap[axis] == 0 or partition.bricks[axis] == 1:
            continue
        shift = step * torch.eye(3, dtype=torch.float64)[axis]
        for brick in range(partition.count):
            points.requires_grad_()
            (slope,) = torch.autograd.grad(partition.weights(points, brick).sum(), points)
            points = points.detach()
            change = partition.weights(points + shift, brick) - partition.weights(points - shift, brick)
            steepest = 1.5 / partition.blend_width(axis)
            np.testing.assert_allclose(change / (2 * step) / steepest, slope[:, axis] / steepest, atol=1e-4)


@given(partitions())
def test_extents_are_whole_nodes_about_the_cores_and_cover_all(partition: Partition) -> None:
    seen = np.zeros(partition.dimensions, dtype=int)
    for brick in range(partition.count):
        for axis, ((low, high), (first, last)) in enumerate(
            zip(partition.core(brick), partition.extent(brick), strict=True)
        ):
            overlap, end = partition.overlap[axis], partition.dimensions[axis] - 1
            assert 0 <= first <= low
            assert high <= last <= end
            assert first == 0 or low - overlap - 1 < first <= low - overlap
            assert last == end or high + overlap <= last < high + overlap + 1
            corner = [[2 * node / end - 1] * 3 for node in (first, last)]
            local = partition.to_local(torch.tensor(corner, dtype=torch.float64), brick)
            np.testing.assert_allclose(local[:, axis], [-1, 1], atol=1e-12)
        seen[tuple(slice(math.ceil(low), math.floor(high) + 1) for low, high in partition.core(brick))] += 1
    assert seen.min() >= 1
    nodes = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in partition.dimensions], indexing="ij"), -1)
    owners = partition.owners(torch.from_numpy(nodes.reshape(-1, 3))).numpy().reshape(partition.dimensions)
    for brick in range(partition.count):
        interior = [slice(math.floor(low) + 1, math.ceil(high)) for low, high in partition.core(brick)]
        assert (owners[tuple(interior)] == brick).all()


@given(partitions())
def test_json_round_trip(partition: Partition) -> None:
    data = json.loads(json.dumps(partition.to_dict()))
    assert data["bricks"] == list(partition.bricks)
    assert Partition.from_dict(data, partition.dimensions) == partition


def test_one_number_is_the_overlap_along_every_axis() -> None:
    edges = [[0, 5, 9]] * 3
    assert Partition.from_dict({"edges": edges, "overlap": 2}, (10, 10, 10)).overlap == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("edges", "overlap", "message"),
    [
        ((0.0, 5.0, 5.0, 9.0), 0.0, "edges along y must ascend from 0 to 9, not 0, 5, 5, 9"),
        ((1.0, 9.0), 0.0, "edges along y must ascend"),
        ((0.0, 8.0), 0.0, "edges along y must ascend"),
        ((0.0, math.nan, 9.0), 0.0, "edges along y must ascend"),
        ((), 0.0, "edges along y must ascend from 0 to 9, not nothing"),
        ((0.0, 2.0, 9.0), -1.0, "an overlap of -1.0 nodes along y is not possible"),
        ((0.0, 2.0, 9.0), math.nan, "an overlap of nan nodes along y is not possible"),
        ((0.0, 2.0, 9.0), 1.1, "an overlap of 1.1 nodes along y is too large for bricks of 2 nodes"),
    ],
)
def test_impossible_partitions_are_refused(edges: tuple[float, ...], overlap: float, message: str) -> None:
    with pytest.raises(InvalidPartition, match=message):
        Partition((3, 10, 3), ((0.0, 2.0), edges, (0.0, 2.0)), (0.0, overlap, 0.0))


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(InvalidPartition, match="10 bricks along y are not possible with 10 nodes"):
        Partition.equal_split((10, 10, 10), (1, 10, 1))
    with pytest.raises(InvalidPartition, match="0 bricks along x"):
        Partition.equal_split((10, 10, 10), (0, 1, 1))
    with pytest.raises(InvalidPartition, match=r"1 node\(s\) along x"):
        Partition.equal_split((1, 10, 10), (1, 1, 1))
    with pytest.raises(InvalidPartition, match="give x, y and z"):
        Partition.equal_split((10, 10, 10), (2, 2))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"edges": 3, "overlap": 0},
        {"edges": [[0, 9]] * 2, "overlap": 0},
        {"edges": [[0, 9]] * 3, "overlap": "2"},
        {"edges": [[0, 9]] * 3, "overlap": [0, 0]},
        {"edges": [[0, 9]] * 3, "overlap": 0, "bricks": [1, 2, 1]},
        {"edges": [[0, "a"]] * 3, "overlap": 0},
    ],
)
def test_unreadable_partitions_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidPartition):
        Partition.from_dict(data, (10, 10, 10))


def test_bricks_are_counted_from_zero() -> None:
    partition = Partition.equal_split((10, 10, 10), (2, 2, 2))
    for brick in (-1, 8):
        with pytest.raises(IndexError):
            partition.extent(brick)


def test_any_number_of_bricks_covers_an_axis() -> None:
    for count in range(1, 10):
        extents = Partition.equal_split((10, 2, 2), (count, 1, 1), 0.0).axis_extents(0)
        assert (extents[0][0], extents[-1][1]) == (0, 9)
        assert all(a[1] >= b[0] for a, b in pairwise(extents))
