# SPDX-License-Identifier: BSD-3-Clause
"""What a command says about an ensemble besides what it says about any model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYS = (
    "psnr_db",
    "rmse",
    "max_abs_error",
    "components",
    "target_psnr_db",
    "target_reached",
    "bricks",
    "bricks_done",
    "constant_bricks",
    "ghost",
    "parameters",
    "steps",
    "points",
    "seconds",
    "cpu_seconds",
    "points_per_second",
    "bytes_read",
    "bytes_needed",
    "peak_memory_bytes",
)


def describe_bricks(training: Mapping[str, Any]) -> dict[str, Any]:
    """JSON-ready figures of an ensemble, or of those of its bricks that are finished.

    Args:
        training: of the model, see `fit_ensemble`.
    """
    return {key: training[key] for key in _KEYS if key in training}
