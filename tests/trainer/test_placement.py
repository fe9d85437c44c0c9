# SPDX-License-Identifier: BSD-3-Clause
"""Boxes searched from the data: the table of detail, the search, and where the boxes end up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from array_volumes import make_volume

from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN, AMGSRNConfig
from trainer.placement import (
    CUBES,
    BoxSearch,
    DetailTable,
    find_proportions,
    grid_proportions,
    measure_detail,
    place_grids,
)
from trainer.placement.detail import CELLS, RESOLUTIONS

NODES = 16**3


def noise_in_a_corner(size: int = 64) -> np.ndarray:
    """Smooth everywhere but in the box x > 1/3, y < -1/3, z > 1/3, where there is detail."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij")
    detail = np.sin(25 * x) * np.sin(27 * y) * np.sin(23 * z)
    return (0.2 * x + np.where((x > 1 / 3) & (y < -1 / 3) & (z > 1 / 3), detail, 0.0)).astype(np.float32)


def detail_of(values: np.ndarray) -> DetailTable:
    volume = make_volume(values)
    return measure_detail(volume.values, volume.ranges)


@pytest.fixture(scope="module")
def corner() -> DetailTable:
    values = noise_in_a_corner()
    return detail_of(values)


def test_error_falls_with_density_and_lies_where_the_detail_is(corner: DetailTable) -> None:
    assert (np.diff(corner.errors, axis=0) <= 0).all()
    at_16 = corner.errors[RESOLUTIONS.index(18)].reshape(CELLS, CELLS, CELLS)
    inside = at_16[16:, :8, 16:].sum()  # [z, y, x]
    assert inside > 0.9 * at_16.sum()


def test_a_linear_field_has_no_error_at_any_density() -> None:
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, 40, dtype=np.float32)] * 3, indexing="ij")
    table = detail_of(x + 2 * y - z)
    # The smoothing before reduction bends the ends a little; nodes at all resolutions but the coarsest are exact.
    assert table.errors[-1].max() < 1e-6


def test_total_is_the_table_at_its_own_densities(corner: DetailTable) -> None:
    for row, log_nodes in enumerate(corner.log_nodes):
        nodes = np.full(CELLS**3, np.exp(log_nodes))
        assert corner.total(nodes) == pytest.approx(corner.errors[row].sum(), rel=1e-6)


def test_boxes_go_where_the_detail_is_and_promise_a_gain(corner: DetailTable) -> None:
    result = BoxSearch(corner, NODES, grids=8, fixed=4).run(seed=1)
    np.testing.assert_array_equal(result.boxes[:4], [[0, 0, 0, 1, 1, 1]] * 4)
    assert result.predicted_gain_db > 3
    centre, half = result.boxes[:, :3], result.boxes[:, 3:]
    density = [
        ((np.abs(np.array(p) - centre) < half).all(axis=1) / half.prod(axis=1)).sum()
        for p in ((0.66, -0.66, 0.66), (-0.66, 0.66, -0.66))
    ]
    assert density[0] > 10 * density[1]


def test_boxes_stay_in_the_domain_and_the_search_is_repeatable(corner: DetailTable) -> None:
    search = BoxSearch(corner, NODES, grids=6, fixed=1)
    first, again, other = search.run(seed=3), search.run(seed=3), search.run(seed=4)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.boxes, other.boxes)
    centre, half = first.boxes[:, :3], first.boxes[:, 3:]
    assert (half >= 0.2 - 1e-12).all()
    assert (np.abs(centre) + half <= 1 + 1e-12).all()


def test_uniform_detail_promises_nothing() -> None:
    values = np.random.default_rng(0).random((48, 48, 48), dtype=np.float32)
    table = detail_of(values)
    assert BoxSearch(table, NODES, grids=16, fixed=6).run().predicted_gain_db < 0.8


def test_constant_missing_and_huge_values_are_no_trouble() -> None:
    constant = detail_of(np.full((8, 9, 10), 3.0, np.float32))
    assert BoxSearch(constant, NODES, grids=8, fixed=4).run().predicted_gain_db == 0.0
    values = noise_in_a_corner(32) * np.float32(1e11)
    values[:5] = np.nan
    table = detail_of(values)
    assert np.isfinite(table.errors).all()


def test_large_volumes_are_reduced_before_they_are_measured() -> None:
    values = noise_in_a_corner(330)
    table = detail_of(values)
    at_16 = table.errors[RESOLUTIONS.index(18)].reshape(CELLS, CELLS, CELLS)
    assert at_16[16:, :8, 16:].sum() > 0.9 * at_16.sum()


@pytest.mark.parametrize("transform", ["matrix", "srt"])
def test_grids_move_into_their_boxes(transform: str) -> None:
    network = AMGSRN(AMGSRNConfig(grids=1, transform=transform))
    before = network.transforms().detach().clone()
    network.placement.move_into(torch.tensor([[0.5, -0.25, 0.0, 0.5, 0.25, 1.0]], dtype=torch.float64))
    corners = torch.tensor([[0.0, -0.5, -1.0], [1.0, 0.0, 1.0], [0.5, -0.25, 0.0]])
    local = kernels.to_local(corners, network.transforms())[0].detach()
    # As far from exact as the initial jitter is, no more.
    np.testing.assert_allclose(local, [[-1, -1, -1], [1, 1, 1], [0, 0, 0]], atol=0.6)
    assert not torch.equal(before, network.transforms())
    network.placement.move_into(torch.tensor([[0.0, 0, 0, 1, 1, 1]]))
    np.testing.assert_allclose(kernels.to_local(corners, network.transforms())[0].detach(), local, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("auto", "data"), ("data", "data"), ("identity", "identity"), ("iterative", "identity")],
)
def test_methods_on_a_volume_with_a_detailed_corner(method: str, expected: str) -> None:
    network, untouched = (AMGSRN(AMGSRNConfig(), seed=5) for _ in range(2))
    placement = place_grids(network, make_volume(noise_in_a_corner()), method, seed=0)
    assert placement.method == expected
    assert (placement.predicted_gain_db is None) == (expected == "identity")
    assert placement.moves == (method in ("auto", "iterative"))
    moved = ~torch.isclose(network.transforms(), untouched.transforms()).flatten(1).all(dim=1)
    assert not moved[:6].any()
    assert int(moved.sum()) >= (5 if expected == "data" else 0)
    assert bool(moved.any()) == (expected == "data")


def test_auto_leaves_evenly_detailed_volumes_alone() -> None:
    values = np.random.default_rng(0).random((48, 48, 48), dtype=np.float32)
    placement = place_grids(AMGSRN(AMGSRNConfig()), make_volume(values), "auto", 0)
    assert placement.method == "identity"
    assert placement.moves


def test_auto_leaves_grids_alone_that_have_proportions_of_their_own() -> None:
    network = AMGSRN(AMGSRNConfig(resolution=(23, 16, 11)))
    placement = place_grids(network, make_volume(noise_in_a_corner()), "auto", 0)
    assert (placement.method, placement.moves) == ("identity", False)
    nearly_cubes = AMGSRN(AMGSRNConfig(resolution=(16, 15, 15)))
    assert place_grids(nearly_cubes, make_volume(noise_in_a_corner()), "auto", 0).method == "data"


def layers(shape: tuple[int, int, int]) -> np.ndarray:
    """Waves along x and y, nothing along z but a slope."""
    z, y, x = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    return (np.sin(90 * x) * np.cos(80 * y) + 0.1 * z).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_grids_have_few_nodes_along_an_axis_without_detail(axis: int) -> None:
    values = np.moveaxis(layers((80, 88, 96)), 0, axis)
    found = find_proportions(make_volume(np.ascontiguousarray(values)), 16 * NODES, seed=0)
    assert found.predicted_gain_db > 5
    assert np.prod(found.proportions) == pytest.approx(1.0)
    assert int(np.argmin(found.proportions)) == 2 - axis  # (x, y, z)
    assert min(found.proportions) == 0.25
    assert grid_proportions(make_volume(np.ascontiguousarray(values)), 16 * NODES, seed=0) == found.proportions


def test_grids_are_cubes_where_detail_is_the_same_along_all_axes() -> None:
    values = np.random.default_rng(0).random((64, 64, 64), dtype=np.float32)
    assert grid_proportions(make_volume(values), 16 * NODES, seed=0) == CUBES


def test_grids_are_cubes_where_the_volume_has_fewer_values_than_the_network_nodes() -> None:
    volume = make_volume(layers((10, 12, 14)))
    found = find_proportions(volume, 16 * NODES, seed=0)
    assert (found.proportions, found.predicted_gain_db) == (CUBES, 0.0)
