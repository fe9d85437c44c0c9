# SPDX-License-Identifier: BSD-3-Clause
"""Samples that follow the error: how many go where, what they are worth, and that they can be continued."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from array_volumes import make_volume

from amgsrn_core.models import AMGSRN, AMGSRNConfig
from trainer.fit import FitOptions, fit_volume
from trainer.importance import ImportanceSampler
from trainer.sampling import VoxelSampler
from trainer.settings import FitSettings


def zero_network() -> AMGSRN:
    """It is 0, the volume's lowest value, everywhere."""
    network = AMGSRN(AMGSRNConfig(transform="srt"))
    with torch.no_grad():
        network.layers[-1].weight.zero_()
    return network


def bright_corner(shape: tuple[int, int, int] = (32, 48, 64)) -> np.ndarray:
    """1 in the eighth of the volume with the highest x and z and the lowest y, 0 elsewhere."""
    values = np.zeros(shape)
    values[shape[0] // 2 :, : shape[1] // 2, shape[2] // 2 :] = 1.0
    return values


def indices(points: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Fractional node indices (3, n) as z, y, x."""
    return np.stack([(points[:, 2 - k].numpy().astype(np.float64) + 1) / 2 * (shape[k] - 1) for k in range(3)])


@pytest.mark.parametrize("snap", [True, False])
@pytest.mark.parametrize("shape", [(9, 14, 23), (2, 40, 17), (33, 32, 31)])
def test_targets_are_the_values_at_the_points(shape: tuple[int, int, int], snap: bool) -> None:
    volume = make_volume(np.random.default_rng(0).random(shape) * 7 - 3)
    sampler = ImportanceSampler(volume, 3000, 1, snap)
    sampler.attend(100, zero_network())
    points, targets = sampler.draw(100)
    assert points.shape == (len(targets), 3)
    assert points.dtype == targets.dtype == torch.float32
    assert points.abs().max() <= 1
    where = indices(points, shape)
    assert (np.abs(where - np.rint(where)).max() < 1e-4) == snap
    expected = scipy.ndimage.map_coordinates(volume.values[..., 0].astype(np.float64), where, order=1, mode="nearest")
    low, high = volume.ranges[0]
    np.testing.assert_allclose(targets[:, 0].numpy(), (expected - low) / (high - low), atol=3e-5)


@pytest.mark.parametrize("snap", [True, False])
def test_before_an_error_is_known_all_places_are_equally_likely(snap: bool) -> None:
    shape = (9, 14, 23)
    sampler = ImportanceSampler(make_volume(np.random.default_rng(0).random(shape)), 700, 0, snap)
    counts = np.zeros(shape)
    steps = 1000
    for step in range(steps):
        points, _ = sampler.draw(step)
        assert abs(len(points) - 700) <= 1
        unit = (points.numpy()[:, ::-1] + 1) / 2
        size = np.array(shape)
        node = np.rint(unit * (size - 1)) if snap else np.minimum(unit * size, size - 1)
        np.add.at(counts, tuple(node.astype(int).T), 1)
    expected = counts.sum() / counts.size
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)
    np.testing.assert_allclose(counts.mean(axis=(1, 2)), expected, rtol=0.03)


@pytest.mark.parametrize("snap", [True, False])
def test_samples_go_where_the_error_is_and_everywhere_else_too(snap: bool) -> None:
    values = bright_corner()
    sampler = ImportanceSampler(make_volume(values), 4000, 0, snap)
    even = np.mean([float(sampler.draw(step)[1].mean()) for step in range(5)])
    assert even == pytest.approx(1 / 8, abs=0.02)
    sampler.attend(100, zero_network())
    squares = np.concatenate([sampler.draw(step)[1].numpy() ** 2 for step in range(5)])  # the network is 0
    assert sampler.bias == pytest.approx(squares.mean() / (values**2).mean(), rel=0.1)
    assert sampler.bias > 3
    focused = np.mean([float(sampler.draw(step)[1].mean()) for step in range(5)])
    assert 0.6 < focused < 0.95
    points, targets = sampler.draw(100)
    assert abs(len(points) - 4000) <= 1
    assert ((points[targets[:, 0] == 0] < 0).any(dim=0) & (points[targets[:, 0] == 0] > 0).any(dim=0)).all()


def test_only_some_steps_look_at_the_network() -> None:
    sampler = ImportanceSampler(make_volume(bright_corner()), 1000, 0, True)
    for step in (0, 1, 99, 101, 200):
        sampler.attend(step, zero_network())
        assert not sampler.errors.any()
    for step in (100, 300):
        sampler.attend(step, zero_network())
        assert sampler.errors.any()


def test_an_exact_network_leaves_samples_evenly_spread() -> None:
    volume = make_volume(np.r_[np.zeros(15 * 16 * 16), np.ones(1)].repeat(16)[: 16**3].reshape(16, 16, 16))
    volume.values[:] = 0.0  # what the network says everywhere
    sampler = ImportanceSampler(volume, 4096, 0, True)
    sampler.attend(100, zero_network())
    points, _ = sampler.draw(100)
    assert len(np.unique(points.numpy(), axis=0)) == 4096


def test_a_step_draws_the_same_after_restoring() -> None:
    volume = make_volume(bright_corner())
    first, other = (ImportanceSampler(volume, 1000, 3, True) for _ in range(2))
    first.attend(100, zero_network())
    before = other.draw(7)[0]
    other.restore({name: tensor.clone() for name, tensor in first.state().items()})
    assert torch.equal(first.draw(7)[0], other.draw(7)[0])
    assert not torch.equal(before, other.draw(7)[0])
    assert not torch.equal(first.draw(7)[0], first.draw(8)[0])
    first.attend(300, zero_network())
    other.attend(300, zero_network())
    assert torch.equal(first.draw(9)[0], other.draw(9)[0])


@pytest.mark.parametrize("snap", [True, False])
def test_missing_values_are_never_drawn_and_nothing_is_looked_for_among_them(snap: bool) -> None:
    values = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    values[:10] = np.nan
    values[15, 3:9] = np.nan
    sampler = ImportanceSampler(make_volume(values), 1000, 0, snap)
    for step in (0, 100):
        sampler.attend(step, zero_network())
        points, targets = sampler.draw(step)
        assert np.isfinite(targets.numpy()).all()
        assert 800 < len(points) < 1300
        assert indices(points, values.shape)[0].min() >= 10


def test_huge_values_are_brought_to_the_range() -> None:
    values = np.random.default_rng(0).uniform(-2.4e38, 3e38, (6, 6, 6))
    _, targets = ImportanceSampler(make_volume(values), 100, 0, True).draw(0)
    assert targets.min() >= 0
    assert targets.max() <= 1


def test_a_lone_value_among_missing_ones_is_not_forgotten() -> None:
    values = np.random.default_rng(0).random((64, 64, 64)).astype(np.float32)
    values[:32] = np.nan
    values[5, 6, 7] = 1.0
    sampler = ImportanceSampler(make_volume(values), 4000, 0, True)
    sampler.attend(100, zero_network())
    assert any(indices(sampler.draw(step)[0], values.shape)[0].min() < 32 for step in range(100, 600))


@pytest.mark.slow
def test_following_the_error_pays_where_it_is_concentrated(tmp_path, monkeypatch) -> None:
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, 64)] * 3, indexing="ij")
    detail = np.sin(21 * x) * np.sin(19 * y) * np.sin(23 * z)
    volume = make_volume(0.2 * x + np.where((x > 0.4) & (y < -0.4) & (z > 0.4), detail, 0.0))
    settings = FitSettings.of(steps=1200, batch=1000, placement="identity")
    options = FitOptions(torch.device("cpu"), quiet=True, say=lambda message: None)
    following = fit_volume(volume, tmp_path / "a.amgsrn", settings, options).training
    monkeypatch.setattr("trainer.fitting.make_sampler", lambda volume, settings, network: VoxelSampler(volume, 1000, 0))
    even = fit_volume(volume, tmp_path / "b.amgsrn", settings, options).training
    assert following["psnr_db"] > even["psnr_db"] + 1
