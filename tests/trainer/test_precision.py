# SPDX-License-Identifier: BSD-3-Clause
"""Features as float16, where that costs next to nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from array_volumes import make_volume

from amgsrn_core.models import AMGSRN, AMGSRNConfig
from trainer.precision import FREE_DB, choose_precision, rounded
from trainer.probe import Probe

CPU = torch.device("cpu")


@pytest.fixture
def network():
    network = AMGSRN(AMGSRNConfig(4, 1, (4, 4, 4), bias=True), seed=2)
    with torch.no_grad():
        network.grids.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    return network


@pytest.fixture
def exact(network):
    """A volume that a network matches but for rounding: float16 costs nearly everything."""
    shape = (6, 7, 8)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    points = torch.from_numpy(np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32))
    with torch.no_grad():
        values = network(points)[:, 0]
    return make_volume(values.reshape(shape).numpy())


def test_the_probe_is_the_mean_squared_error_of_all_voxels_of_a_small_volume(network, smooth_volume):
    values = smooth_volume().copy()
    values[2, 3, 4] = np.nan
    volume = make_volume(values)
    nz, ny, nx = values.shape
    low, high = volume.ranges[0]
    errors = []
    with torch.no_grad():
        for k in range(nz):
            for j in range(ny):
                y, z = -1 + 2 * j / (ny - 1), -1 + 2 * k / (nz - 1)
                row = torch.tensor([[-1 + 2 * i / (nx - 1), y, z] for i in range(nx)])
                errors.append(network(row)[:, 0].numpy() - (values[k, j] - low) / (high - low))
    mse = np.nanmean(np.square(errors))
    probe = Probe(volume, CPU, seed=0)
    assert probe.mean_squared_error(network) == pytest.approx(mse, rel=1e-4)
    assert probe.psnr(network) == pytest.approx(-10 * np.log10(mse), abs=1e-3)


def test_the_probe_of_a_large_volume_is_a_fair_and_repeatable_sample(network):
    values = np.random.default_rng(0).random((60, 61, 62), dtype=np.float32)
    values[:10] = np.nan
    one, two, other = (Probe(make_volume(values), CPU, seed) for seed in (0, 0, 1))
    everything = Probe(make_volume(values[::4, ::2, ::2].copy()), CPU, 0)
    assert one.psnr(network) == two.psnr(network) != other.psnr(network)
    assert one.psnr(network) == pytest.approx(everything.psnr(network), abs=0.3)


def test_the_probe_finds_a_needle(network):
    values = np.full((50, 50, 50), np.nan, np.float32)
    values[31, 7, 2:4] = [1.0, 2.0]
    assert np.isfinite(Probe(make_volume(values), CPU, 0).psnr(network))


def test_rounding_is_what_a_file_does(network):
    smaller = rounded(network)
    assert torch.equal(smaller.grids, network.grids.half().float())
    assert not torch.equal(smaller.grids, network.grids)
    for one, other in zip(network.layers.parameters(), smaller.layers.parameters(), strict=True):
        assert torch.equal(one, other)


def test_auto_is_half_where_it_is_free(network, smooth_volume):
    probe = Probe(make_volume(smooth_volume()), CPU, 0)
    stored = choose_precision(network, "auto", False, probe)
    assert stored.half
    assert abs(stored.half_costs_db) < FREE_DB
    assert torch.equal(stored.network.grids, network.grids.half().float())


def test_auto_is_single_where_half_costs(network, exact):
    low, high = exact.ranges[0]
    with torch.no_grad():
        # Networks answer in units of the value range.
        network.layers[-1].weight /= high - low
        network.layers[-1].bias.sub_(low).div_(high - low)
    probe = Probe(exact, CPU, 0)
    stored = choose_precision(network, "auto", False, probe)
    assert not stored.half
    assert stored.half_costs_db > 10
    assert torch.equal(stored.network.grids, network.grids)
    assert stored.network is not network, "training may go on"
    for wanted, must_be_half in (("half", False), ("auto", True)):
        forced = choose_precision(network, wanted, must_be_half, probe)
        assert forced.half
        assert forced.half_costs_db == stored.half_costs_db
    assert not choose_precision(network, "single", True, probe).half


def test_features_that_do_not_fit_stay_single(network, smooth_volume):
    with torch.no_grad():
        network.grids[0, 0, 0, 0, 0] = 1e6
    stored = choose_precision(network, "half", True, Probe(make_volume(smooth_volume()), CPU, 0))
    assert not stored.half
    assert stored.half_costs_db is None
