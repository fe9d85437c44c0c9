# SPDX-License-Identifier: BSD-3-Clause
"""Bricks read with their neighbours' layers are the same as bricks read from the file, and no chunk is decoded in vain."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amgsrn_core import Axis, Domain
from trainer.ensemble.choice import Grid, choose_partition
from trainer.ensemble.halos import Halos, neighbour, read_brick
from trainer.volumes.lattice import LatticeReader, StoredArray
from trainer.volumes.reader import VariableInfo
from trainer.volumes.region import slices
from trainer.volumes.tiles import decoded_values


class ArrayReader(LatticeReader):
    """An array that is read as a chunked file is."""

    def __init__(self, values, chunks, flips=(False, False, False)):
        super().__init__(Path("array"))
        self._stored, self._chunks, self._flips = values, chunks, flips

    def variables(self):
        return [VariableInfo("v", self._stored.shape[:3], None)]

    def close(self):
        pass

    def _array(self, name, time, must_choose=True):
        z, y, x, components = self._stored.shape
        domain = Domain((Axis.uniform(x), Axis.uniform(y), Axis.uniform(z)))
        names = tuple(f"v{k}" for k in range(components))
        return StoredArray(name, domain, names, ("",) * components, 4, self._chunks, self._flips)

    def _fill(self, array, tile, out):
        out[...] = self._stored[tile]


def cut(reader, bricks, overlap):
    return choose_partition(Grid.of(reader.layout()), bricks, overlap)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(14, 30)] * 3),
    chunks=st.tuples(*[st.integers(2, 9)] * 3),
    flips=st.tuples(*[st.booleans()] * 3),
    bricks=st.tuples(*[st.integers(1, 3)] * 3),
    overlap=st.sampled_from([0.0, 0.5, 1.0]),
    components=st.integers(1, 2),
    missing=st.booleans(),
    data=st.data(),
)
def test_bricks_with_layers_equal_bricks_read_directly(
    shape, chunks, flips, bricks, overlap, components, missing, data
):
    values = np.random.default_rng(0).random((*shape, components), dtype=np.float32)
    if missing:
        values[: shape[0] // 2] = np.nan
    reader = ArrayReader(values, chunks, flips)
    partition = cut(reader, bricks, overlap)
    truth = values[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    # Neighbours need not have been there.
    order = data.draw(st.permutations(range(partition.count)))
    with tempfile.TemporaryDirectory() as folder:
        halos = Halos(Path(folder), partition)
        for brick in order:
            found = read_brick(reader, ("v",), None, partition, brick, components, halos)
            np.testing.assert_array_equal(found, truth[slices(partition.extent(brick))])
            halos.remove(brick)
        for brick in range(partition.count):
            halos.remove(brick)
        assert list(Path(folder).iterdir()) == []


def test_in_order_every_chunk_is_decoded_once():
    values = np.random.default_rng(0).random((64, 48, 56, 1), dtype=np.float32)
    reader = ArrayReader(values, (8, 8, 8))
    partition = cut(reader, (3, 2, 4), 1.0)
    with tempfile.TemporaryDirectory() as folder:
        halos = Halos(Path(folder), partition)
        for brick in range(partition.count):
            read_brick(reader, ("v",), None, partition, brick, 1, halos)
    assert reader.bytes_read == values.nbytes
    alone = ArrayReader(values, (8, 8, 8))
    for brick in range(partition.count):
        read_brick(alone, ("v",), None, partition, brick, 1, None)
    assert alone.bytes_read > 1.5 * values.nbytes


@pytest.mark.parametrize(("nodes", "chunk", "bricks"), [(1024, 64, 4), (1000, 64, 4), (512, 32, 3), (2048, 128, 8)])
def test_large_files_are_read_little_more_than_needed(nodes, chunk, bricks):
    """What is decoded, over what bricks need, as it would be: 4 x 4 x 4 bricks of 1024^3 nodes among them."""
    grid = Grid((nodes,) * 3, 1, (list(range(0, nodes, chunk)),) * 3)
    partition = choose_partition(grid, (bricks,) * 3, 2.0)
    decoded = needed = 0
    for brick in range(partition.count):
        extent, own = partition.extent(brick), []
        for axis in range(3):
            lower = neighbour(partition, brick, axis, -1)
            first = extent[axis][0] if lower is None else partition.extent(lower)[axis][1] + 1
            own.append((first, extent[axis][1]))
        decoded += decoded_values((nodes,) * 3, (chunk,) * 3, slices(tuple(own)))
        needed += np.prod([last - first + 1 for first, last in extent])
    assert decoded / needed <= 1.0


def test_layers_that_are_damaged_or_of_something_else_are_not_used(tmp_path):
    values = np.random.default_rng(0).random((24, 24, 24, 1), dtype=np.float32)
    reader = ArrayReader(values, (8, 8, 8))
    partition = cut(reader, (2, 2, 2), 1.0)
    halos = Halos(tmp_path, partition)
    read_brick(reader, ("v",), None, partition, 0, 1, halos)
    layers = sorted(tmp_path.iterdir())
    assert [layer.name for layer in layers] == ["halo-00001-x.npy", "halo-00002-y.npy", "halo-00004-z.npy"]
    layers[0].write_bytes(layers[0].read_bytes()[:100])
    layers[1].write_bytes(b"")
    np.save(layers[2], np.zeros((2, 3, 4, 1), dtype=np.float32))
    for brick in (1, 2, 4):
        found = read_brick(reader, ("v",), None, partition, brick, 1, halos)
        np.testing.assert_array_equal(found, values[slices(partition.extent(brick))])


def test_neighbours():
    partition = choose_partition(Grid((40, 40, 40)), (2, 3, 2), 1.0)
    assert [neighbour(partition, 0, axis, 1) for axis in range(3)] == [1, 2, 6]
    assert [neighbour(partition, 11, axis, -1) for axis in range(3)] == [10, 9, 5]
    assert neighbour(partition, 0, 0, -1) is None
    assert neighbour(partition, 11, 2, 1) is None
