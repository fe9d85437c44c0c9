# SPDX-License-Identifier: BSD-3-Clause
"""What is minimised: the squared error of values; the paper's feature-density loss, which moves grids to where the
error is; and what AMGSRN++ adds to keep features smooth and small."""

from __future__ import annotations

import torch

from amgsrn_core import kernels

_TINY = 1e-16


def squared_errors(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared error of every point (n,), the mean over its components, in units of their ranges squared.

    The authors take it in raw data units. Adam's steps do not depend on the scale of a loss (but for its eps of 1e-14),
    and the density loss only uses ratios of errors, so that both are equivalent; values of 1e11 squared would not fit
    into float32, however.

    Args:
        predicted, targets: (n, c).
    """
    return (predicted - targets).square().mean(dim=1)


def density_loss(density: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    """Feature-density loss: KL divergence of the density of features from one that has more of them where the error is
    large.

    rho = D / sum(D); target ~ exp(log(rho + 1e-16) * mean(L) / (L + 1e-16)), normalised; loss = mean over points of
    target * (log target - log rho). Where L is above its mean the exponent is below 1, which raises rho (rho < 1).
    Source: Wurster et al., section 4.3 (equations 5-7), with the constants of the authors' code.

    Args:
        density: D at the points of a batch (n,), with gradient.
        errors: L at the same points (n,); no gradient flows into them.

    Returns:
        scalar.
    """
    # The authors detach the sum, too.
    share = density / density.sum().detach()
    log_share = torch.log(share + _TINY)
    errors = errors.detach()
    target = torch.exp(log_share.detach() * (errors.mean() / (errors + _TINY)))
    log_target = torch.log(target / target.sum() + _TINY)
    return (log_target.exp() * (log_target - log_share)).mean()


def plus_density(points: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
    """Feature density as AMGSRN++ has it: sum over grids of |det| exp(-sum_axis t^20), t the point in the grid.

    `kernels.density` is the paper's, with half the exponent and a constant factor.

    Args:
        points: (n, 3).
        transforms: (m, 4, 4).

    Returns:
        (n,).
    """
    local = kernels.to_local(points, transforms)
    volume = torch.linalg.det(transforms[:, :3, :3]).abs()
    return (volume.unsqueeze(1) * torch.exp(-local.pow(20).sum(dim=2))).sum(dim=0)


def total_variation(grids: torch.Tensor) -> torch.Tensor:
    """Mean squared differences of features (m, c, d, h, w) between neighbours along x, y and z, and between the same
    nodes of successive grids; the four means are added. A scalar.

    Source: the authors' code of AMGSRN++.
    """
    along = [torch.diff(grids, dim=axis) for axis in (4, 3, 2, 0)]
    # Of a single grid there are no successive ones, and a mean of nothing is not a number.
    return sum((d.square().mean() for d in along if d.numel()), torch.zeros((), device=grids.device))
