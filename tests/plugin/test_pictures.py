# SPDX-License-Identifier: BSD-3-Clause
"""Neural Volume looks like ParaView's own Volume of the same model sampled at its native resolution."""

from __future__ import annotations

import numpy as np
import pytest
from harness import psnr

SETUPS = ("plain", "opaque", "parallel", "moved", "translucent")


@pytest.fixture(scope="module")
def pictures(module_paraview, model):
    run = module_paraview.pvpython("pictures", model())
    assert run.results.get("done"), run.output
    assert not run.errors(), run.output
    return module_paraview


@pytest.mark.slow
@pytest.mark.parametrize("setup", SETUPS)
def test_neural_volume_matches_volume(pictures, setup):
    neural, volume = pictures.picture(f"{setup}-neural"), pictures.picture(f"{setup}-volume")
    value = psnr(neural, volume)
    print(f"{setup}: {value:.1f} dB")
    assert value >= 40.0


@pytest.mark.slow
def test_the_setups_differ(pictures):
    """So that the comparison above is not one of empty views."""
    shown = [pictures.picture(f"{setup}-neural") for setup in SETUPS]
    for i, a in enumerate(shown):
        assert a.std() > 5.0
        for b in shown[:i]:
            assert np.abs(a - b).max() > 20.0
