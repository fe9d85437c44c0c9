# SPDX-License-Identifier: BSD-3-Clause
"""Larger networks begin as what a smaller one has learned."""

from __future__ import annotations

import math

import pytest
import torch

from amgsrn_core.models import AMGSRN, AMGSRNConfig
from trainer.growth import doubled, grow, larger_network


def features(config):
    return config.grids * config.channels * math.prod(config.resolution)


def learned(config):
    """A network whose features are not near zero, with one grid far larger than the domain."""
    network = AMGSRN(config, seed=3)
    with torch.no_grad():
        network.grids.copy_(torch.randn(network.grids.shape, generator=torch.Generator().manual_seed(0)))
    return network


@pytest.mark.parametrize("transform", ["matrix", "srt"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("change", [{"channels": 4}, {"resolution": (9, 4, 5)}, {"resolution": (9, 7, 9)}])
def test_the_function_stays(transform, bias, change):
    config = AMGSRNConfig(3, 2, (5, 4, 5), transform=transform, bias=bias)
    network = learned(config)
    larger = grow(network, AMGSRNConfig(**{**vars(config), **change}), seed=1)
    assert vars(larger.config) == {**vars(config), **change}
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8
    with torch.no_grad():
        before, after = network(points), larger(points)
    # New channels begin near zero, not at it: their features would never learn.
    torch.testing.assert_close(after, before, atol=2e-3 if "channels" in change else 1e-4, rtol=0)
    assert before.std() > 0.05
    assert larger.grids.abs().min() > 0


def test_doubling_goes_from_preset_to_preset():
    config, nodes, steps = AMGSRNConfig(16, 1, (16, 16, 16)), (128, 128, 128), []
    for _ in range(8):
        steps.append(features(doubled(config, nodes)) / features(config))
        config = doubled(config, nodes)
        if len(steps) == 4:
            assert (config.channels, config.resolution) == (2, (31, 31, 31))
    assert (config.channels, config.resolution) == (4, (61, 61, 61))
    assert all(1.9 < step <= 2 for step in steps)
    assert doubled(config, nodes).channels == 4, "no more channels than the presets have"


def test_the_coarsest_axis_is_refined():
    assert doubled(AMGSRNConfig(16, 4, (8, 8, 8)), (100, 300, 200)).resolution == (8, 15, 8)


@pytest.mark.parametrize(("missing", "times"), [(0.3, 2), (4, 2), (8, 4), (12, 8), (60, 8)])
def test_how_much_larger(missing, times):
    config = AMGSRNConfig(16, 1, (16, 16, 16))
    larger = larger_network(config, (64, 64, 64), missing, lambda c: True)
    assert features(larger) / features(config) == pytest.approx(times, rel=0.1)


def test_no_larger_than_fits():
    config = AMGSRNConfig(16, 1, (16, 16, 16))
    larger = larger_network(config, (64, 64, 64), 60, lambda c: features(c) < 3 * features(config))
    assert features(larger) == 2 * features(config)
    assert larger_network(config, (64, 64, 64), 60, lambda c: False) is None
