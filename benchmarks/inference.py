# SPDX-License-Identifier: BSD-3-Clause
"""Points per second and core: the compiled kernels against the reference, on the same points in the same run."""

from __future__ import annotations

from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import cpu, reference

from .networks import network, random_points, raster_points
from .timing import cpu_seconds

_POINTS = 1 << 17
_REFERENCE_BATCH = 1 << 15


def run() -> list[dict[str, Any]]:
    """One row per preset and order of points."""
    library, state = cpu.load()
    if library is None:
        raise SystemExit(f"the CPU kernels are {state}")
    rows = []
    for preset in ("small", "medium", "large"):
        net = network(preset)
        parameters = (net.transforms().detach(), net.grids.detach(), [w.detach() for w in net.mlp_parameters()[0]])
        native = kernels.evaluator(*parameters)
        for order, points in (("random", random_points(_POINTS)), ("raster", raster_points(_POINTS))):

            def by_reference(points: torch.Tensor = points, parameters: Any = parameters) -> None:
                with torch.inference_mode():
                    for batch in points.split(_REFERENCE_BATCH):
                        reference.forward(batch, *parameters)

            seconds = cpu_seconds(
                {"reference": by_reference, "native": lambda points=points, native=native: native(points)}
            )
            rows.append(
                {
                    "model": preset,
                    "points": order,
                    "reference M/s": len(points) / seconds["reference"] / 1e6,
                    "native M/s": len(points) / seconds["native"] / 1e6,
                    "ratio": seconds["reference"] / seconds["native"],
                }
            )
    return rows
