# SPDX-License-Identifier: BSD-3-Clause
"""Bricks that learn in lock step: each as it would alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from amgsrn_core import open_field
from amgsrn_core.models import AMGSRNConfig
from trainer import errors, plateau
from trainer.ensemble import batch
from trainer.ensemble.batch import fit_bricks
from trainer.fit import FitOptions, fit_volume
from trainer.placement import move_grids
from trainer.sampling import UniformSampler
from trainer.settings import FitSettings
from trainer.volumes import open_volume

CPU = torch.device("cpu")
STEPS = 60


@pytest.fixture(autouse=True)
def reference(monkeypatch):
    """In PyTorch, for the same rounding alone and together."""
    monkeypatch.setenv("AMGSRN_KERNELS", "reference")


@pytest.fixture
def read(tmp_path, write_netcdf):
    def from_values(values):
        with open_volume(write_netcdf(tmp_path / "volume.nc", {"density": values})) as reader:
            return reader.read()

    return from_values


@pytest.fixture
def volumes(read, smooth_volume):
    """Of several sizes, and one that has values at few nodes."""
    holes = smooth_volume((9, 9, 9))
    holes[:, 3:, :] = np.nan
    return [read(smooth_volume((12, 14, 16))), read(-(smooth_volume((10, 8, 9)) ** 2)), read(holes)]


def quick(**changes):
    few = {"steps": STEPS, "batch": 200, "precision": "single", "placement": "identity"}
    return FitSettings.of(**{**few, **changes})


def alone(tmp_path, volume, settings):
    path = tmp_path / "alone.amgsrn"
    fit_volume(volume, path, settings, FitOptions(CPU, quiet=True, overwrite=True, say=lambda message: None))
    field = open_field(path, "cpu")
    return field.field.network if field.has_gaps else field.network


def error(network, other):
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        return float((network(points) - other(points)).abs().max())


@pytest.mark.parametrize("changes", [{"placement": "auto"}, {"transform": "matrix"}])
def test_each_learns_what_it_would_alone(tmp_path, volumes, changes):
    settings, seeds = quick(**changes), [4, 5]
    networks = [trained.network for trained in fit_bricks(volumes[1:], settings, CPU, seeds)]
    for volume, seed, network in zip(volumes[1:], seeds, networks, strict=True):
        expected = alone(tmp_path, volume, replace(settings, seed=seed))
        assert network.config == expected.config
        assert error(network, expected) < 0.02
    assert error(networks[0], networks[1]) > 0.1


def test_samples_and_grids_follow_the_error_as_they_would_alone(tmp_path, volumes, monkeypatch):
    """Discrete choices make something else of every last bit: the same quality, and moves at the same times."""
    settings, moves = quick(placement="iterative", steps=400), []

    def noted(*arguments):
        moves.append(move_grids(*arguments))
        return moves[-1]

    monkeypatch.setattr(batch, "move_grids", noted)
    network = fit_bricks(volumes[:1], settings, CPU, [3])[0].network
    expected = alone(tmp_path, volumes[0], replace(settings, seed=3))
    points, targets = UniformSampler(volumes[0], 2000, 0).draw(0)
    with torch.no_grad():
        mine, other = (float((n(points) - targets).square().mean()) for n in (network, expected))
    assert abs(10 * math.log10(mine / other)) < 2
    assert [move.fraction for move in moves] == [0.25, 0.27]
    assert any(move.grids for move in moves)


def test_networks_do_not_share_memory(volumes):
    networks = [trained.network for trained in fit_bricks(volumes[:2], quick(steps=5), CPU, [0, 1])]
    sizes = [network.grids.untyped_storage().nbytes() for network in networks]
    assert sizes == [network.grids.numel() * 4 for network in networks]


def test_different_architectures_are_trained_one_after_the_other(volumes):
    configs = [AMGSRNConfig(4, 1, (4, 4, 4), (8,), transform="srt") for _ in volumes]
    configs[1] = replace(configs[1], hidden=(4, 4))
    parts = []
    networks = [trained.network for trained in fit_bricks(volumes, quick(), CPU, [0, 1, 2], parts.append, configs)]
    assert [network.config for network in networks] == configs
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    untrained = [trained.network for trained in fit_bricks(volumes, quick(steps=1), CPU, [0, 1, 2], None, configs)]
    assert all(error(network, other) > 0.1 for network, other in zip(networks, untrained, strict=True))


def test_a_constant_brick_is_left_alone(read, volumes):
    constant = read(np.full((4, 5, 6), 7.0, np.float32))
    networks = [trained.network for trained in fit_bricks([constant, volumes[0]], quick(steps=3), CPU, [0, 1])]
    assert float(networks[0].grids.detach().abs().max()) < 1e-3
    assert not fit_bricks([], quick(), CPU, [])


def test_a_brick_that_ends_early_does_not_change_any_more(volumes, monkeypatch):
    """One is told to be good enough at once, the others are not."""
    monkeypatch.setattr(plateau, "_WINDOW", 20)
    settings, seeds = quick(steps=200, early_stop=True), [3, 4, 5]
    whole = [trained.network for trained in fit_bricks(volumes, replace(settings, early_stop=False), CPU, seeds)]
    counted = []

    class Counted(batch.EarlyStop):
        def __init__(self, recipe):
            super().__init__(recipe)
            counted.append(self)
            self.first = len(counted) == 1
            self.fractions = []

        def record(self, loss, bias, scheduled, resting):
            self.fractions.append(scheduled)
            super().record(loss * (1e-12 if self.first else 1.0), bias, scheduled, False)

    monkeypatch.setattr(batch, "EarlyStop", Counted)
    trained = fit_bricks(volumes, settings, CPU, seeds)
    ended = [each.network for each in trained]
    # After 20 steps of 200, a tenth, its run is one of 50 steps.
    assert len(counted[0].fractions) <= 50
    assert len(counted[1].fractions) == 200
    assert trained[0].steps <= 50, "what is reported is what was done"
    assert trained[0].points < trained[1].points
    assert trained[1].steps == 200
    assert error(ended[0], whole[0]) > 1e-3
    assert error(ended[1], whole[1]) < 1e-4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"recipe": "paper"}, "--recipe fast"),
        ({"placement": "density"}, "--recipe fast"),
        ({"time_budget": 1.0, "steps": None}, "a number of steps"),
        ({"target_psnr": 40.0}, "--target-psnr"),
        ({"target_size": 100_000}, "--target-size"),
    ],
)
def test_what_bricks_cannot_have_in_lock_step(volumes, changes, says):
    with pytest.raises(errors.InvalidOption, match=says):
        fit_bricks(volumes, quick(**changes), CPU, [0, 1, 2])


def test_a_loss_that_is_not_finite_is_told(volumes, monkeypatch):
    monkeypatch.setattr(batch._Brick, "rates", lambda self, fraction: batch.kernels.Rates(math.inf, math.inf, math.inf))
    with pytest.raises(errors.FitDiverged) as diverged:
        fit_bricks(volumes, quick(), CPU, [0, 1, 2])
    assert diverged.value.brick in (0, 1, 2)
