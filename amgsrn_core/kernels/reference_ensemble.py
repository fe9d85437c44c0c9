# SPDX-License-Identifier: BSD-3-Clause
"""The reference for ensembles: plain PyTorch, a loop over bricks.

With a partition without overlap it is the paper's own way to evaluate an ensemble (Wurster et al., section 5.3): for each
brick, find its points, evaluate its network there, and put the results where they belong.
"""

from __future__ import annotations

import torch

from ..partition import Partition
from . import reference
from .ensemble import Members


def values(points: torch.Tensor, partition: Partition, members: Members, outputs: int) -> torch.Tensor:
    """Weighted sums of the members' values.

    Args:
        points: (n, 3), normalized coordinates of the volume.
        partition: the bricks.
        members: one per brick; None adds nothing.
        outputs: values per point.

    Returns:
        float64 (n, outputs), in data units. In double precision the order of the sum does not matter to float32.
    """
    result = points.new_zeros(len(points), outputs, dtype=torch.float64)
    for brick, member in enumerate(members):
        if member is None:
            continue
        weights = partition.weights(points, brick)
        inside = weights > 0
        if not inside.any():
            continue
        if member.network is None:
            own = member.shift.to(points.dtype)
        else:
            local = partition.to_local(points[inside], brick)
            own = reference.forward(local, *member.network) * member.scale + member.shift
        result[inside] += weights[inside].unsqueeze(1) * own
    return result


def value_and_gradient(
    points: torch.Tensor, partition: Partition, members: Members, outputs: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The values and their derivatives with respect to the points: of the networks, and of the weights (product rule).

    Returns:
        Values float64 (n, outputs), and gradients float64 (n, outputs, 3) per unit of x, y, z of the volume.
    """
    result = points.new_zeros(len(points), outputs, dtype=torch.float64)
    gradients = points.new_zeros(len(points), outputs, 3, dtype=torch.float64)
    for brick, member in enumerate(members):
        if member is None:
            continue
        weights, slopes = _weights_and_slopes(points, partition, brick)
        inside = weights > 0
        if not inside.any():
            continue
        weight, slope = weights[inside].unsqueeze(1), slopes[inside].unsqueeze(1)
        if member.network is None:
            own = member.shift.to(points.dtype).expand(len(weight), -1)
            along = own.unsqueeze(2) * 0.0
        else:
            local = partition.to_local(points[inside], brick)
            own, along = reference.value_and_gradient(local, *member.network)
            own = own * member.scale + member.shift
            along = along * member.scale.unsqueeze(1) * _stretch(points, partition, brick)
        result[inside] += weight * own
        gradients[inside] += weight.unsqueeze(2) * along + own.unsqueeze(2) * slope
    return result, gradients


def _stretch(points: torch.Tensor, partition: Partition, brick: int) -> torch.Tensor:
    """(3,): units of a brick's own coordinates per unit of the volume's."""
    scales = [partition.axis_maps(axis)[i][0] for axis, i in enumerate(partition.position(brick))]
    return torch.tensor(scales, dtype=points.dtype, device=points.device)


def _weights_and_slopes(points: torch.Tensor, partition: Partition, brick: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A brick's weights (n,) and their derivatives (n, 3)."""
    with torch.inference_mode(False), torch.enable_grad():
        points = points.detach().clone().requires_grad_()
        # The sum makes weights that are one everywhere depend on the points, too.
        weights = partition.weights(points, brick) + 0.0 * points.sum(dim=1)
        (slopes,) = torch.autograd.grad(weights.sum(), points)
    return weights.detach(), slopes


class Evaluator:
    """An `EnsembleEvaluator` of the above, in batches that bound its memory."""

    def __init__(self, partition: Partition, members: Members, outputs: int, batch: int) -> None:
        self._ensemble = (partition, members, outputs)
        self._batch = batch

    def __call__(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        return self.partial(points, fast).float()

    def value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        results, gradients = self.partial_value_and_gradient(points)
        return results.float(), gradients.float()

    @torch.inference_mode()
    def partial(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        del fast  # there is nothing to be saved
        return torch.cat([values(batch, *self._ensemble) for batch in points.split(self._batch)])

    @torch.inference_mode()
    def partial_value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [value_and_gradient(batch, *self._ensemble) for batch in points.split(self._batch)]
        results, gradients = zip(*parts, strict=True)
        return torch.cat(results), torch.cat(gradients)

    @torch.inference_mode()
    def touched(self, points: torch.Tensor) -> list[int]:
        partition = self._ensemble[0]
        return [k for k in range(partition.count) if bool((partition.weights(points, k) > 0).any())]
