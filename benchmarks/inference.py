# SPDX-License-Identifier: BSD-3-Clause
"""Points per second, on the CPU of one core: the fast kernels against the reference, on the same points in the same run."""

from __future__ import annotations

from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import reference

from .networks import fast_kernels, network, random_points, raster_points
from .timing import seconds_per_call

# Points in all, and per call of the reference: what keeps a device busy.
_POINTS = {"cpu": 1 << 17, "cuda": 1 << 22}
_REFERENCE_BATCH = {"cpu": 1 << 15, "cuda": 1 << 18}


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per preset and order of points."""
    fast = fast_kernels(device)
    count, batch_size = _POINTS[device.type], _REFERENCE_BATCH[device.type]
    rows = []
    for preset in ("small", "medium", "large"):
        net = network(preset).to(device)
        parameters = (net.transforms().detach(), net.grids.detach(), [w.detach() for w in net.mlp_parameters()[0]])
        evaluate = kernels.evaluator(*parameters)
        for order, points in (("random", random_points(count)), ("raster", raster_points(count))):
            points = points.to(device)

            def by_reference(points: torch.Tensor = points, parameters: Any = parameters) -> None:
                with torch.inference_mode():
                    for batch in points.split(batch_size):
                        reference.forward(batch, *parameters)

            seconds = seconds_per_call(
                {"reference": by_reference, fast: lambda points=points, evaluate=evaluate: evaluate(points)}, device
            )
            rows.append(
                {
                    "model": preset,
                    "points": order,
                    "reference M/s": len(points) / seconds["reference"] / 1e6,
                    f"{fast} M/s": len(points) / seconds[fast] / 1e6,
                    "ratio": seconds["reference"] / seconds[fast],
                }
            )
    return rows
