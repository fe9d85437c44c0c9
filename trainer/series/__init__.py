# SPDX-License-Identifier: BSD-3-Clause
"""Time series: a network per time step, each beginning as what the one before has learned."""

from .fitting import fit_series
from .report import describe_series
from .selection import parse_time
from .source import Series
from .steps import plan_bricks

__all__ = ["Series", "describe_series", "fit_series", "parse_time", "plan_bricks"]
