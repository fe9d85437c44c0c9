# SPDX-License-Identifier: BSD-3-Clause
"""When grids move and how learning rates fall, step by step, by the authors' rules."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from trainer.recipes import FastRecipe, PaperRecipe
from trainer.schedules import GridWindow, History, Plateau, cosine, late_fall

PAPER = PaperRecipe()


def test_the_papers_numbers():
    assert (PAPER.steps, PAPER.batch, PAPER.learning_rate, PAPER.placement_rate) == (50_000, 100_000, 0.01, 5e-4)
    assert (PAPER.betas, PAPER.eps) == ((0.9, 0.99), 1e-14)


def test_the_fast_recipes_numbers():
    fast = FastRecipe()
    assert (fast.batch, fast.learning_rate, fast.mlp_rate, fast.placement_rate) == (2048, 0.02, 0.0035, 3e-4)
    assert (fast.betas, fast.eps, fast.fall_start) == ((0.8, 0.99), 1e-14, 0.4)


def test_cosine():
    assert [cosine(fraction) for fraction in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


def test_late_fall():
    assert [late_fall(fraction, 0.4) for fraction in (0, 0.2, 0.4, 0.7, 1)] == pytest.approx([1, 1, 1, 0.5, 0])
    assert [late_fall(fraction, 0.0) for fraction in (0, 0.25, 1)] == pytest.approx([1, 0.75, 0])


def test_history():
    history = History(4)
    assert history.mean(2) == float("inf")
    for value in range(1, 8):
        history.append(value)
    assert history.mean(2) == 6.5
    assert history.mean(2, skip=2) == 4.5
    assert history.mean(4) == 5.5


def test_the_window_opens_after_500_and_closes_at_80_percent():
    window = GridWindow(PAPER, 5000)
    open_steps = []
    for step in range(5000):
        if window.is_open(step):
            open_steps.append(step)
            window.record(step, 1.0 / (step + 1))  # always falling: never converges
    assert (open_steps[0], open_steps[-1]) == (501, 3999)
    assert len(open_steps) == 3499
    assert window.stopped


def test_grids_converge_when_the_density_loss_stops_falling():
    window = GridWindow(PAPER, 50_000)
    step = 0
    while not window.stopped:
        if window.is_open(step):
            window.record(step, 2.0)
        step += 1
    # 2000 losses are there after step 2500; the second time in a row is step 2501.
    assert step - 1 == 2501
    assert not window.is_open(step)


def test_convergence_has_to_be_found_twice_running():
    window = GridWindow(PAPER, 50_000)
    for step in range(501, 2501):
        window.record(step, 2.0)
    assert not window.stopped
    window.record(2501, -2000.0)  # falls much
    assert not window.stopped


def test_the_plateau_is_torchs():
    """Against torch.optim.lr_scheduler.ReduceLROnPlateau itself, on a noisy loss that stops falling."""
    recipe = PaperRecipe(plateau_window=20, plateau_patience=30, plateau_cooldown=15)
    plateau = Plateau(recipe)
    parameter = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        adam, patience=30, threshold=1e-4, threshold_mode="rel", cooldown=15, factor=0.1
    )
    random, losses, factors = np.random.default_rng(0), [], []
    for step in range(600):
        losses.append(float(np.exp(-step / 50) + 0.1 + 0.02 * random.random()))
        plateau.record(losses[-1])
        plateau.step()
        theirs.step(float(np.mean(losses[-20:])))
        assert plateau.factor == pytest.approx(adam.param_groups[0]["lr"])
        factors.append(plateau.factor)
    assert min(factors) < 1e-2
    assert plateau.finished


def test_the_fit_ends_at_the_third_plateau():
    plateau = Plateau(PAPER)
    steps = 0
    while not plateau.finished:
        plateau.record(1.0)
        plateau.step()
        steps += 1
    assert plateau.factor == pytest.approx(1e-3)
    assert steps == 502 + 2 * (250 + 501)


def test_state_survives_being_saved():
    random = np.random.default_rng(3)
    losses = random.random(3000).astype(np.float32).astype(float)
    recipe = PaperRecipe(converge_start=100, converge_window=50, plateau_window=40, plateau_patience=20)
    window, plateau = GridWindow(recipe, 10_000), Plateau(recipe)
    other_window, other_plateau = GridWindow(recipe, 10_000), Plateau(recipe)
    for step, loss in enumerate(losses):
        if step == 1234:
            state = json.loads(json.dumps([window.state(), plateau.state()]))
            other_window.restore(state[0], window.losses.state().copy())
            other_plateau.restore(state[1], plateau.losses.state().copy())
        for w, p in [(window, plateau)] + ([(other_window, other_plateau)] if step >= 1234 else []):
            w.record(step, loss)
            p.record(loss)
            p.step()
    assert other_window.state() == window.state()
    assert other_plateau.state() == plateau.state()
