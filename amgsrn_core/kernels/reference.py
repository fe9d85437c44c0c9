# SPDX-License-Identifier: BSD-3-Clause
"""The reference kernels: plain PyTorch, any device, any float type, differentiable.

Every other back end is checked against them.

Shapes: n points, m grids, c channels, grids of d x h x w nodes (z, y, x). Points are (x, y, z) in [-1, 1]^3.
Source: Wurster et al., "Adaptively Placed Multi-Grid Scene Representation Networks", section 4.1 (network), 4.2
(density).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

# Half the exponent of the paper's "flat-top Gaussian": nearly a box, but differentiable.
_FLAT_TOP_POWER = 20


def to_local(points: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
    """Points in each grid's own coordinates, in which the grid spans [-1, 1]^3.

    Args:
        points: (n, 3).
        transforms: (m, 4, 4), applied to (x, y, z, 1); the last row is not used.

    Returns:
        (m, n, 3).
    """
    linear, shift = transforms[:, :3, :3], transforms[:, :3, 3]
    return torch.baddbmm(shift.unsqueeze(1), points.expand(len(transforms), -1, -1), linear.transpose(1, 2))


def encode(points: torch.Tensor, transforms: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
    """Features of every grid at the points, concatenated.

    Interpolation is trilinear with nodes on the box's faces; outside a grid its features fade to zero within one voxel.

    Args:
        points: (n, 3).
        transforms: (m, 4, 4).
        grids: (m, c, d, h, w).

    Returns:
        (n, m * c); the feature of channel j of grid i has index i * c + j.
    """
    local = to_local(points, transforms)[:, :, None, None, :]
    features = F.grid_sample(grids, local, mode="bilinear", padding_mode="zeros", align_corners=True)
    return features.flatten(2).permute(2, 0, 1).flatten(1)


def density(points: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
    """Feature density: how many grid volumes' worth of features cover each point (the paper's equation 3).

    A grid adds |det| / (2 pi)^(3/2) exp(-1/2 sum_axis t^20) with t the point in its coordinates. A reflection does
    not change a grid's density, hence the absolute value.

    Args:
        points: (n, 3).
        transforms: (m, 4, 4).

    Returns:
        (n,).
    """
    local = to_local(points, transforms)
    volume = torch.linalg.det(transforms[:, :3, :3]).abs() / (2.0 * math.pi) ** 1.5
    flat_top = torch.exp(-0.5 * local.pow(_FLAT_TOP_POWER).sum(dim=2))
    return (volume.unsqueeze(1) * flat_top).sum(dim=0)


def mlp(
    features: torch.Tensor, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor] | None = None
) -> torch.Tensor:
    """Fully connected layers with ReLU between them.

    Args:
        features: (n, k).
        weights: per layer (out, in).
        biases: per layer (out,), or None for layers without bias.

    Returns:
        (n, out of the last layer).
    """
    hidden = features
    for i, weight in enumerate(weights):
        hidden = F.linear(hidden, weight, biases[i] if biases is not None else None)
        if i + 1 < len(weights):
            hidden = F.relu(hidden)
    return hidden


def forward(
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """The whole network: (n, 3) -> (n, outputs), outputs in units of the value range."""
    return mlp(encode(points, transforms, grids), weights, biases)


def mean_squared_error(
    points: torch.Tensor,
    targets: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """The reconstruction loss: mean squared difference of the network's values to targets (n, outputs), a scalar."""
    return (forward(points, transforms, grids, weights, biases) - targets).square().mean()


def value_and_gradient(
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The whole network and its derivatives with respect to the points, for shading; works in inference mode, too.

    Where a derivative does not exist (at a grid's node planes, where a hidden value is zero) it is that of one side.

    Returns:
        Values (n, outputs), and gradients (n, outputs, 3) per unit of x, y, z.
    """
    with torch.inference_mode(False), torch.enable_grad():
        points = points.detach().clone().requires_grad_()
        layers = [_for_autograd(w) for w in weights]
        shifts = None if biases is None else [_for_autograd(b) for b in biases]
        values = forward(points, _for_autograd(transforms), _for_autograd(grids), layers, shifts)
        gradients = [torch.autograd.grad(v, points, torch.ones_like(v), retain_graph=True)[0] for v in values.unbind(1)]
    return values.detach(), torch.stack(gradients, dim=1)


def _for_autograd(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or a copy of it if it was made in inference mode, which autograd does not take."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()
