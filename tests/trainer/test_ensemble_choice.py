# SPDX-License-Identifier: BSD-3-Clause
"""Into which bricks a volume is cut, how many at a time, and what goals become of each."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core.partition import Partition
from trainer.ensemble.choice import Grid, Resources, choose_bricks, choose_partition, fits_comfortably, workers_within
from trainer.ensemble.cuts import cuts_along_chunks, equal_cuts, read_factor
from trainer.ensemble.goals import brick_settings
from trainer.ensemble.memory import PROCESS_BYTES, fit_bytes, tree_bytes, values_within
from trainer.ensemble.plan import parse_bricks, parse_numbers
from trainer.ensemble.task import BrickTask
from trainer.errors import InvalidOption, TargetSizeTooSmall
from trainer.settings import FitSettings

GIB = 2**30
PARAMETERS = 71_000


def resources(memory=8 * GIB, workers=2, asked=False, elsewhere=False):
    return Resources(memory, workers, asked, PARAMETERS, elsewhere)


def chunked(nodes, chunk):
    return Grid(nodes, 1, tuple(list(range(0, n, chunk)) for n in nodes))


def largest(grid, bricks, overlap):
    partition = choose_partition(grid, bricks, overlap)
    return max(math.prod(b - a + 1 for a, b in partition.extent(k)) for k in range(partition.count)) * grid.components


def test_what_fits_comfortably_is_one_brick():
    assert choose_bricks(Grid((256, 256, 256)), resources(), 2.0) == (1, 1, 1)
    assert choose_bricks(Grid((1024, 1024, 1024)), resources(64 * GIB), 2.0) == (1, 1, 1)


def test_workers_that_were_asked_for_all_get_bricks():
    bricks = choose_bricks(Grid((256, 256, 256)), resources(32 * GIB, 8, asked=True), 2.0)
    assert sorted(bricks) == [2, 2, 2]
    # A volume too small for that has as many as there can be.
    assert math.prod(choose_bricks(Grid((60, 60, 60)), resources(32 * GIB, 100, asked=True), 2.0)) == 8


@given(
    nodes=st.tuples(*[st.integers(100, 2000)] * 3),
    components=st.integers(1, 3),
    chunk=st.sampled_from([None, 16, 64, 128]),
    memory=st.floats(1.2, 64.0),
    workers=st.integers(1, 16),
    overlap=st.sampled_from([0.0, 1.0, 2.0, 2.5, 4.0]),
)
def test_chosen_bricks_fit_into_the_memory_and_are_about_cubes(nodes, components, chunk, memory, workers, overlap):
    starts = None if chunk is None else tuple(list(range(0, n, chunk)) for n in nodes)
    grid, available = Grid(nodes, components, starts), resources(int(memory * GIB), workers)
    bricks = choose_bricks(grid, available, overlap)
    values = largest(grid, bricks, overlap)
    running = workers_within(values, available, math.prod(bricks))
    if bricks == (1, 1, 1):
        return
    used = PROCESS_BYTES + running * (PROCESS_BYTES + fit_bytes(values, PARAMETERS))
    assert used <= available.memory
    widths = [n / count for n, count in zip(nodes, bricks, strict=True)]
    cut = [width for width, count in zip(widths, bricks, strict=True) if count > 1]
    assert max(widths) <= 4.0 * min(cut), "a brick is much longer than wide, though it could have been cut"


def test_fewer_bricks_at_a_time_rather_than_tiny_ones():
    grid = Grid((1024, 1024, 1024))
    bricks = choose_bricks(grid, resources(2 * GIB, 16), 2.0)
    assert largest(grid, bricks, 2.0) >= 2**21
    assert 1 < workers_within(largest(grid, bricks, 2.0), resources(2 * GIB, 16), math.prod(bricks)) < 16


def test_too_little_memory_is_said_with_what_is_needed():
    with pytest.raises(InvalidOption, match=r"--max-memory 300000000 is too small: .* need about [\d,]+ bytes"):
        choose_bricks(Grid((512, 512, 512)), resources(300_000_000), 2.0)
    with pytest.raises(InvalidOption, match="smaller bricks with --bricks"):
        workers_within(10**9, resources(GIB), 8)
    assert workers_within(10**9, resources(GIB, 7, elsewhere=True), 8) == 7


def test_networks_that_share_a_size_need_a_part_of_its_memory_each():
    """A file of 1 GB: one network of it would need 48 GB, and bricks are small enough for theirs."""
    together = Resources(8 * GIB, 4, False, 500_000_000, shared=True)
    grid = Grid((1024, 1024, 1024))
    assert not fits_comfortably(Grid((32, 32, 32)), together)
    bricks = choose_bricks(grid, together, 2.0)
    count, values = math.prod(bricks), largest(grid, bricks, 2.0)
    running = workers_within(values, together, count)
    assert PROCESS_BYTES + running * (PROCESS_BYTES + fit_bytes(values, 500_000_000 // count)) <= 8 * GIB
    assert running > 1
    with pytest.raises(InvalidOption):
        workers_within(values, together, 1)


def test_memory_of_a_fit_and_values_that_fit_belong_together():
    for values in (10**5, 10**7, 10**9):
        assert values_within(fit_bytes(values, PARAMETERS), PARAMETERS) == pytest.approx(values, abs=2)
    assert values_within(1000, PARAMETERS) == 0


def test_the_memory_of_a_process_is_what_the_system_says():
    import os

    assert tree_bytes([os.getpid()]) > 10 << 20
    assert tree_bytes([2**22 + 1]) == 0


def test_cuts_follow_chunks():
    cuts = cuts_along_chunks(1024, 4, 2.0, range(0, 1024, 64))
    assert cuts == [0.0, 253.0, 509.0, 765.0, 1023.0]
    partition = choose_partition(chunked((1024,) * 3, 64), (4, 4, 4), 2.0)
    assert partition.axis_extents(0) == [(0, 255), (251, 511), (507, 767), (763, 1023)]
    # Chunks as large as bricks, or larger, have no end near a cut.
    assert cuts_along_chunks(100, 4, 2.0, [0, 90]) == equal_cuts(100, 4)


@given(
    nodes=st.integers(60, 400),
    chunk=st.integers(1, 70),
    bricks=st.integers(1, 6),
    overlap=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]),
)
def test_partitions_are_whole_whatever_the_chunks(nodes, chunk, bricks, overlap):
    grid = Grid((nodes, nodes, nodes), 1, (list(range(0, nodes, chunk)),) * 3)
    partition = choose_partition(grid, (bricks, 1, 1), overlap)
    assert partition.bricks == (bricks, 1, 1)
    assert all(a < b for a, b in pairwise(partition.edges[0]))
    widths = [b - a for a, b in pairwise(partition.edges[0])]
    assert max(widths) <= 2.0 * (nodes - 1) / bricks


@given(
    dimensions=st.tuples(*[st.integers(30, 60)] * 3),
    bricks=st.tuples(*[st.integers(1, 3)] * 3),
    overlap=st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5]),
)
def test_every_node_belongs_to_one_brick(dimensions, bricks, overlap):
    partition = Partition.equal_split(dimensions, bricks, overlap)
    owners = [0] * dimensions[0]
    for x in range(bricks[0]):
        first, last = task(partition, x).own[0]
        for node in range(first, last + 1):
            owners[node] += 1
    assert owners == [1] * dimensions[0]
    for brick in range(partition.count):
        for own, extent in zip(task(partition, brick).own, partition.extent(brick), strict=True):
            assert extent[0] <= own[0] <= own[1] <= extent[1]


def task(partition, brick):
    return BrickTask(brick, "", ("v",), None, None, partition, FitSettings.of())


@pytest.mark.parametrize(
    ("bricks", "message"),
    [((40, 1, 1), "the volume has 50 nodes along x, enough for 12 bricks"), ((1, 1, 50), "along z")],
)
def test_bricks_thinner_than_their_overlap_are_refused(bricks, message):
    with pytest.raises(InvalidOption, match=message):
        choose_partition(Grid((50, 50, 50)), bricks, 2.0)


def test_reading_costs_what_chunks_cost():
    assert read_factor([(0, 63), (64, 127)], range(0, 128, 64), 128) == 1.0
    # The second needs 8 nodes of the first's chunk.
    assert read_factor([(0, 63), (56, 127)], range(0, 128, 64), 128) == (64 + 128) / (64 + 72)
    assert read_factor([(0, 63), (56, 127)], None, 128) == 1.0


def test_goals_are_shared_out():
    settings = FitSettings.of(target_size=1_000_000, seed=7)
    bricks = [brick_settings(settings, k, 8, 2) for k in range(8)]
    assert sum(brick.target_size for brick in bricks) <= 1_000_000
    assert [brick.seed for brick in bricks] == list(range(7, 15))
    assert brick_settings(FitSettings.of(time_budget=60.0), 0, 8, 3).time_budget == 20.0
    with pytest.raises(TargetSizeTooSmall):
        brick_settings(FitSettings.of(target_size=100), 0, 8, 2)


@pytest.mark.parametrize("text", ["", "1,2", "0,1,1", "1,1,-1", "a,b,c", "1,1,1,1", "1.5,1,1"])
def test_what_are_no_bricks(text):
    with pytest.raises(InvalidOption, match="--bricks"):
        parse_bricks(text)


def test_numbers():
    assert parse_bricks("4, 4,2") == (4, 4, 2)
    assert parse_numbers("--only-bricks", "3") == (3,)
