# SPDX-License-Identifier: BSD-3-Clause
"""Fits that end early: where nothing is left to be learned, and nowhere else."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from interruptions import interrupt_after

from amgsrn_core import open_field
from trainer import errors, plateau
from trainer.fit import FitOptions, fit_volume
from trainer.placement import may_move
from trainer.plateau import EarlyStop
from trainer.recipes import FastRecipe
from trainer.settings import FitSettings
from trainer.volumes import open_volume

STEPS = 15_000


def feed(stop: EarlyStop, losses: np.ndarray, resting: bool = True, bias: float = 1.0, first: int = 0) -> None:
    for step, loss in enumerate(losses, first):
        stop.record(torch.tensor(loss, dtype=torch.float32), bias, stop.fraction(step / STEPS), resting)


def shortened(stop: EarlyStop) -> bool:
    return stop.fraction(0.4) > 0.4


def noisy(level: float, part: float, steps: int = 5000) -> np.ndarray:
    return level * (1.0 + part * np.random.default_rng(0).standard_normal(steps))


def test_a_plateau_ends_the_run_as_if_it_had_been_planned_to_end_then():
    stop = EarlyStop(FastRecipe())
    feed(stop, noisy(1e-3, 0.0, 1490))
    assert not shortened(stop)
    feed(stop, noisy(1e-3, 0.0, 10), first=1490)
    # The first mean is that of 1000 steps, and the best; 500 later it is not beaten.
    begun = 1499 / STEPS
    assert stop.fraction(begun) == pytest.approx(0.4)
    assert stop.fraction(begun / 0.4) == pytest.approx(1.0)
    assert stop.fraction(0.7 * begun / 0.4) == pytest.approx(0.7)
    assert stop.fraction(1.0) == 1.0


def test_what_improves_goes_on():
    stop = EarlyStop(FastRecipe())
    feed(stop, 1e-3 * np.exp(-1e-4 * np.arange(6000)))  # by 5 % in 500 steps
    assert not shortened(stop)


def test_the_papers_threshold_of_improvement():
    for part, goes_on in ((3e-4, True), (3e-5, False)):  # in 500 steps
        stop = EarlyStop(FastRecipe())
        feed(stop, 1e-3 * np.exp(-part / 500 * np.arange(6000)))
        assert shortened(stop) != goes_on, part


def test_noise_has_no_plateaus():
    """A loss that jumps about, as that of nearly empty volumes does, tells nothing."""
    calm, wild = EarlyStop(FastRecipe()), EarlyStop(FastRecipe())
    feed(calm, noisy(1e-3, 0.1))
    spikes = noisy(1e-3, 0.1)
    spikes[::400] *= 200.0
    feed(wild, spikes)
    assert shortened(calm)
    assert not shortened(wild)


def test_what_is_good_enough_does_not_wait():
    good, better = EarlyStop(FastRecipe()), EarlyStop(FastRecipe())
    for stop, level in ((good, 2e-8), (better, 5e-9)):
        feed(stop, noisy(level, 0.1, 1100), resting=False)
    assert not shortened(good)
    assert shortened(better)


def test_the_sample_s_bias_is_taken_out():
    stop = EarlyStop(FastRecipe())
    feed(stop, noisy(5e-8, 0.1, 1100), resting=False, bias=10.0)
    assert shortened(stop)


def test_no_plateau_while_grids_may_move():
    stop = EarlyStop(FastRecipe())
    feed(stop, noisy(1e-3, 0.0, 3000), resting=False)
    assert not shortened(stop)
    feed(stop, noisy(1e-3, 0.0, 600), first=3000)
    assert shortened(stop)


def test_grids_may_move_until_the_last_event_or_until_the_first_has_said_no():
    moved, stayed = {"fraction": 0.06, "grids": [1]}, {"fraction": 0.06, "grids": []}
    assert may_move(0.0, [], True)
    assert may_move(0.2, [moved], True)
    assert not may_move(0.3, [moved], True)
    assert not may_move(0.1, [stayed], True)
    assert may_move(0.1, [stayed], False)


def test_nothing_is_decided_while_the_rate_falls():
    stop = EarlyStop(FastRecipe())
    feed(stop, noisy(1e-3, 0.0, 9000), first=int(0.4 * STEPS))
    assert stop.fraction(0.9) == 0.9


@pytest.mark.parametrize("steps", [777, 1400, 1600])
def test_state_survives_being_saved(steps):
    losses = noisy(1e-3, 0.05, 2000).astype(np.float32)
    whole, first, second = (EarlyStop(FastRecipe()) for _ in range(3))
    feed(whole, losses)
    feed(first, losses[:steps])
    second.restore(json.loads(json.dumps(first.state())))
    feed(second, losses[steps:], first=steps)
    assert second.state() == whole.state()
    assert shortened(whole)
    assert second.fraction(0.2) == whole.fraction(0.2)


def test_a_fit_that_ends_early_ends_with_the_same_bits_when_interrupted(tmp_path, volume_file, monkeypatch):
    """With numbers small enough for a plateau: every mean is one, since none is better than the best by half."""
    for name, value in (("_WINDOW", 40), ("_PATIENCE", 20), ("_CHANGE", 0.5), ("_NOISE", 10.0)):
        monkeypatch.setattr(plateau, name, value)
    with open_volume(volume_file) as reader:
        volume = reader.read()
    settings = FitSettings.of(steps=400, batch=200, early_stop=True, placement="identity")
    options = FitOptions(torch.device("cpu"), quiet=True, say=lambda message: None)
    whole, parts = tmp_path / "whole.amgsrn", tmp_path / "parts.amgsrn"
    expected = fit_volume(volume, whole, settings, options).training
    assert 60 <= expected["steps"] < 400
    for stop in (30, 15, 50):  # before the first decision, in the midst of 20 steps, and while the rate falls
        with monkeypatch.context() as patch:
            interrupt_after(patch, stop)
            with pytest.raises(errors.FitInterrupted):
                fit_volume(volume, parts, settings, options)
    found = fit_volume(volume, parts, settings, options).training
    assert found["steps"] == expected["steps"]
    networks = [open_field(path, "cpu").network.state_dict() for path in (whole, parts)]
    assert all(torch.equal(tensor, networks[1][name]) for name, tensor in networks[0].items())


def test_only_the_fast_recipe_without_a_target_stops_early():
    assert FitSettings.of(early_stop=True).early_stop
    assert not FitSettings.of(early_stop=True, recipe="paper").early_stop
    assert not FitSettings.of(early_stop=True, target_psnr=40.0).early_stop
    assert FitSettings.of(early_stop=True).to_dict() != FitSettings.of().to_dict()
