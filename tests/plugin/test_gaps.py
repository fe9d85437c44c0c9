# SPDX-License-Identifier: BSD-3-Clause
"""A model with gaps in the real ParaView: where the data had no values there is nothing, whatever looks at it."""

from __future__ import annotations

from itertools import product

import make_model
import numpy as np
import pytest
from harness import psnr

pytestmark = pytest.mark.slow

FILTERS = ("contour", "slice", "threshold", "clip", "threshold_of_a_part")
HIDDEN_POINT, HIDDEN_CELL = 2, 32


@pytest.fixture(scope="module")
def run(module_paraview, model):
    run = module_paraview.pvpython("gaps", model("gaps"), model("uniform"))
    assert run.code == 0, run.output
    assert "whole_kind" in run.results, run.output
    return run


@pytest.fixture(scope="module")
def saved(run, module_paraview):
    return lambda name: np.load(module_paraview.folder / f"{name}.npy")


@pytest.fixture(scope="module")
def picture(run, module_paraview):
    return module_paraview.picture


@pytest.fixture(scope="module")
def missing():
    """Which nodes of the volume have no value: bool [z, y, x]."""
    return ~make_model.valid(make_model.domain("gaps"))


def touching(missing: np.ndarray) -> np.ndarray:
    """Cells [z, y, x] with a missing corner."""
    z, y, x = (n - 1 for n in missing.shape)
    corners = [missing[k : k + z, j : j + y, i : i + x] for i, j, k in product((0, 1), repeat=3)]
    return np.logical_or.reduce(corners)


def test_no_messages(run):
    assert not run.errors(), run.output


def test_points_without_a_value_and_the_cells_about_them_are_hidden(run, saved, missing):
    assert run.results["kind"] == "vtkUniformGrid"
    np.testing.assert_array_equal(saved("point_flags") == HIDDEN_POINT, missing)
    np.testing.assert_array_equal(saved("cell_flags") == HIDDEN_CELL, touching(missing))
    assert run.results["range"] == list(make_model.VALUE_RANGE)


def test_values_are_finite_beside_gaps_and_missing_in_them(saved, missing):
    values = saved("values")
    surrounded = np.ones_like(missing)
    padded = np.pad(missing, 1, constant_values=True)
    z, y, x = missing.shape
    for i, j, k in product(range(3), repeat=3):
        surrounded &= padded[k : k + z, j : j + y, i : i + x]
    np.testing.assert_array_equal(np.isnan(values), surrounded)
    # What stands in for a missing value lies among those of its neighbours.
    (at,) = np.argwhere(missing & ~surrounded)[:1]
    block = tuple(slice(max(n - 1, 0), n + 2) for n in at)
    neighbours = values[block][~missing[block]]
    assert values[tuple(at)] == pytest.approx(neighbours.mean(), rel=1e-5)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_have_nothing_in_gaps(saved, missing, name):
    points = saved(f"points_{name}")
    assert np.isfinite(points).all()
    assert len(points) > 500
    # In units of cells, along z, y, x. On a face of a hidden cell a point is fine if the cell behind the face is not hidden.
    bounds = np.array(make_model.domain("gaps").bounds).reshape(3, 2)[::-1]
    cells = np.array(missing.shape) - 1
    position = (points[:, ::-1] - bounds[:, 0]) / (bounds[:, 1] - bounds[:, 0]) * cells
    hidden = touching(missing)
    visible = np.zeros(len(points), bool)
    for offset in product((-1e-3, 1e-3), repeat=3):
        index = np.clip(np.floor(position + offset), 0, cells - 1).astype(int)
        visible |= ~hidden[tuple(index.T)]
    assert visible.all()


def test_a_line_through_a_gap_is_interrupted(saved):
    values, points = saved("line"), saved("line_points")
    gap = points[np.isnan(values)]
    assert 0 < len(gap) < len(points)
    assert gap[:, 0].max() < -0.2 + 2 / 63  # the corner's end, and a cell


@pytest.mark.parametrize("setup", ["plain", "opaque"])
def test_neural_volume_matches_volume(picture, setup):
    value = psnr(picture(f"{setup}-neural"), picture(f"{setup}-volume"))
    print(f"{setup}: {value:.1f} dB")
    assert value >= 40.0


def test_gaps_are_seen(picture):
    assert psnr(picture("plain-neural"), picture("whole")) < 30.0


@pytest.mark.parametrize("name", ["contour", "slice", "clip", "threshold", "as_surface"])
def test_nothing_is_drawn_in_the_colour_of_missing_values(picture, name):
    red, green, blue = (picture(name)[..., k] for k in range(3))
    assert not ((red > 150) & (green > 150) & (blue < 60)).any()
    assert picture(name).std() > 3.0


def test_a_model_without_gaps_has_no_flags(run):
    assert run.results["whole_kind"] == "vtkImageData"
    assert run.results["whole_has_flags"] == [False, False]
