# SPDX-License-Identifier: BSD-3-Clause
"""Fits that are given a time, a quality or a size, in this process."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import safetensors
import torch
from interruptions import interrupt_after

from amgsrn_core import open_field, read_header
from amgsrn_core.grid import native_nodes, sample_nodes
from trainer import errors
from trainer.checkpoint import checkpoint_path
from trainer.fit import FitOptions, fit_volume, missed_target
from trainer.recipes import FastRecipe
from trainer.settings import FitSettings
from trainer.volumes import open_volume

CPU = torch.device("cpu")


def options(**changes):
    return FitOptions(CPU, quiet=True, **{"say": lambda message: None, **changes})


@pytest.fixture
def volume(tmp_path, write_netcdf, smooth_volume):
    """Larger than a small network, and too wavy to be learned at once."""
    values = smooth_volume((40, 44, 48)) + 0.2 * np.sin(40 * smooth_volume((40, 44, 48)))
    with open_volume(write_netcdf(tmp_path / "waves.nc", {"density": values.astype(np.float32)})) as reader:
        return reader.read()


def psnr_of(path, volume):
    field = open_field(path, "cpu")
    found = sample_nodes(field, *native_nodes(field))[..., 0].astype(np.float64)
    return 20 * np.log10(np.ptp(volume.values)) - 10 * np.log10(np.mean((found - volume.values[..., 0]) ** 2))


@pytest.fixture
def slow_clock(monkeypatch):
    """Time that goes on by 10 ms whenever it is asked for, whatever the machine does."""
    ticks = itertools.count()
    monkeypatch.setattr("trainer.clock.time.monotonic", lambda: 0.01 * next(ticks))


@pytest.mark.parametrize("recipe", ["fast", "paper++"])
def test_a_time_budget_is_kept_and_the_rate_falls_to_nothing(tmp_path, volume, monkeypatch, slow_clock, recipe):
    fractions = []

    def watch(kind):
        original = kind.step

        def step(self, step, fraction, points, targets):
            fractions.append(fraction)
            return original(self, step, fraction, points, targets)

        monkeypatch.setattr(kind, "step", step)

    from trainer.optimisers import FastOptimiser, PaperPlusOptimiser

    watch(FastOptimiser if recipe == "fast" else PaperPlusOptimiser)
    settings = FitSettings.of(recipe=recipe, time_budget=3.0, batch=300)
    training = fit_volume(volume, tmp_path / "m.amgsrn", settings, options()).training
    assert training["steps"] == len(fractions) > 50
    assert 3.0 <= training["training_seconds"] < 3.1
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.02
    assert fractions[-1] > 0.98
    assert training["psnr_db"] > 15


def test_steps_and_time_whichever_comes_first(tmp_path, volume, slow_clock):
    for name, steps, budget, least, most in (("a", 60, 1000.0, 60, 60), ("b", 5000, 1.5, 51, 200)):
        settings = FitSettings.of(steps=steps, time_budget=budget, batch=200)
        training = fit_volume(volume, tmp_path / f"{name}.amgsrn", settings, options()).training
        assert least <= training["steps"] <= most


def test_hardly_any_time_still_gives_a_model(tmp_path, volume):
    training = fit_volume(volume, tmp_path / "m.amgsrn", FitSettings.of(time_budget=1e-6), options()).training
    assert training["steps"] == 50
    assert training["psnr_db"] > 10


def test_the_papers_recipe_just_stops(tmp_path, volume, slow_clock):
    settings = FitSettings.of(recipe="paper", time_budget=2.0, batch=200)
    assert settings.recipe.steps == 50_000
    training = fit_volume(volume, tmp_path / "m.amgsrn", settings, options()).training
    assert 50 <= training["steps"] < 300


def test_the_time_of_earlier_runs_counts(tmp_path, volume, monkeypatch, slow_clock):
    output, settings = tmp_path / "m.amgsrn", FitSettings.of(time_budget=3.0, batch=200)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 60)
        with pytest.raises(errors.FitInterrupted, match=r"interrupted at step \d+; run"):
            fit_volume(volume, output, settings, options())
    spent = read_header(checkpoint_path(output)).training["checkpoint"]["progress"]["training_seconds"]
    assert 0.5 < spent < 2.5
    training = fit_volume(volume, output, settings, options()).training
    assert 3.0 <= training["training_seconds"] < 3.1
    with pytest.raises(errors.OutputExists, match=r"time_budget 3.0, not 4.0"):
        fit_volume(volume, output, FitSettings.of(time_budget=4.0, batch=200), options())


def test_a_target_is_reached_without_more_work_than_needed(tmp_path, volume):
    settings = FitSettings.of(target_psnr=26.0, steps=5000, batch=1000)
    output = tmp_path / "m.amgsrn"
    training = fit_volume(volume, output, settings, options()).training
    assert training["target_psnr_db"] == 26.0
    assert training["target_reached"] is True
    assert training["psnr_db"] >= 26.0
    assert training["steps"] <= 1500
    assert training["networks"] == 1
    assert psnr_of(output, volume) == pytest.approx(training["psnr_db"], abs=0.01)
    assert missed_target(training) is None


GROWING = {"steps": 200, "batch": 500, "target_psnr": 30.0, "placement": "identity"}


def test_the_network_grows_towards_the_target(tmp_path, volume):
    messages = []
    training = fit_volume(
        volume, tmp_path / "m.amgsrn", FitSettings.of(**GROWING), options(say=messages.append)
    ).training
    assert training["networks"] >= 2
    assert training["parameters"] > 1.8 * 70_880
    assert training["target_reached"] is True
    assert sum("going on with a larger network" in message for message in messages) == training["networks"] - 1
    assert training["psnr_db"] >= 30.0
    assert psnr_of(tmp_path / "m.amgsrn", volume) == pytest.approx(training["psnr_db"], abs=0.01)


def test_an_interrupted_growing_fit_ends_with_the_same_bits(tmp_path, volume, monkeypatch):
    settings = FitSettings.of(**GROWING)
    expected = fit_volume(volume, tmp_path / "a.amgsrn", settings, options()).training
    assert expected["networks"] >= 2
    output, runs = tmp_path / "b.amgsrn", 0
    while not output.exists():
        runs += 1
        with monkeypatch.context() as patch:
            # Training asks once a step, measuring more than once: some runs end before they have done anything.
            interrupt_after(patch, 60 + 37 * runs)
            try:
                found = fit_volume(volume, output, settings, options()).training
            except errors.FitInterrupted:
                assert checkpoint_path(output).exists()
    assert runs > 3
    one, other = (open_field(tmp_path / name, "cpu").network.state_dict() for name in ("a.amgsrn", "b.amgsrn"))
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name
    for key in ("steps", "networks", "points", "psnr_db", "target_reached", "precision", "half_costs_db", "parameters"):
        assert found[key] == expected[key], key
    assert not checkpoint_path(output).exists()


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"target_size": 170_000}, "would not fit into --target-size"),
        ({}, "would be no smaller than the volume"),
        ({"time_budget": 1e-3}, "the time is up"),
    ],
)
def test_a_target_that_is_out_of_reach(tmp_path, volume, limits, says):
    messages, output = [], tmp_path / "m.amgsrn"
    settings = FitSettings.of(**{**GROWING, "target_psnr": 100.0, "steps": 60, **limits})
    training = fit_volume(volume, output, settings, options(say=messages.append)).training
    assert training["target_reached"] is False
    assert training["target_psnr_db"] == 100.0
    assert any(says in message for message in messages)
    assert messages[-1] == missed_target(training)
    assert messages[-1].startswith("warning: the target of 100.00 dB was not reached; the best model, of ")
    assert psnr_of(output, volume) == pytest.approx(training["psnr_db"], abs=0.01)
    assert output.stat().st_size < volume.values.nbytes
    assert output.stat().st_size <= limits.get("target_size", 10**9)


def test_with_a_target_the_first_network_leaves_time_for_a_larger_one(tmp_path, volume, slow_clock):
    goals = {"target_psnr": 100.0, "time_budget": 4.0, "batch": 200}
    for name, more, networks in (("a", {}, 2), ("b", {"target_size": 170_000}, 1)):
        training = fit_volume(volume, tmp_path / f"{name}.amgsrn", FitSettings.of(**goals, **more), options()).training
        assert training["networks"] == networks
        assert 4.0 <= training["training_seconds"] < 4.5


def test_the_best_model_is_kept(tmp_path, volume, monkeypatch):
    """A larger network that turns out worse, here because it is ruined, is not what is written."""
    from trainer import fitting

    def ruined(network, config, seed):
        larger = grow(network, config, seed)
        with torch.no_grad():
            larger.grids.mul_(0)
            for layer in larger.layers:
                layer.weight.mul_(0)
        return larger

    grow = fitting.grow
    monkeypatch.setattr(fitting, "grow", ruined)
    output = tmp_path / "m.amgsrn"
    settings = FitSettings.of(**{**GROWING, "target_psnr": 100.0, "target_size": 300_000, "steps": 120})
    training = fit_volume(volume, output, settings, options()).training
    assert training["networks"] == 2
    assert training["parameters"] < 80_000
    assert psnr_of(output, volume) == pytest.approx(training["psnr_db"], abs=0.01)
    assert training["psnr_db"] > 15


@pytest.mark.parametrize("limit", [60_000, 200_000])
@pytest.mark.parametrize("precision", ["auto", "single"])
def test_a_file_of_a_wanted_size(tmp_path, volume, limit, precision):
    output = tmp_path / "m.amgsrn"
    settings = FitSettings.of(target_size=limit, precision=precision, steps=60, batch=300)
    training = fit_volume(volume, output, settings, options()).training
    assert 0.88 * limit < output.stat().st_size <= limit
    assert training["precision"] == ("single" if precision == "single" else "half")
    assert open_field(output, "cpu").network.parameter_count() == training["parameters"]


def test_a_size_that_is_too_small_is_told_before_anything_is_done(tmp_path, volume):
    with pytest.raises(
        errors.InvalidOption, match=r"--target-size 9000 is too small: the least for this volume is 2\d{4} "
    ):
        fit_volume(volume, tmp_path / "m.amgsrn", FitSettings.of(target_size=9000), options())
    assert [path.name for path in tmp_path.iterdir()] == ["waves.nc"]


def test_what_is_reported_is_what_is_stored(tmp_path, volume):
    outputs = {}
    for precision in ("auto", "half", "single"):
        path = tmp_path / f"{precision}.amgsrn"
        training = fit_volume(
            volume, path, FitSettings.of(precision=precision, steps=80, batch=300), options()
        ).training
        outputs[precision] = training
        with safetensors.safe_open(path, framework="pt") as file:
            stored = file.get_tensor("grids").dtype
            assert file.get_tensor("layers.0.weight").dtype == torch.float32
        assert stored == (torch.float16 if training["precision"] == "half" else torch.float32)
        assert psnr_of(path, volume) == pytest.approx(training["psnr_db"], abs=1e-3)
    assert outputs["auto"]["precision"] == outputs["half"]["precision"] == "half"
    assert abs(outputs["auto"]["half_costs_db"]) < 0.05
    assert outputs["single"]["half_costs_db"] is None


def test_checkpoints_are_not_rounded(tmp_path, volume, monkeypatch):
    interrupt_after(monkeypatch, 30)
    with pytest.raises(errors.FitInterrupted):
        fit_volume(volume, tmp_path / "m.amgsrn", FitSettings.of(precision="half", batch=300), options())
    with safetensors.safe_open(checkpoint_path(tmp_path / "m.amgsrn"), framework="pt") as file:
        grids = file.get_tensor("grids")
    assert grids.dtype == torch.float32
    assert not torch.equal(grids, grids.half().float())


def test_a_constant_volume_reaches_any_target(tmp_path, write_netcdf):
    with open_volume(write_netcdf(tmp_path / "c.nc", {"v": np.full((5, 6, 7), 3.25, np.float32)})) as reader:
        constant = reader.read()
    settings = FitSettings.of(target_psnr=60.0, time_budget=5.0)
    training = fit_volume(constant, tmp_path / "m.amgsrn", settings, options()).training
    assert (training["steps"], training["target_reached"], training["psnr_db"]) == (0, True, None)


def test_time_goes_on_while_it_is_measured(monkeypatch):
    from trainer.checkpoint import Progress
    from trainer.clock import Clock

    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(Progress(seconds=7.0, training_seconds=5.0))
    now[0] += 2
    assert clock.training_seconds() == 5.0
    clock.start_training()
    now[0] += 3
    clock.start_training()
    assert clock.training_seconds() == 8.0
    assert clock.spent(Progress()).seconds == 12.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"preset": "small", "target_size": 10**6}, "--target-size and --preset small both"),
        ({"target_psnr": 0.0}, "--target-psnr 0 makes no sense"),
        ({"target_psnr": float("nan")}, "--target-psnr nan makes no sense"),
        ({"target_psnr": 40.0, "recipe": "paper"}, "--target-psnr goes with --recipe fast, not with paper"),
        ({"target_psnr": 40.0, "recipe": "paper++"}, "--target-psnr goes with --recipe fast"),
        ({"placement": "density", "recipe": "paper"}, "--placement density goes with --recipe fast"),
    ],
)
def test_options_that_contradict_each_other(wrong, says):
    with pytest.raises(errors.InvalidOption) as caught:
        FitSettings.of(**wrong)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (15_000, 2048)),
        ({"preset": "medium"}, (10_000, 4096)),
        ({"preset": "large", "steps": 7}, (7, 4096)),
        ({"preset": "medium", "batch": 9, "time_budget": 5.0}, (None, 9)),
        ({"preset": "medium", "recipe": "paper"}, (50_000, 100_000)),
    ],
)
def test_larger_networks_have_larger_batches(options, expected):
    recipe = FitSettings.of(**options).recipe
    assert (recipe.steps, recipe.batch) == expected


def test_every_option_makes_another_fit():
    plain = FitSettings.of().to_dict()
    changes = (
        {"time_budget": 5.0},
        {"target_psnr": 40.0},
        {"target_size": 10**5},
        {"precision": "half"},
        {"recipe": "paper++"},
        {"placement": "density"},
    )
    described = [plain, *(FitSettings.of(**change).to_dict() for change in changes)]
    for one, other in itertools.combinations(described, 2):
        assert one != other


def test_how_many_steps_a_time_budget_leaves():
    assert FitSettings.of(time_budget=5.0).recipe.steps is None
    assert FitSettings.of(time_budget=5.0, steps=7).recipe.steps == 7
    # With a target, networks are trained one after the other, each for the recipe's steps.
    assert FitSettings.of(time_budget=5.0, target_psnr=40.0).recipe.steps == FastRecipe().steps
