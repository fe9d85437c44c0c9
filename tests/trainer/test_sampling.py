# SPDX-License-Identifier: BSD-3-Clause
"""Samples: where they lie, what they are worth, and that a step always draws the same."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from array_volumes import make_volume
from hypothesis import given
from hypothesis import strategies as st

from trainer.sampling import StratifiedSampler, UniformSampler, VoxelSampler, lattice_shape

SAMPLERS = [UniformSampler, StratifiedSampler, VoxelSampler]


def indices(points, shape):
    """Fractional node indices (3, n) as z, y, x."""
    return np.stack([(points[:, 2 - k].numpy().astype(np.float64) + 1) / 2 * (shape[k] - 1) for k in range(3)])


@pytest.fixture
def volume():
    return make_volume(np.random.default_rng(0).random((9, 14, 23)) * 7 - 3)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_targets_are_the_interpolated_values(volume, kind):
    points, targets = kind(volume, 2000, 1).draw(5)
    assert points.shape == (len(targets), 3)
    assert points.dtype == targets.dtype
    assert points.abs().max() <= 1
    where = indices(points, volume.shape)
    expected = scipy.ndimage.map_coordinates(volume.values[..., 0].astype(np.float64), where, order=1, mode="nearest")
    low, high = volume.ranges[0]
    np.testing.assert_allclose(targets[:, 0].numpy(), (expected - low) / (high - low), atol=2e-5)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_step_draws_the_same_whatever_was_drawn_before(volume, kind):
    sampler = kind(volume, 500, 3)
    first = [sampler.draw(step) for step in (0, 1, 2)]
    again = kind(volume, 500, 3).draw(1)
    assert all((a == b).all() for a, b in zip(first[1], again, strict=True))
    assert not (first[0][0] == first[1][0]).all()
    assert not (kind(volume, 500, 4).draw(1)[0] == again[0]).all()


def test_nodes_are_drawn_equally_often(volume):
    sampler, shape = VoxelSampler(volume, 700, 0), volume.shape
    counts = np.zeros(shape)
    steps = 1500
    for step in range(steps):
        points, _ = sampler.draw(step)
        where = np.rint(indices(points, shape)).astype(int)
        np.add.at(counts, tuple(where), 1)
    expected = counts.sum() / counts.size
    # Poisson at most; a stratified sampler is below that.
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)
    np.testing.assert_allclose(counts.mean(axis=(1, 2)), expected, rtol=0.03)


@pytest.mark.parametrize("kind", [StratifiedSampler, VoxelSampler])
def test_every_cell_of_the_lattice_gets_one_point(kind):
    volume = make_volume(np.zeros((16, 32, 64)) + np.arange(64))
    sampler = kind(volume, 512, 0)
    assert sampler.lattice == (4, 8, 16)
    points, _ = sampler.draw(0)
    # Cells are parts of the volume; for nodes, parts of the set of nodes.
    fractions = (points.numpy()[:, ::-1] + 1) / 2
    if kind is VoxelSampler:
        fractions = (np.rint(fractions * (np.array([16, 32, 64]) - 1)) + 0.5) / np.array([16, 32, 64])
    cells = np.floor(fractions * np.array(sampler.lattice)).astype(int)
    assert len(np.unique(cells, axis=0)) == 512


def test_uniform_points_fill_the_volume_evenly(volume):
    points, _ = UniformSampler(volume, 200_000, 0).draw(0)
    np.testing.assert_allclose(points.mean(0).numpy(), 0, atol=0.01)
    np.testing.assert_allclose(points.var(0).numpy(), 1 / 3, atol=0.01)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_missing_values_are_never_drawn(kind):
    values = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    values[:10] = np.nan
    sampler = kind(make_volume(values), 1000, 0)
    points, targets = sampler.draw(0)
    assert np.isfinite(targets.numpy()).all()
    assert 800 < len(points) < 1300  # about as many as asked for although half is missing
    assert indices(points, values.shape)[0].min() >= 10


@given(shape=st.tuples(*[st.integers(2, 400)] * 3), cells=st.integers(1, 200_000))
def test_lattices_have_about_as_many_cells_as_asked_for(shape, cells):
    lattice = lattice_shape(shape, cells)
    assert all(1 <= a <= b for a, b in zip(lattice, shape, strict=True))
    total = np.prod(lattice)
    wanted = min(cells, np.prod([float(n) for n in shape]))
    assert wanted / 2.1 <= total <= wanted * 2.1


def test_huge_values_are_brought_to_the_range():
    values = np.random.default_rng(0).uniform(-2.4e38, 3e38, (6, 6, 6))
    _, targets = VoxelSampler(make_volume(values), 100, 0).draw(0)
    assert targets.min() >= 0
    assert targets.max() <= 1
