# SPDX-License-Identifier: BSD-3-Clause
"""Points per second, on the CPU of one core: the fast kernels against the reference, on the same points in the same run.

`fast` is what pictures are made with (inner layers in half precision where the device can), its error is the largest
difference to float32, relative to the range of the values. The share of the peak counts the multiplications and
additions of MLP and interpolation, and takes for the peak what PyTorch's matrix product reaches in the same run, in
float32. On the CPU, `avx2` is the native kernels without AVX-512 (the reference has it).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

from amgsrn_core import kernels
from amgsrn_core.kernels import cpu, instruction_set, reference
from amgsrn_core.models import AMGSRN

from .networks import fast_kernels, network, random_points, raster_points
from .timing import seconds_per_call

# Points in all, and per call of the reference: what keeps a device busy.
_POINTS = {"cpu": 1 << 17, "cuda": 1 << 22}
_REFERENCE_BATCH = {"cpu": 1 << 15, "cuda": 1 << 18}
_MATRIX = {"cpu": 1024, "cuda": 8192}


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per preset and order of points."""
    own = fast_kernels(device)
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

            functions = {
                "reference": by_reference,
                own: lambda points=points, evaluate=evaluate: evaluate(points),
                "fast": lambda points=points, evaluate=evaluate: evaluate(points, fast=True),
                "product": _matrix_product(device),
            }
            if device.type == "cpu" and _has_avx2():
                functions["avx2"] = lambda points=points, evaluate=evaluate: _with_avx2(evaluate, points)
            seconds = seconds_per_call(functions, device)
            peak = 2 * _MATRIX[device.type] ** 3 / seconds["product"]
            row: dict[str, Any] = {"model": preset, "points": order}
            for name in functions:
                if name != "product":
                    row[f"{name} M/s"] = len(points) / seconds[name] / 1e6
            for name in functions:
                if name not in ("product", "reference"):
                    row[f"{name} ratio"] = seconds["reference"] / seconds[name]
            for name in (own, "fast"):
                row[f"{name} share of peak"] = _operations(net) * len(points) / seconds[name] / peak
            exact = evaluate(points)
            span = float(exact.max() - exact.min())
            row["fast error"] = float((evaluate(points, fast=True) - exact).abs().max()) / span
            rows.append(row)
    return rows


def _has_avx2() -> bool:
    library, _ = cpu.load()
    return library is not None and "avx2" in instruction_set.available(library)


def _with_avx2(evaluate: kernels.Evaluator, points: torch.Tensor) -> None:
    library, _ = cpu.load()
    assert library is not None
    instruction_set.use(library, "avx2")
    try:
        evaluate(points)
    finally:
        instruction_set.use(library, None)


def _matrix_product(device: torch.device) -> Any:
    size = _MATRIX[device.type]
    a, b = (torch.rand(size, size, device=device) for _ in range(2))
    return lambda: a @ b


def _operations(net: AMGSRN) -> int:
    """Multiplications and additions per point: of the MLP, and of seven linear interpolations per feature."""
    config = net.config
    widths = [config.grids * config.channels, *config.hidden, config.outputs]
    return 2 * sum(a * b for a, b in pairwise(widths)) + 7 * 3 * widths[0]
