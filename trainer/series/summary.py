# SPDX-License-Identifier: BSD-3-Clause
"""What a series says about its steps' errors and costs, and about all of them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from amgsrn_core.field import Ranges

from ..metrics import psnr

_KEPT = (
    "psnr_db",
    "ssim",
    "rmse",
    "max_abs_error",
    "components",
    "wrong_gaps",
    "steps",
    "points",
    "seconds",
    "training_seconds",
    "cpu_seconds",
    "precision",
)
_SUMS = ("steps", "points", "seconds", "training_seconds", "cpu_seconds")


def describe_step(
    training: dict[str, Any], ranges: Ranges | None, index: int, time: float, valid: int
) -> dict[str, Any]:
    """What a series' file says about one step; JSON-ready.

    Args:
        training: what the step's own file says, see `description.describe`.
        ranges: of the step's values; None where it has none.
        index: its number in the input.
        time: see `Domain.times`.
        valid: nodes that have values.
    """
    known = {key: training[key] for key in _KEPT if key in training}
    missing = training["source"]["missing"] if "source" in training else 0
    warm = "start" in training.get("identity", {})
    about = {"time_index": index, "time": time, "values": valid, "missing": missing, "warm_start": warm}
    return {**about, "ranges": None if ranges is None else [list(ends) for ends in ranges], **known}


def total(steps: Sequence[dict[str, Any]], ranges: Ranges) -> dict[str, Any]:
    """Errors over the values of all steps, and costs of all steps; JSON-ready.

    Squared errors are averaged over all values of all steps; PSNR is to the range that a component has over all steps, and of
    several components as in `metrics`.

    Args:
        steps: of `describe_step`.
        ranges: of each component, over all steps.
    """
    measured = [step for step in steps if "rmse" in step]
    values = sum(step["values"] for step in measured)
    errors = [_component_rmse(step) for step in measured]
    mses = [
        sum(step["values"] * row[k] ** 2 for step, row in zip(measured, errors, strict=True)) / max(values, 1)
        for k in range(len(ranges))
    ]
    shares = [mse / (high - low) ** 2 for mse, (low, high) in zip(mses, ranges, strict=True) if high > low]
    costs = {
        key: round(sum(step.get(key, 0) for step in steps), 3) for key in _SUMS if any(key in step for step in steps)
    }
    # Of bricks, which are learned side by side, only the wall time is known.
    spent = costs.get("training_seconds", costs.get("seconds", 0.0))
    return {
        "psnr_db": psnr(sum(shares) / len(shares), 1.0) if shares else None,
        "rmse": math.sqrt(sum(mses) / len(mses)),
        "max_abs_error": max((step["max_abs_error"] for step in measured), default=0.0),
        **costs,
        "points_per_second": round(costs.get("points", 0) / max(spent, 1e-9), 1),
    }


def _component_rmse(step: dict[str, Any]) -> list[float]:
    components = step.get("components")
    return [component["rmse"] for component in components] if components else [step["rmse"]]
