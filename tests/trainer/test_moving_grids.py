# SPDX-License-Identifier: BSD-3-Clause
"""Grids that move while a network learns: the map of its error, which grids go where, when, and what becomes of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from array_volumes import make_volume
from hypothesis import given, settings
from hypothesis import strategies as st
from interruptions import interrupt_after

from amgsrn_core import kernels, open_field
from amgsrn_core.models import AMGSRN, AMGSRNConfig
from trainer import errors
from trainer.fit import FitOptions, fit_volume
from trainer.optimisers import make_optimiser
from trainer.placement import Cells, Insertion, find_insertion, is_due, measure_residual, move_grids
from trainer.placement.moving import begin_anew
from trainer.recipes import FastRecipe
from trainer.settings import FitSettings

CELLS = (16, 16, 16)
NODES = 16**3


def box_transform(box: list[float]) -> np.ndarray:
    centre, half = np.array(box[:3]), np.array(box[3:])
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(1 / half)
    matrix[:3, 3] = -centre / half
    return matrix


def detail_in_a_corner(size: int) -> np.ndarray:
    """Smooth everywhere but in the box x > 1/2, y < -1/2, z > 1/2, where there is detail."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij")
    detail = np.sin(45 * x) * np.sin(41 * y) * np.sin(49 * z)
    return (0.2 * x + np.where((x > 0.5) & (y < -0.5) & (z > 0.5), detail, 0.0)).astype(np.float32)


def residual_in(box: list[float]) -> np.ndarray:
    return 1e-6 + 1e-3 * Cells(CELLS).in_box(np.array(box))


@given(st.lists(st.floats(-0.7, 0.7), min_size=3, max_size=3), st.lists(st.floats(0.3, 1.0), min_size=3, max_size=3))
@settings(max_examples=30, deadline=None)
def test_a_box_and_the_transform_into_it_cover_the_same_cells(centre: list[float], half: list[float]) -> None:
    cells, box = Cells((12, 16, 9)), [*centre, *half]
    np.testing.assert_allclose(cells.in_grid(box_transform(box)), cells.in_box(np.array(box)), atol=1e-9)


def test_points_are_in_the_cells_that_boxes_cover() -> None:
    cells, box = Cells((4, 8, 16)), np.array([0.5, -0.5, 0.25, 0.5, 0.25, 0.25])
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 3))
    inside = (np.abs(points - box[:3]) < box[3:]).all(axis=1)
    np.testing.assert_array_equal(cells.in_box(box).ravel()[cells.index(points)], inside.astype(float))


def test_the_map_shows_where_a_network_errs() -> None:
    values = detail_in_a_corner(48)
    network = AMGSRN(AMGSRNConfig(transform="srt"))
    with torch.no_grad():
        network.layers[-1].weight.zero_()
    found = measure_residual(network, make_volume(values), Cells(CELLS), seed=0)
    low, high = float(values.min()), float(values.max())
    truth = ((values.astype(np.float64) - low) / (high - low)) ** 2  # the network is 0 everywhere
    expected = truth.reshape(16, 3, 16, 3, 16, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_missing_values_are_no_error() -> None:
    values = detail_in_a_corner(32)
    values[:16] = np.nan
    found = measure_residual(AMGSRN(AMGSRNConfig()), make_volume(values), Cells(CELLS), seed=0)
    assert (found[:8] == 0).all()
    assert (found[8:] > 0).all()


def test_the_least_useful_grids_go_where_the_error_is() -> None:
    where = [0.6, -0.5, 0.4, 0.3, 0.4, 0.5]
    everywhere, useless = [0, 0, 0, 1, 1, 1], [-0.6, 0.5, -0.4, 0.3, 0.3, 0.3]
    transforms = np.stack([box_transform(box) for box in (everywhere, useless, everywhere, useless, where, where)])
    random = np.random.default_rng(1)
    found = find_insertion(residual_in(where), transforms, NODES, fixed=2, count=2, random=random)
    assert found.grids == [2, 3], "not 1, which is fixed; and not those that are there already"
    assert found.predicted_gain_db > 1
    cells, target = Cells(CELLS), Cells(CELLS).in_box(np.array(where))
    for box in found.boxes:
        assert (cells.in_box(box) * target).sum() > 0.7 * target.sum()
        assert (np.abs(box[:3]) + box[3:] <= 1 + 1e-12).all()


def test_an_even_error_moves_nothing() -> None:
    transforms = np.stack([np.eye(4)] * 8)
    found = find_insertion(np.full(CELLS, 1e-3), transforms, NODES, 2, 2, np.random.default_rng(0))
    assert found.predicted_gain_db < 0.1


def test_no_error_promises_nothing() -> None:
    found = find_insertion(np.zeros(CELLS), np.stack([np.eye(4)] * 8), NODES, 2, 2, np.random.default_rng(0))
    assert found.predicted_gain_db == 0.0


@pytest.mark.parametrize("cautious", [True, False])
@pytest.mark.parametrize("grids", [[], [7]])
def test_grids_move_four_times_and_never_late(grids: list[int], cautious: bool) -> None:
    moves: list[dict[str, Any]] = []
    for step, fraction in enumerate(np.arange(2000) / 2000):
        if is_due(step, fraction, moves, cautious):
            moves.append({"fraction": fraction, "grids": grids})
    events = [0.06] if cautious and not grids else [0.06, 0.13, 0.2, 0.27]
    assert [move["fraction"] for move in moves] == pytest.approx(events)
    assert is_due(1000, 0.3, [], cautious), "a run that has come past several events"
    assert not is_due(1000, 0.3, [{"fraction": 0.28, "grids": [4]}], cautious)
    assert not is_due(1000, 0.4, [], cautious)
    assert not is_due(99, 0.3, [], cautious), "nothing has been learned yet"


@pytest.mark.parametrize("transform", ["matrix", "srt"])
def test_moved_grids_begin_anew_and_the_others_go_on(transform: str) -> None:
    optimiser = make_optimiser(AMGSRN(AMGSRNConfig(transform=transform), seed=3), 100, FastRecipe())
    network = optimiser.network
    for step in range(5):
        points = torch.rand(500, 3, generator=torch.Generator().manual_seed(step)) * 2 - 1
        optimiser.step(step, step / 100, points, points[:, 0] * points[:, 1])
    memory = {name: parameter.data_ptr() for name, parameter in network.named_parameters()}
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    moments = {(name, moment): tensor.clone() for name, moment, tensor in optimiser.moments()}
    boxes = np.array([[0.5, -0.5, 0.25, 0.5, 0.25, 0.75], [-0.5, 0.5, 0, 0.25, 0.5, 1]])
    begin_anew(optimiser, Insertion([5, 11], boxes, 1.0), seed=0)
    moved = torch.zeros(16, dtype=torch.bool)
    moved[[5, 11]] = True
    assert {name: parameter.data_ptr() for name, parameter in network.named_parameters()} == memory
    for name, parameter in network.named_parameters():
        kept = ~moved if len(parameter) == 16 else slice(None)
        assert torch.equal(parameter[kept], before[name][kept])
    assert network.grids[moved].abs().max() <= 1e-4
    assert network.grids[moved].std() > 4e-5
    for name, moment, tensor in optimiser.moments():
        per_grid = name == "grids" or name.startswith("placement.")
        if per_grid and moment != "step":
            assert (tensor[moved] == 0).all()
            assert torch.equal(tensor[~moved], moments[name, moment][~moved])
        else:
            assert torch.equal(tensor, moments[name, moment])
    ends = torch.from_numpy(np.stack([boxes[:, :3] - boxes[:, 3:], boxes[:, :3] + boxes[:, 3:]], axis=1)).float()
    local = kernels.to_local(ends.reshape(4, 3), network.transforms())[moved].detach()
    expected = torch.tensor([-1.0, 1.0])[None, :, None].expand(2, 2, 3)
    own = torch.stack([local[0, :2], local[1, 2:]])
    # As far from exact as the jitter of a new grid is.
    torch.testing.assert_close(own, expected, atol=0.7, rtol=0)


def test_moves_are_repeatable() -> None:
    values = detail_in_a_corner(32)
    states = []
    for seed in (0, 0, 1):
        optimiser = make_optimiser(AMGSRN(AMGSRNConfig(transform="srt")), 100, FastRecipe())
        move = move_grids(optimiser, make_volume(values), seed, 0.07)
        assert move.grids
        assert min(move.grids) >= 4
        assert len(move.grids) <= 4
        states.append(optimiser.network.placement.translations.detach().clone())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_grids_stay_where_too_little_is_predicted() -> None:
    optimiser = make_optimiser(AMGSRN(AMGSRNConfig(transform="srt")), 100, FastRecipe())
    before = {name: parameter.detach().clone() for name, parameter in optimiser.network.named_parameters()}
    move = move_grids(optimiser, make_volume(detail_in_a_corner(32)), 0, 0.07, worth_db=50.0)
    assert move.grids == ()
    assert 0 < move.predicted_gain_db < 50
    assert all(torch.equal(before[name], parameter) for name, parameter in optimiser.network.named_parameters())


def quick(**changes: object) -> FitSettings:
    return FitSettings.of(**{"steps": 1700, "batch": 200, "placement": "iterative", **changes})  # type: ignore[arg-type]


def options() -> FitOptions:
    return FitOptions(torch.device("cpu"), quiet=True, say=lambda message: None)


def test_a_fit_that_moves_grids_resumes_to_the_bit(tmp_path, monkeypatch) -> None:
    volume = make_volume(detail_in_a_corner(32))
    expected = fit_volume(volume, tmp_path / "a.amgsrn", quick(), options()).training
    moves = expected["placement"]["moves"]
    assert [round(move["fraction"], 2) for move in moves] == [0.06, 0.13, 0.2, 0.27]
    assert any(move["grids"] for move in moves)
    # Before an event, just after one, between two, and after samples have begun to follow the error.
    for stop in (90, 15, 200, 70):
        with monkeypatch.context() as patch:
            interrupt_after(patch, stop)
            with pytest.raises(errors.FitInterrupted):
                fit_volume(volume, tmp_path / "b.amgsrn", quick(), options())
    found = fit_volume(volume, tmp_path / "b.amgsrn", quick(), options()).training
    assert found["placement"] == expected["placement"]
    assert found["psnr_db"] == expected["psnr_db"]
    a, b = (open_field(tmp_path / name, "cpu").network.state_dict() for name in ("a.amgsrn", "b.amgsrn"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_time_budget_moves_grids_too(tmp_path, monkeypatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("trainer.clock.time.monotonic", lambda: 0.01 * next(ticks))
    asked = quick(steps=None, time_budget=50.0)
    training = fit_volume(make_volume(detail_in_a_corner(32)), tmp_path / "m.amgsrn", asked, options()).training
    assert len(training["placement"]["moves"]) == 4


@pytest.mark.slow
def test_moving_pays_where_detail_is_concentrated(tmp_path) -> None:
    volume = make_volume(detail_in_a_corner(64))
    settings = {"steps": 1500, "batch": 2048}
    monitored = {}
    for placement in ("identity", "iterative"):
        asked = FitSettings.of(placement=placement, **settings)  # type: ignore[arg-type]
        monitored[placement] = fit_volume(volume, tmp_path / f"{placement}.amgsrn", asked, options()).training
    assert monitored["iterative"]["psnr_db"] > monitored["identity"]["psnr_db"] + 3


@pytest.mark.parametrize("recipe", ["paper", "paper++"])
def test_other_recipes_move_their_grids_their_own_way(recipe: str) -> None:
    with pytest.raises(errors.InvalidOption, match="--placement iterative goes with --recipe fast"):
        FitSettings.of(recipe=recipe, placement="iterative")
