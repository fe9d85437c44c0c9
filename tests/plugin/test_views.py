# SPDX-License-Identifier: BSD-3-Clause
"""The representation among everything else in ParaView: screenshots, views, state, peeling, selection, other arrays."""

from __future__ import annotations

import numpy as np
import pytest
from harness import psnr

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(module_paraview, model):
    run = module_paraview.pvpython("views", model())
    assert "kept" in run.results, run.output
    return run


@pytest.fixture(scope="module")
def picture(run, module_paraview):
    return module_paraview.picture


def shrunk(picture: np.ndarray) -> np.ndarray:
    """Half the size, by means of 2 x 2 pixels."""
    height, width, channels = picture.shape
    return picture.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))


def test_no_errors(run):
    assert run.code == 0, run.output
    assert not run.errors(), run.output


def test_double_size_screenshot_shows_the_same(picture):
    assert picture("double").shape[:2] == (300, 400)
    # The axes in the corner keep their size in pixels.
    assert psnr(shrunk(picture("double"))[:110], picture("plain")[:110]) > 30.0


def test_multisampling_shows_the_same(picture):
    assert np.abs(picture("multisampled") - picture("aliased")).max() > 20.0, "multisampling had no effect"
    assert psnr(picture("multisampled"), picture("plain")) > 30.0


def test_transparent_background(picture):
    transparent, plain = picture("transparent"), picture("plain")
    assert transparent.shape[2] == 4
    assert transparent[5, 5, 3] == 0
    alpha = transparent[..., 3:] / 255.0
    assert 0.05 < alpha.mean() < 0.9
    # PNG colours are not premultiplied: put over the background, they are the plain picture.
    background = np.array([0.15, 0.16, 0.2]) * 255.0
    assert psnr(transparent[..., :3] * alpha + (1.0 - alpha) * background, plain) > 35.0


def test_axes_do_not_disturb(picture):
    assert psnr(picture("axes")[40:120, 60:120], picture("plain")[40:120, 60:120]) > 25.0


def test_clipping_planes(run, picture):
    (planes,) = run.results["planes"]
    assert planes == pytest.approx([0.2, 0.0, 0.0, -1.0, 0.0, 0.0])
    assert np.abs(picture("clipped") - picture("plain")).max() > 30.0


def test_selection_marches_nothing(run):
    assert run.results["marched_while_selecting"] == 0


def test_scripts_always_get_complete_pictures(run):
    assert run.results["budgets"] == [0.0]
    assert run.results["interactive"] == [False]


def test_volume_peeling_is_off_only_while_a_neural_volume_is_visible(run):
    before, during, hidden, shown, outline, one_left = run.results["peeling"]
    assert (before, during, hidden, shown, outline, one_left) == (1, 0, 1, 0, 1, 0)


def test_another_array_draws_nothing(picture):
    assert np.array_equal(picture("other_array"), picture("empty"))


def test_the_models_array_is_drawn_behind_a_filter(picture):
    assert np.abs(picture("own_array_through_filter") - picture("empty")).max() > 50.0


def test_samples_per_voxel(run, picture):
    assert run.results["samples_per_voxel"] == 2.5
    assert psnr(picture("fine"), picture("plain")) > 30.0


def test_views_have_their_own_pictures(run, picture):
    both = picture("two_views")
    half = both.shape[1] // 2
    left, right = both[:, : half - 10], both[:, half + 10 :]
    assert left.std() > 10.0
    assert right.std() > 10.0
    width = min(left.shape[1], right.shape[1])
    assert np.abs(left[:, :width] - right[:, :width]).max() > 50.0


def test_the_camera_is_reset_to_the_moved_and_stretched_volume(run):
    assert run.results["reset_to"] == pytest.approx([3.0, 0.0, 0.0], abs=1e-3)
    assert run.results["reset_size"] == pytest.approx(np.linalg.norm([1.0, 0.9, 32.0]), rel=0.01)


def test_state_round_trip(run, picture):
    assert "Neural Volume" in run.results["kinds"]
    assert psnr(picture("from_state"), picture("plain")) > 45.0


def test_time_slice_is_not_saved(run):
    assert not run.results["state_has_budget"]
    assert set(run.results["restored_budgets"]) == {0.0}


def test_pictures_are_released_with_their_mappers(run):
    assert run.results["keys"] >= 3
    assert run.results["kept"] <= 1  # ParaView lets the last view live until it ends
