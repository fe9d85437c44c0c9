# SPDX-License-Identifier: BSD-3-Clause
"""A model with three components in the real ParaView: names, ranges, streamlines, colours."""

from __future__ import annotations

import make_model
import numpy as np
import pytest
from harness import psnr

pytestmark = pytest.mark.slow

COLOURS = ("u", "v", "w", "Magnitude")


@pytest.fixture(scope="module")
def run(module_paraview, model):
    run = module_paraview.pvpython("components", model("vector"))
    assert run.results.get("done"), run.output
    assert not run.errors(), run.output
    return run


@pytest.fixture(scope="module")
def picture(run, module_paraview):
    return module_paraview.picture


def test_one_array_with_named_components(run):
    assert run.results["names"] == ["u", "v", "w"]
    assert run.results["active"] == ["velocity", "velocity"]
    expected = np.array(make_model.ROTATION) @ run.results["position"]
    assert run.results["value"] == pytest.approx(expected, abs=1e-5)


def test_each_component_has_its_own_range(run):
    for found, row in zip(run.results["ranges"], make_model.ROTATION, strict=True):
        assert found == pytest.approx([-np.abs(row).sum(), np.abs(row).sum()])


def test_streamlines_of_a_rotation_are_closed_circles(run):
    tracks = [np.array(track) for track in run.results["tracks"]]
    assert len(tracks) == 4
    for track in tracks:
        radius = np.hypot(track[0, 0], track[0, 1])
        np.testing.assert_allclose(np.hypot(track[:, 0], track[:, 1]), radius, atol=1e-3)
        np.testing.assert_allclose(track[:, 2], 0.0, atol=1e-4)
        # Every one is long enough for a whole turn: it comes by its start again.
        late = track[len(track) // 2 :]
        length = np.linalg.norm(np.diff(late, axis=0), axis=1).max()
        assert np.linalg.norm(late - track[0], axis=1).min() < length
        angle = np.unwrap(np.arctan2(track[:, 1], track[:, 0]))
        assert angle[-1] - angle[0] > 0.98 * 2 * np.pi


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_those_of_paraviews_own_volume(picture, name):
    value = psnr(picture(f"{name}-neural"), picture(f"{name}-volume"))
    print(f"{name}: {value:.1f} dB")
    assert value >= 40.0


def test_the_colours_differ(run, picture):
    shown = [picture(f"{name}-neural") for name in COLOURS]
    for i, a in enumerate(shown):
        assert a.std() > 3.0
        for b in shown[:i]:
            assert np.abs(a - b).max() > 30.0
    assert run.results["components"] == [-1, 0, 1, 2]


def test_a_state_keeps_the_component(picture):
    assert psnr(picture("from_state"), picture("before_state")) > 45.0
