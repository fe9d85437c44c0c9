# SPDX-License-Identifier: BSD-3-Clause
"""Samples of a volume: the compiled kernels against the reference, and the reference against what is known."""

from __future__ import annotations

import math
import mmap

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core import kernels
from amgsrn_core.kernels import cpu, cpu_sampling, reference_sampling

LIBRARY, STATE = cpu.load()
needs_library = pytest.mark.skipif(LIBRARY is None, reason=f"CPU kernels: {STATE}")
WORDS = st.integers(0, 2**64 - 1)


@st.composite
def volumes(draw: st.DrawFn) -> torch.Tensor:
    """float32 volumes of zero (no channel axis) to four channels, now and then with missing values."""
    shape = draw(st.tuples(*[st.integers(2, 23)] * 3))
    channels = draw(st.integers(0, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    values = torch.randn(*shape, *([channels] if channels else []), generator=generator)
    if draw(st.booleans()):
        values[torch.rand(shape, generator=generator) < 0.1] = torch.nan
    return values


@st.composite
def volumes_and_lattices(draw: st.DrawFn) -> tuple[torch.Tensor, tuple[int, int, int]]:
    values = draw(volumes())
    z, y, x = (draw(st.integers(1, n)) for n in values.shape[:3])
    return values, (z, y, x)


def words(*hexadecimal: int) -> torch.Tensor:
    return torch.tensor(hexadecimal)[:, None]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_random_numbers_are_those_of_the_authors(counter, key, expected):
    """Known answers of the authors' own library."""
    assert torch.equal(reference_sampling.philox(words(*counter), key), words(*expected))


@needs_library
@given(volumes(), st.integers(0, 700), WORDS, WORDS, st.integers(1, 3))
def test_uniform_samples_equal_the_reference(values, count, seed, step, threads):
    scaling = (-0.3, 1.7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))
        points, samples = cpu_sampling.uniform_samples(LIBRARY, values, count, scaling, seed, step)
    expected_points, expected = reference_sampling.uniform_samples(values.double(), count, scaling, seed, step)
    assert torch.equal(points, expected_points)
    np.testing.assert_allclose(samples, expected, atol=1e-6, rtol=1e-6)


@needs_library
@given(volumes_and_lattices(), WORDS, WORDS, st.booleans())
def test_lattice_samples_equal_the_reference(case, seed, step, snap):
    values, lattice = case
    scaling = (-0.3, 1.7)
    points, samples = cpu_sampling.lattice_samples(LIBRARY, values, lattice, scaling, seed, step, snap)
    expected_points, expected = reference_sampling.lattice_samples(values.double(), lattice, scaling, seed, step, snap)
    assert torch.equal(points, expected_points)
    if snap:
        assert torch.equal(samples.nan_to_num(99.0), expected.nan_to_num(99.0))
    np.testing.assert_allclose(samples, expected, atol=1e-6, rtol=1e-6)


@needs_library
@pytest.mark.parametrize("snap", [False, True])
def test_large_batches_do_not_depend_on_threads(monkeypatch, snap):
    values = torch.rand(40, 50, 60)
    batches = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        batches.append(cpu_sampling.lattice_samples(LIBRARY, values, (39, 29, 31), (0.0, 1.0), 1, 2, snap))
    (points, samples), (other_points, other_samples) = batches
    expected, _ = reference_sampling.lattice_samples(values, (39, 29, 31), (0.0, 1.0), 1, 2, snap)
    assert torch.equal(points, other_points)
    assert torch.equal(samples, other_samples)
    assert torch.equal(points, expected)


@needs_library
@given(volumes(), st.integers(0, 300), st.integers(0, 2**31))
def test_values_at_points_equal_the_reference(values, count, seed):
    points = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2.4 - 1.2
    points[:2] = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])[:count]
    samples = cpu_sampling.sample_volume(LIBRARY, values, points)
    expected = reference_sampling.sample_volume(values.double(), points.double())
    np.testing.assert_allclose(samples, expected, atol=2e-5, rtol=1e-6)


@pytest.mark.parametrize("backend", ["reference", *(["cpu"] if LIBRARY is not None else [])])
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(*[st.integers(2, 9)] * 3))
def test_values_at_points_agree_with_scipy(backend, seed, shape):
    random = np.random.default_rng(seed)
    values = random.normal(size=shape).astype(np.float32)
    points = random.uniform(-1, 1, (50, 3)).astype(np.float32)
    points[:4] = [[-1, -1, -1], [1, 1, 1], [1, -1, 0], [0, 0, 0]]
    where = [(points[:, 2 - k].astype(np.float64) + 1) / 2 * (shape[k] - 1) for k in range(3)]
    expected = scipy.ndimage.map_coordinates(values.astype(np.float64), where, order=1, mode="nearest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMGSRN_KERNELS", backend)
        samples = kernels.sample_volume(torch.from_numpy(values), torch.from_numpy(points))
    np.testing.assert_allclose(samples, expected, atol=1e-6)


@pytest.mark.parametrize("backend", ["reference", *(["cpu"] if LIBRARY is not None else [])])
def test_strange_points_are_survived(monkeypatch, backend):
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    values = torch.arange(8.0).reshape(2, 2, 2)
    points = torch.tensor([[torch.nan, 0, 0], [1e30, 0, 0], [-1e30, 0, 0], [3.0, -1, -1]])
    samples = kernels.sample_volume(values, points)
    assert samples[0].isnan()
    assert samples[1] > 1e29
    assert samples[2] < -1e29
    assert samples[3] == 2.0  # the outermost cells go on: 0 at x = -1, 1 at x = 1


@pytest.mark.parametrize("backend", ["reference", *(["cpu"] if LIBRARY is not None else [])])
def test_cells_come_brick_by_brick(monkeypatch, backend):
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    lattice = (5, 6, 9)
    points, _ = kernels.lattice_samples(torch.zeros(10, 12, 18), lattice, (0.0, 1.0), 3, 4, False)
    cells = ((points[:, [2, 1, 0]].double() + 1) / 2 * torch.tensor(lattice)).long().tolist()
    assert cells == sorted(cells, key=lambda cell: ([index // 4 for index in cell], cell))
    assert len({tuple(cell) for cell in cells}) == 5 * 6 * 9


def test_what_the_kernels_cannot_read_goes_to_the_reference():
    values = torch.rand(3, 4, 5, 6)
    points = torch.rand(20, 3) * 2 - 1
    expected = reference_sampling.sample_volume(values.double(), points)
    for given_values in (values, values.double(), values.transpose(0, 2).contiguous().transpose(0, 2)):
        np.testing.assert_allclose(kernels.sample_volume(given_values, points), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (4, 4, 4, 4, 4)])
def test_what_is_not_a_volume_is_refused(shape):
    with pytest.raises(ValueError, match="not a volume"):
        kernels.sample_volume(torch.zeros(shape), torch.zeros(1, 3))


def test_lattices_finer_than_the_volume_are_refused():
    with pytest.raises(ValueError, match=r"a lattice of \(4, 5, 4\) cells over \(4, 4, 4\) nodes"):
        kernels.lattice_samples(torch.zeros(4, 4, 4), (4, 5, 4), (0.0, 1.0), 0, 0, True)


@pytest.mark.parametrize("backend", ["reference", *(["cpu"] if LIBRARY is not None else [])])
def test_volumes_of_more_values_than_32_bits_count(monkeypatch, backend):
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    shape = (3, 40000, 40000)
    # Address space only: pages that nobody wrote to take no memory.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    values = torch.frombuffer(mmap.mmap(-1, 4 * math.prod(shape), flags=flags), dtype=torch.float32).reshape(shape)
    values[-1, -1, -2:] = torch.tensor([2.0, 4.0])
    last_cell = 2.0 / (shape[2] - 1)
    points = torch.tensor([[1.0, 1.0, 1.0], [1.0 - last_cell, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    np.testing.assert_allclose(kernels.sample_volume(values, points), [4.0, 2.0, 0.0], atol=0.01)
    nodes, samples = kernels.lattice_samples(values, (2, 4, 4), (0.0, 1.0), 0, 0, True)
    assert len(nodes) == 32
    assert not samples.any()
