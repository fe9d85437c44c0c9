# SPDX-License-Identifier: BSD-3-Clause
"""What `fit` says about a series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from amgsrn_core import read_header

from ..report import describe_model


def describe_series(output: Path, training: dict[str, Any]) -> dict[str, Any]:
    """Figures of a series and of each of its steps, JSON-ready.

    Args:
        output: its model.
        training: what the model says about all steps, see `fit_series`.
    """
    header = read_header(output)
    return {**describe_model(output, header, training), "time_steps": [step.training for step in header.tree.members]}
