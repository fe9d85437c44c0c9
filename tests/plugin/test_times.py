# SPDX-License-Identifier: BSD-3-Clause
"""A model with time steps in the real ParaView: values, pictures, animations, states."""

from __future__ import annotations

from itertools import pairwise

import make_model
import numpy as np
import pytest
from harness import psnr

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(module_paraview, model):
    run = module_paraview.pvpython("times", model("series"))
    assert "state_time" in run.results, run.output
    assert not run.errors(), run.output
    return run


@pytest.fixture(scope="module")
def picture(run, module_paraview):
    return module_paraview.picture


def expected(answer, weights):
    """The density is the normalized coordinate along x, y and z at the three steps."""
    bounds = np.array(make_model.domain("series").bounds).reshape(3, 2)
    normalized = 2 * (np.array(answer["position"]) - bounds[:, 0]) / (bounds[:, 1] - bounds[:, 0]) - 1
    return pytest.approx(float(normalized @ weights), abs=1e-5)


def test_steps_are_known_before_anything_is_evaluated(run):
    assert run.results["times"] == list(make_model.TIMES)
    assert run.results["interpolates"] is False
    assert run.results["scene_times"] == list(make_model.TIMES)


def test_the_step_nearest_to_a_time_is_given(run):
    steps = [0, 1, 2, 0, 1, 1, 2, 0, 2]
    for step, answer in zip(steps, run.results["nearest"], strict=True):
        assert answer["value"] == expected(answer, np.eye(3)[step])
        assert answer["data_time"] == make_model.TIMES[step]
        assert answer["descriptor"]["time"] == make_model.TIMES[step]
        assert answer["descriptor"]["interpolate"] is False


def test_times_between_steps_are_interpolated_when_that_is_wanted(run):
    for time, answer in zip(run.results["asked"], run.results["between"], strict=True):
        inside = min(max(time, make_model.TIMES[0]), make_model.TIMES[-1])
        weights = [np.interp(inside, make_model.TIMES, row) for row in np.eye(3)]
        assert answer["value"] == expected(answer, np.array(weights))
        assert answer["data_time"] == inside
        assert answer["descriptor"]["interpolate"] is (inside not in make_model.TIMES)


@pytest.mark.parametrize("name", ["time0", "time1", "time4", "between"])
def test_pictures_are_those_of_paraviews_own_volume_at_that_time(picture, name):
    value = psnr(picture(f"{name}-neural"), picture(f"{name}-volume"))
    print(f"{name}: {value:.1f} dB")
    assert value >= 40.0


def test_steps_look_different(picture):
    shown = [picture(f"{name}-neural") for name in ("time0", "time1", "time4", "between")]
    for a, b in pairwise(shown):
        assert np.abs(a - b).max() > 30.0


def test_playing_and_saving_go_through_the_steps(run, picture):
    times = [time for i, time in enumerate(run.results["played"]) if i == 0 or time != run.results["played"][i - 1]]
    assert times == list(make_model.TIMES)
    assert len(run.results["frames"]) == 3
    for frame, time in zip(run.results["frames"], make_model.TIMES, strict=True):
        assert psnr(picture(frame.removesuffix(".png")), picture(f"time{time:g}-neural")) > 40.0


def test_a_state_keeps_the_time_and_how_it_is_met(run, picture):
    assert run.results["state_interpolates"] is True
    assert run.results["state_time"] == 3.25
    assert psnr(picture("before_state"), picture("time4-neural")) < 30.0
    assert psnr(picture("from_state"), picture("before_state")) > 45.0
