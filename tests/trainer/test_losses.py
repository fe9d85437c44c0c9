# SPDX-License-Identifier: BSD-3-Clause
"""The paper's feature-density loss against its formula written down in numpy, and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amgsrn_core.models import AMGSRN, AMGSRNConfig
from trainer.losses import density_loss, plus_density, squared_errors, total_variation


def independent(density, errors):
    """KL divergence, pointwise mean, as in the authors' code."""
    share = density / density.sum()
    target = np.exp(np.log(share + 1e-16) * errors.mean() / (errors + 1e-16))
    target = target / target.sum()
    return np.mean(target * (np.log(target + 1e-16) - np.log(share + 1e-16)))


def test_value():
    random = np.random.default_rng(0)
    density, errors = random.uniform(0.1, 5, 400), random.exponential(1e-3, 400)
    loss = density_loss(torch.from_numpy(density), torch.from_numpy(errors))
    np.testing.assert_allclose(loss.item(), independent(density, errors), rtol=1e-9)


def test_equal_errors_leave_the_density_alone():
    density = torch.rand(100, dtype=torch.float64) + 0.5
    assert abs(density_loss(density, torch.full((100,), 0.3, dtype=torch.float64)).item()) < 1e-12


def test_gradient_goes_to_the_transforms_only_and_raises_density_where_errors_are():
    network = AMGSRN(AMGSRNConfig(grids=4, resolution=(4, 4, 4)), seed=0)
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    errors = torch.where(points[:, 0] > 0.5, 1.0, 0.01).requires_grad_()
    before = network.density(points)
    density_loss(before, errors).backward()
    assert errors.grad is None
    assert network.grids.grad is None
    with torch.no_grad():
        network.placement.matrices -= 100 * network.placement.matrices.grad
        after = network.density(points)
    inside = points[:, 0] > 0.5
    share = lambda d: d[inside].sum() / d.sum()  # noqa: E731
    assert share(after) > share(before)


def test_gradient_treats_sum_and_target_as_constant():
    random = np.random.default_rng(1)
    density, errors = random.uniform(0.5, 2, 30), random.exponential(1e-2, 30)
    tensor = torch.from_numpy(density).requires_grad_()
    density_loss(tensor, torch.from_numpy(errors)).backward()
    share = density / density.sum()
    target = np.exp(np.log(share + 1e-16) * errors.mean() / (errors + 1e-16))
    target /= target.sum()
    expected = -(target + 1e-16) / (share + 1e-16) / density.sum() / len(density)
    np.testing.assert_allclose(tensor.grad.numpy(), expected, rtol=1e-9)


def test_squared_errors():
    assert squared_errors(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [5.0]])).tolist() == [0.25, 4.0]


def test_density_of_amgsrn_plus_plus():
    """Against its formula, written down for one point and two grids: no constant factors."""
    transforms = np.zeros((2, 4, 4))
    transforms[0] = np.diag([2.0, 1.0, 0.5, 1.0])
    transforms[1] = np.diag([1.0, 1.0, 3.0, 1.0])
    transforms[1, :3, 3] = [0.1, 0.0, -0.2]
    x, y, z = 0.45, -0.9, 0.35
    first = 2.0 * 1.0 * 0.5 * np.exp(-((2 * x) ** 20 + y**20 + (0.5 * z) ** 20))
    second = 3.0 * np.exp(-((x + 0.1) ** 20 + y**20 + (3 * z - 0.2) ** 20))
    found = plus_density(torch.tensor([[x, y, z]], dtype=torch.float64), torch.from_numpy(transforms))
    np.testing.assert_allclose(found.numpy(), [first + second], rtol=1e-12)


def test_total_variation():
    """By hand, for two grids of 1 x 2 x 2 nodes and one channel."""
    grids = torch.tensor([[[[[1.0, 2.0], [4.0, 8.0]]]], [[[[0.0, 0.0], [0.0, 1.0]]]]])
    along_x = (1 + 16 + 0 + 1) / 4
    along_y = (9 + 36 + 0 + 1) / 4
    between_grids = (1 + 4 + 16 + 49) / 4
    assert total_variation(grids).item() == pytest.approx(along_x + along_y + between_grids)
    assert total_variation(grids[:1]).item() == pytest.approx((1 + 16) / 2 + (9 + 36) / 2)
