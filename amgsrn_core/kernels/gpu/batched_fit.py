# SPDX-License-Identifier: BSD-3-Clause
"""Training many networks at once in two launches per step, see `batched.BatchedFit`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton

from ..batched import BatchedFit
from . import launch
from .batched import batched_adam_kernel, batched_backward_kernel

# Numbers per program of Adam, each of which it reads and writes once.
_ADAM_BLOCK = 1024


class GpuBatchedFit(BatchedFit):
    """`BatchedFit` with Triton: networks, losses and gradients in one launch, Adam in another. Grids are float32."""

    def _accumulate(
        self,
        points: torch.Tensor,
        targets: torch.Tensor,
        transforms: torch.Tensor,
        sizes: Sequence[int],
        moves: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        losses = torch.tensor([0.0 if size else math.nan for size in sizes], device=points.device)
        slopes = torch.zeros_like(transforms)
        if not max(sizes):
            return losses, slopes
        grids, weights, biases = self.stack.network(self.stack.values, 0)
        dgrids, dweights, dbiases = self.stack.network(self._gradients, 0)
        precision = launch.default_precision(points.device)
        arguments, tiles = launch.network_arguments(
            points, transforms, grids, weights, biases or (), precision, backward=True
        )
        launch.start(
            batched_backward_kernel,
            (triton.cdiv(max(sizes), tiles.block), len(sizes)),
            points=points.contiguous(),
            counts=torch.tensor(sizes, dtype=torch.int32, device=points.device),
            longest=points.shape[1],
            stride=self.stack.values.shape[1],
            **arguments,
            targets=targets.contiguous(),
            losses=losses,
            dtransforms=slopes,
            dfeatures=dgrids,
            **launch.numbered("dweight", dweights, points),
            **launch.numbered("dbias", dbiases or (), points),
            SLOPES=launch.slope_precision(precision),
            TRANSFORMS=moves,
            num_warps=tiles.warps,
        )
        return losses, slopes

    def _update(self, factors: torch.Tensor) -> None:
        values = self.stack.values
        rows, size = values.shape
        launch.start(
            batched_adam_kernel,
            (triton.cdiv(size, _ADAM_BLOCK), rows),
            values=values,
            gradients=self._gradients,
            first=self._first,
            second=self._second,
            factors=factors.to(values),
            size=size,
            end1=self.stack.ends[0],
            end2=self.stack.ends[1],
            beta1=self._settings.betas[0],
            beta2=self._settings.betas[1],
            epsilon=self._settings.eps,
            BLOCK=_ADAM_BLOCK,
            num_warps=4,
        )
