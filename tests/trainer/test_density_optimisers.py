# SPDX-License-Identifier: BSD-3-Clause
"""AMGSRN++'s schedule and the fast recipe with moving grids, against formulas written down independently."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from amgsrn_core.models import AMGSRN, AMGSRNConfig
from trainer.optimisers import FastDensityOptimiser, FastOptimiser, PaperOptimiser, PaperPlusOptimiser, make_optimiser
from trainer.recipes import RECIPES, DensityRecipe, FastRecipe, PaperPlusRecipe, PaperRecipe

PLUS = PaperPlusRecipe()
CONFIG = AMGSRNConfig(3, 2, (4, 5, 6), (8, 8), transform="srt")


def batch(seed, count=200):
    generator = torch.Generator().manual_seed(seed)
    points = 2 * torch.rand(count, 3, generator=generator) - 1
    return points, torch.sin(3 * points[:, :1]) * points[:, 1:2] * 0.5 + 0.5


def test_the_authors_numbers():
    assert (PLUS.steps, PLUS.batch) == (30_000, 131_072)
    assert (PLUS.learning_rate, PLUS.betas, PLUS.eps) == (0.01, (0.9, 0.99), 1e-15)
    assert (PLUS.placement_rate, PLUS.placement_betas) == (1e-3, (0.9, 0.999))
    assert (PLUS.variation_weight, PLUS.size_weight) == (1e-4, 2.5e-5)
    assert (PLUS.transform, PLUS.placement, PLUS.sampling) == ("srt", "identity", "uniform")
    assert json.loads(json.dumps(PLUS.to_dict())) == PLUS.to_dict()


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        (FastRecipe(), FastOptimiser),
        (DensityRecipe(), FastDensityOptimiser),
        (PaperRecipe(), PaperOptimiser),
        (PLUS, PaperPlusOptimiser),
    ],
)
def test_every_recipe_has_its_optimiser(recipe, kind):
    assert type(make_optimiser(AMGSRN(CONFIG), 10, recipe)) is kind
    assert RECIPES[recipe.name] in type(recipe).__mro__


def test_initial_transforms_are_the_authors():
    placement = AMGSRN(AMGSRNConfig(grids=200, transform="srt")).placement
    scales = placement.log_scales.exp()
    assert ((scales > 0.95) & (scales <= 1.0)).all()
    assert (placement.translations.abs() <= 0.05).all()
    assert placement.translations.std().item() == pytest.approx(0.1 / math.sqrt(12), rel=0.1)
    assert torch.equal(placement.quaternions, torch.tensor([0.0, 0, 0, 1]).expand(200, 4))


def test_when_grids_move_and_how_fast():
    """Torch's own scheduler over a fifth of the steps, stepped only when the grids move, from iteration 501 on."""
    steps = 3000
    optimiser = PaperPlusOptimiser(AMGSRN(CONFIG), steps, PaperPlusRecipe(steps=steps))
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=steps // 5)
    for step in range(steps):
        expected = 0.0
        if step > 500 and adam.param_groups[0]["lr"] > 1e-8:
            expected = adam.param_groups[0]["lr"]
            adam.step()
            scheduler.step()
        found = optimiser.placement_rate(step, step / steps)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-9), step
    assert optimiser.placement_rate(501, 501 / steps) == 1e-3
    assert optimiser.placement_rate(501 + 300, 801 / steps) == pytest.approx(5e-4)


def independent_step(network, adams, rates, points, targets, moving):
    """One iteration as the authors' code has it, with torch's functions only; returns the mean squared error."""
    (grids, placement, layers) = network.grids, network.placement, network.layers
    unit = placement.quaternions / placement.quaternions.norm(dim=1, keepdim=True)
    x, y, z, w = unit.unbind(1)
    rotation = torch.stack(
        [
            torch.stack([1 - 2 * (y**2 + z**2), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x**2 + z**2), 2 * (y * z - w * x)], 1),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x**2 + y**2)], 1),
        ],
        1,
    )
    scales = placement.log_scales.exp()
    local = torch.einsum("mij,nj->mni", rotation @ torch.diag_embed(scales), points) + placement.translations[:, None]
    sampled = F.grid_sample(grids, local.detach()[:, :, None, None], align_corners=True, padding_mode="zeros")
    hidden = sampled[..., 0, 0].permute(2, 0, 1).flatten(1)
    for k, layer in enumerate(layers):
        hidden = hidden @ layer.weight.T
        hidden = hidden.clamp(min=0) if k + 1 < len(layers) else hidden
    errors = (hidden[:, 0] - targets[:, 0]) ** 2
    variation = sum((grids.diff(dim=axis) ** 2).mean() for axis in (0, 2, 3, 4))
    (errors.mean() + 1e-4 * variation + 2.5e-5 * grids.abs().mean()).backward()
    if moving:
        density = (scales.prod(1)[:, None] * torch.exp(-(local**20).sum(2))).sum(0)
        density = density / density.sum().detach()
        fixed = errors.detach()
        target = torch.exp(torch.log(density + 1e-16) * (fixed.mean() / (fixed + 1e-16))).detach()
        target = target / target.sum()
        F.kl_div(
            torch.log(density + 1e-16), torch.log(target + 1e-16), reduction="none", log_target=True
        ).mean().backward()
    for adam, rate, used in zip(adams, rates, (True, moving), strict=True):
        if used:
            adam.param_groups[0]["lr"] = rate
            adam.step()
        adam.zero_grad()
    return float(errors.mean().detach())


def test_steps_are_the_authors():
    """Ten iterations in double precision, the last six of them with moving grids."""
    recipe = PaperPlusRecipe(steps=40, density_start=3)
    mine, other = (AMGSRN(CONFIG, seed=4).double() for _ in range(2))
    optimiser = PaperPlusOptimiser(mine, 40, recipe)
    features = [other.grids, *other.layers.parameters()]
    adams = (
        torch.optim.Adam(features, lr=0.01, betas=(0.9, 0.99), eps=1e-15),
        torch.optim.Adam(other.placement.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-15),
    )
    start = other.placement.translations.detach().clone()
    for step in range(10):
        points, targets = (tensor.double() for tensor in batch(step))
        loss = optimiser.step(step, step / 40, points, targets)
        moved = step - 4
        rates = [0.005 * (1 + math.cos(math.pi * step / 40)), 0.0005 * (1 + math.cos(math.pi * max(moved, 0) / 8))]
        assert float(loss) == pytest.approx(independent_step(other, adams, rates, points, targets, step > 3), rel=1e-9)
    assert (other.placement.translations - start).abs().max() > 1e-3
    for (name, found), expected in zip(mine.named_parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-6, atol=1e-9, err_msg=name)


def test_the_density_loss_moves_the_fast_recipes_grids_for_a_while():
    recipe = DensityRecipe(steps=100, placement_rate=0.0, density_start=0.1, density_end=0.4)
    network = AMGSRN(CONFIG, seed=1)
    optimiser = FastDensityOptimiser(network, 100, recipe)
    moved = []
    for step in range(100):
        before = [parameter.detach().clone() for parameter in network.placement.parameters()]
        optimiser.step(step, step / 100, *batch(step))
        pairs = zip(before, network.placement.parameters(), strict=True)
        moved.append(max(float((old - new.detach()).abs().max()) for old, new in pairs))
    assert [step for step in range(100) if moved[step] > 0] == list(range(10, 40))
    # The first step of Adam is as long as its rate.
    assert moved[10] == pytest.approx(recipe.density_rate, rel=1e-2)
    assert moved[39] < 0.05 * recipe.density_rate


@pytest.mark.parametrize("recipe", [PaperPlusRecipe(steps=60, density_start=10), DensityRecipe(steps=60)])
def test_state_survives_being_saved(recipe):
    one, two = AMGSRN(CONFIG, seed=6), AMGSRN(CONFIG, seed=7)
    first = make_optimiser(one, 60, recipe)
    for step in range(25):
        first.step(step, step / 60, *batch(step))
    second = make_optimiser(two, 60, recipe)
    two.load_state_dict(one.state_dict())
    saved = {(name, moment): tensor.clone() for name, moment, tensor in first.moments()}
    assert len(saved) == len(list(first.moments())), "every moment has a name of its own"
    for name, moment, tensor in second.moments():
        tensor.copy_(saved[name, moment])
    second.restore(json.loads(json.dumps(first.counters())), first.series())
    for step in range(25, 50):
        for optimiser in (first, second):
            optimiser.step(step, step / 60, *batch(step))
    for found, expected in zip(two.parameters(), one.parameters(), strict=True):
        assert torch.equal(found, expected)
